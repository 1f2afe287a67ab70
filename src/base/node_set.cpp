#include "base/node_set.h"

#include "base/text.h"

namespace signet {
namespace {

constexpr std::size_t longest_pattern = 256, most_wildcards = 4, longest_number = 9;
constexpr std::string_view digits = "0123456789";

// "16" or "01-16", the inside of a bracket between commas.
struct Range {
  std::uint64_t first = 0, last = 0;
  std::size_t width = 0;
};

std::optional<Range> parse_range(std::string_view text) {
  const auto dash = text.find('-');
  const auto low = text.substr(0, dash), high = dash == std::string_view::npos ? low : text.substr(dash + 1);
  const auto first = parse_unsigned(low), last = parse_unsigned(high);
  if (!first || !last || *first > *last || low.size() > longest_number || high.size() > longest_number) return std::nullopt;
  return Range{*first, *last, low.size()};
}

// A number as its range writes it: with that many digits, more only where they are needed.
bool holds(std::string_view list, std::string_view number) {
  const auto value = parse_unsigned(number);
  for (const auto part : split(list, ','))
    if (const auto range = parse_range(part); range && value && *value >= range->first && *value <= range->last)
      if (number.size() == range->width || (number.size() > range->width && number.front() != '0')) return true;
  return false;
}

bool matches(std::string_view pattern, std::string_view name) {
  while (!pattern.empty()) {
    const char c = pattern.front();
    if (c == '*') {
      pattern.remove_prefix(1);
      for (std::size_t skipped = 0; skipped <= name.size(); ++skipped)
        if (matches(pattern, name.substr(skipped))) return true;
      return false;
    }
    if (c == '[') {
      const auto end = pattern.find(']');
      const auto list = pattern.substr(1, end - 1), rest = pattern.substr(end + 1);
      const auto most = std::min({name.find_first_not_of(digits), name.size(), longest_number});
      for (std::size_t length = 1; length <= most; ++length)
        if (holds(list, name.substr(0, length)) && matches(rest, name.substr(length))) return true;
      return false;
    }
    if (name.empty() || (c != '?' && c != name.front())) return false;
    pattern.remove_prefix(1);
    name.remove_prefix(1);
  }
  return name.empty();
}

}  // namespace

Result<> check_node_pattern(std::string_view pattern) {
  const auto wrong = [&](std::string_view why) {
    return fail(ErrorKind::invalid, "`{}` is not a node set: {}", printable(pattern.substr(0, longest_pattern)), why);
  };
  if (pattern.empty()) return wrong("it is empty");
  if (pattern.size() > longest_pattern) return wrong("it has more than 256 characters");
  std::size_t wildcards = 0;
  for (std::size_t at = 0; at < pattern.size(); ++at) {
    if (pattern[at] == '[') {
      const auto end = pattern.find(']', at);
      if (end == std::string_view::npos) return wrong("a bracket is not closed");
      for (const auto part : split(pattern.substr(at + 1, end - at - 1), ','))
        if (!parse_range(part)) return wrong("write numbers or ranges in brackets, as in node[01-16,20]");
      at = end;
      ++wildcards;
    } else if (pattern[at] == '*') {
      ++wildcards;
    } else if (!std::string_view("abcdefghijklmnopqrstuvwxyz0123456789.-_:?").contains(pattern[at])) {
      return wrong("only lower-case letters, digits, `.-_:`, the wildcards * and ?, and [ranges] are allowed");
    }
  }
  // Each one multiplies the ways to match a name.
  if (wildcards > most_wildcards) return wrong("it has more than 4 wildcards and ranges");
  return {};
}

bool node_matches(std::string_view pattern, std::string_view name) { return check_node_pattern(pattern) && matches(pattern, name); }

}  // namespace signet
