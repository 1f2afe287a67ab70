#include "base/result.h"

#include <cstring>

namespace signet {

std::string_view to_string(ErrorKind kind) {
  switch (kind) {
    case ErrorKind::usage: return "usage";
    case ErrorKind::invalid: return "invalid";
    case ErrorKind::refused: return "refused";
    case ErrorKind::not_found: return "not-found";
    case ErrorKind::network: return "network";
    case ErrorKind::verification: return "verification";
    case ErrorKind::no_space: return "no-space";
    case ErrorKind::io: return "io";
    case ErrorKind::unsupported: return "unsupported";
  }
  return "io";
}

Error Error::from_errno(std::string_view what, int err) {
  ErrorKind kind = ErrorKind::io;
  if (err == ENOENT) kind = ErrorKind::not_found;
  if (err == ENOSPC || err == EDQUOT) kind = ErrorKind::no_space;
  return {kind, std::format("{}: {}", what, std::strerror(err))};
}

Error Error::within(std::string_view context) && {
  message_ = std::format("{}: {}", context, message_);
  return std::move(*this);
}

Error Error::advise(std::string advice) && {
  advice_ = std::move(advice);
  return std::move(*this);
}

}  // namespace signet
