#include <chrono>

#include "base/process.h"
#include "network/network.h"

namespace signet {
namespace {

constexpr int built_in_year = SIGNET_YEAR;  // of this version; no machine that it installs lives in an earlier one
constexpr int last_year = 2100;

bool is_absurd() {
  const std::chrono::year_month_day today(std::chrono::floor<std::chrono::days>(std::chrono::system_clock::now()));
  return static_cast<int>(today.year()) < built_in_year || static_cast<int>(today.year()) > last_year;
}

}  // namespace

bool set_absurd_clock(const std::vector<std::string>& servers, Report& report) {
  if (!is_absurd()) return false;
  report.log("the clock says {:%Y-%m-%d}, which cannot be", std::chrono::floor<std::chrono::days>(std::chrono::system_clock::now()));
  for (const auto& server : servers) {
    report.progress(0, std::nullopt, "asking " + server + " for the time");
    const auto asked = run({.arguments = {"ntpd", "-n", "-q", "-p", server}, .time_limit = std::chrono::seconds(15)});
    if (asked && asked->status == 0 && !is_absurd()) {
      report.log("the time is {:%Y-%m-%d %H:%M:%S} UTC, from {}", std::chrono::floor<std::chrono::seconds>(std::chrono::system_clock::now()), server);
      return true;
    }
  }
  report.log("no NTP server answered; certificates may seem to be from the future (DHCP option 42 names NTP servers)");
  return false;
}

}  // namespace signet
