#include <sys/time.h>

#include <chrono>
#include <ctime>
#include <format>
#include <limits>

#include "base/date_time.h"
#include "base/process.h"
#include "network/network.h"

namespace signet {
namespace {

constexpr std::int64_t day = 86'400, years_of_use = 15;

std::string date_of(std::int64_t seconds) { return date_time_text(seconds).substr(0, 10); }

void set_clock(std::int64_t seconds) {
  const timeval time{.tv_sec = seconds, .tv_usec = 0};
  ::settimeofday(&time, nullptr);
}

}  // namespace

ClockLimits clock_limits(std::uint64_t packed_serial, bool any) {
  const auto built = parse_date_time(SIGNET_DATE).value_or(0);
  ClockLimits limits{.floor = built, .ceiling = any ? std::numeric_limits<std::int64_t>::max() : built + years_of_use * 366 * day};
  // A serial is the time of a signature, if `signet tree sign` chose it.
  const auto signed_at = static_cast<std::int64_t>(packed_serial);
  if (signed_at > limits.floor && signed_at < built + years_of_use * 366 * day) limits.floor = signed_at;
  return limits;
}

std::string clock_fault(std::int64_t now, const ClockLimits& limits) {
  if (now < limits.floor) return std::format("{}, which is before {}, when this node's software was made", date_of(now), date_of(limits.floor));
  if (now > limits.ceiling)
    return std::format("{}, which is after {}, the last day that is believed without signet.clock=any", date_of(now), date_of(limits.ceiling));
  return {};
}

bool set_absurd_clock(const std::vector<std::string>& servers, const ClockLimits& limits, Report& report) {
  const std::int64_t before = std::time(nullptr);
  const auto started = std::chrono::steady_clock::now();
  const auto fault = clock_fault(before, limits);
  if (fault.empty()) return false;
  report.log("the clock says {}", fault);
  for (const auto& server : servers) {
    report.progress(0, std::nullopt, "asking " + server + " for the time");
    const auto asked = run({.arguments = {"ntpd", "-n", "-q", "-p", server}, .time_limit = std::chrono::seconds(15)});
    if (!asked || asked->status != 0) continue;
    const std::int64_t now = std::time(nullptr);
    const auto passed = std::chrono::duration_cast<std::chrono::seconds>(std::chrono::steady_clock::now() - started).count();
    const auto moved = now - before - passed;
    if (const auto wrong = clock_fault(now, limits); !wrong.empty()) {
      set_clock(before + passed);
      report.log("{} says {}: not used", server, wrong);
      continue;
    }
    report.log("the clock is set to {} by {}, over NTP (not authenticated); it moved by {} days", date_time_text(now), server, moved / day);
    return true;
  }
  // Certificates and manifests are then judged by the earliest time that can be.
  if (before < limits.floor) {
    set_clock(limits.floor);
    report.log("no NTP server answered; the clock is set to {}, the earliest possible day (DHCP option 42 names NTP servers)", date_of(limits.floor));
  } else {
    report.log("no NTP server answered; certificates and manifests may seem to have expired (DHCP option 42 names NTP servers)");
  }
  return false;
}

}  // namespace signet
