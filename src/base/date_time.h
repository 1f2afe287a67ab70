// Dates and times in UTC as RFC 3339 writes them.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>

#include "base/result.h"

namespace signet {

/// Seconds since 1970 as "2027-02-19T12:00:00Z".
std::string date_time_text(std::int64_t seconds);

/// The inverse; "2027-02-19" alone is that day's beginning. An error of kind invalid says what is expected.
Result<std::int64_t> parse_date_time(std::string_view text);

}  // namespace signet
