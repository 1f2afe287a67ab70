// SHA-256 digests as text.
#pragma once

#include <string>
#include <string_view>

#include "base/result.h"

namespace signet {

/// 64 hexadecimal digits in either case give the same in lower case, fit to be compared with what sha256_text() makes. Everything else, an empty text
/// included, is an error of kind invalid.
Result<std::string> parse_sha256(std::string_view text);

}  // namespace signet
