// Lengths of time as people write them: "90", "90s", "30min", "12h", "2d".
#pragma once

#include <chrono>
#include <optional>
#include <string>
#include <string_view>

namespace signet {

/// A whole number of seconds, or of the unit that follows it (s, min, h, d). Nothing for anything else, and above 10 years.
std::optional<std::chrono::seconds> parse_duration(std::string_view text);

/// In the largest unit that it is a whole number of: "30min", "45s".
std::string format_duration(std::chrono::seconds time);

}  // namespace signet
