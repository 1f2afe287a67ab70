#include "base/date_time.h"

#include <chrono>
#include <format>

#include "base/text.h"

namespace signet {

std::string date_time_text(std::int64_t seconds) {
  return std::format("{:%Y-%m-%dT%H:%M:%SZ}", std::chrono::sys_seconds(std::chrono::seconds(seconds)));
}

Result<std::int64_t> parse_date_time(std::string_view text) {
  constexpr std::string_view form = "dddd-dd-ddTdd:dd:ddZ";
  constexpr std::size_t date_only = 10;
  bool fits = text.size() == form.size() || text.size() == date_only;
  for (std::size_t i = 0; fits && i < text.size(); ++i) fits = form[i] == 'd' ? text[i] >= '0' && text[i] <= '9' : text[i] == form[i];
  if (fits) {
    const auto part = [&](std::size_t at, std::size_t length) {
      return at < text.size() ? static_cast<int>(parse_unsigned(text.substr(at, length)).value_or(0)) : 0;
    };
    const std::chrono::year_month_day day(std::chrono::year(part(0, 4)), std::chrono::month(static_cast<unsigned>(part(5, 2))),
                                          std::chrono::day(static_cast<unsigned>(part(8, 2))));
    if (day.ok() && part(11, 2) < 24 && part(14, 2) < 60 && part(17, 2) < 60)
      return std::chrono::sys_days(day).time_since_epoch() / std::chrono::seconds(1) + part(11, 2) * 3600 + part(14, 2) * 60 + part(17, 2);
  }
  return fail(ErrorKind::invalid, "`{}` is not a date and time in UTC such as 2027-02-19T12:00:00Z", printable(text.substr(0, 40)));
}

}  // namespace signet
