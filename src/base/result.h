// Result<T>: how every function of Signet that can fail says so.
//
// An Error carries a kind (what a program decides on), a message chain (what a person reads: "partition /dev/vda: write table: No space left
// on device") and advice (what that person can do). No exception crosses a room's border; the rooms are compiled without exceptions.
#pragma once

#include <cerrno>
#include <expected>
#include <format>
#include <string>
#include <string_view>
#include <type_traits>
#include <utility>

namespace signet {

enum class ErrorKind {
  usage,         // the command line is wrong
  invalid,       // input that can never work: a malformed profile, an image with a member outside the target
  refused,       // input that is right, but a rule forbids it here: the wipe rule, no disk or two disks matching
  not_found,     // the thing asked for does not exist: HTTP 404, ENOENT
  network,       // no lease, no route, no answer, connection lost
  verification,  // wrong checksum, wrong certificate
  no_space,      // ENOSPC, EDQUOT, or a disk that is too small
  io,            // everything else that a system or library call reports
  unsupported,   // this kernel, image or build cannot do that
};

/// The kind's name as it stands in events: "refused".
std::string_view to_string(ErrorKind kind);

class Error {
 public:
  Error(ErrorKind kind, std::string message) : kind_(kind), message_(std::move(message)) {}

  /// "WHAT: strerror(err)". ENOENT gives not_found; ENOSPC and EDQUOT give no_space; all else io.
  static Error from_errno(std::string_view what, int err = errno);

  ErrorKind kind() const { return kind_; }
  const std::string& message() const { return message_; }
  /// What the reader can do about it; empty when nothing useful can be said.
  const std::string& advice() const { return advice_; }

  /// The same error seen from one level up: "CONTEXT: message".
  Error within(std::string_view context) &&;
  Error advise(std::string advice) &&;

 private:
  ErrorKind kind_;
  std::string message_;
  std::string advice_;
};

template <class T = void>
using Result = std::expected<T, Error>;

/// return fail(ErrorKind::refused, "{}: two disks match", id);
template <class... Args>
std::unexpected<Error> fail(ErrorKind kind, std::format_string<Args...> format, Args&&... args) {
  return std::unexpected(Error(kind, std::format(format, std::forward<Args>(args)...)));
}

/// return fail_errno("open {}", path);  reads errno before it formats.
template <class... Args>
std::unexpected<Error> fail_errno(std::format_string<Args...> format, Args&&... args) {
  const int err = errno;
  return std::unexpected(Error::from_errno(std::format(format, std::forward<Args>(args)...), err));
}

namespace detail {
template <class T>
T take(std::expected<T, Error>& result) {
  if constexpr (!std::is_void_v<T>) return std::move(*result);
}
}  // namespace detail

}  // namespace signet

/// The value of a Result, or a return of its error from the enclosing function.
#define TRY(expression)                                                     \
  ({                                                                        \
    auto try_result = (expression);                                         \
    if (!try_result) return std::unexpected(std::move(try_result).error()); \
    ::signet::detail::take(try_result);                                     \
  })

/// TRY that puts a context in front of the error's message.
#define TRY_WITHIN(expression, context)                                                     \
  ({                                                                                        \
    auto try_result = (expression);                                                         \
    if (!try_result) return std::unexpected(std::move(try_result).error().within(context)); \
    ::signet::detail::take(try_result);                                                     \
  })
