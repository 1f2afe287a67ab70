// The Content-Range header of a partial answer.
#pragma once

#include <cstdint>
#include <optional>
#include <string_view>

namespace signet {

/// "bytes 500-999/1000" (RFC 9110 §14.4): where a part starts and ends, and the size of the whole unless it is "*".
struct ContentRange {
  std::uint64_t first = 0, last = 0;
  std::optional<std::uint64_t> whole;
};

/// Nothing for another unit, an unsatisfied range ("bytes */1000"), a part that ends before it starts or behind the whole, and what is malformed.
std::optional<ContentRange> parse_content_range(std::string_view value);

}  // namespace signet
