#include "fetch/content_range.h"

#include "base/text.h"

namespace signet {

std::optional<ContentRange> parse_content_range(std::string_view value) {
  constexpr std::string_view unit = "bytes ";
  if (to_lower(value.substr(0, unit.size())) != unit) return std::nullopt;
  value = trim(value.substr(unit.size()));
  const auto dash = value.find('-'), slash = value.find('/');
  if (dash == std::string_view::npos || slash == std::string_view::npos || dash > slash) return std::nullopt;
  const auto first = parse_unsigned(value.substr(0, dash)), last = parse_unsigned(value.substr(dash + 1, slash - dash - 1));
  const auto size = value.substr(slash + 1);
  const auto whole = parse_unsigned(size);
  if (!first || !last || *last < *first || (!whole && size != "*") || (whole && *last >= *whole)) return std::nullopt;
  return ContentRange{*first, *last, whole};
}

}  // namespace signet
