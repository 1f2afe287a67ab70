#include "base/duration.h"

#include <format>
#include <utility>

#include "base/text.h"

namespace signet {
namespace {

constexpr std::pair<std::string_view, std::uint64_t> units[] = {{"d", 86400}, {"h", 3600}, {"min", 60}, {"s", 1}};
constexpr std::uint64_t longest = 3650ULL * 86400;

}  // namespace

std::optional<std::chrono::seconds> parse_duration(std::string_view text) {
  std::uint64_t scale = 1;
  for (const auto& [unit, seconds] : units) {
    if (!text.ends_with(unit)) continue;
    text.remove_suffix(unit.size());
    scale = seconds;
    break;
  }
  const auto count = parse_unsigned(text);
  if (!count || *count > longest / scale) return std::nullopt;
  return std::chrono::seconds(*count * scale);
}

std::string format_duration(std::chrono::seconds time) {
  const auto count = static_cast<std::uint64_t>(time.count());
  for (const auto& [unit, seconds] : units)
    if (count >= seconds && count % seconds == 0) return std::format("{}{}", count / seconds, unit);
  return "0s";
}

}  // namespace signet
