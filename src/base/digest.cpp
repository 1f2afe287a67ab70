#include "base/digest.h"

#include "base/text.h"

namespace signet {

Result<std::string> parse_sha256(std::string_view text) {
  constexpr std::size_t hex_digits = 64, shown = 80;
  if (text.empty()) return fail(ErrorKind::invalid, "the SHA-256 digest is empty; it has 64 hexadecimal digits");
  auto lower = to_lower(text);
  if (lower.size() == hex_digits && lower.find_first_not_of("0123456789abcdef") == std::string::npos) return lower;
  return fail(ErrorKind::invalid, "`{}` is not a SHA-256 digest of 64 hexadecimal digits", printable(text.substr(0, shown)));
}

}  // namespace signet
