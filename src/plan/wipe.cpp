#include "plan/wipe.h"

#include <algorithm>
#include <format>

#include "base/text.h"

namespace signet {
namespace {

std::string_view without_dot(std::string_view name) { return name.ends_with('.') ? name.substr(0, name.size() - 1) : name; }

std::string named(std::span<const std::string> hosts) {
  for (const auto& host : hosts)
    if (!host.empty()) return "this host is " + printable(host);
  return "this host has no name (set signet.host, or DHCP option 12)";
}

}  // namespace

bool same_host(std::string_view a, std::string_view b) {
  a = without_dot(a);
  return !a.empty() && to_lower(a) == to_lower(without_dot(b));
}

std::string why_not_wiped(WipeRule rule, const Disk& disk, std::span<const std::string> hosts) {
  if (rule == WipeRule::any || disk.content == DiskContent::blank) return {};
  const auto refuse = [&](std::string_view why, std::string_view other) {
    return std::format("holds {}; {}; wipe = \"{}\" would allow it", disk.found, why, other);
  };
  if (disk.content == DiskContent::foreign || !disk.mark)
    return refuse(rule == WipeRule::blank    ? "wipe = \"blank\" allows only empty disks"
                  : rule == WipeRule::signet ? "wipe = \"signet\" allows only empty disks and those that Signet installed as this host"
                                             : "wipe = \"signet-any\" allows only empty disks and those that Signet installed",
                  "any");
  const Mark& mark = *disk.mark;
  if (mark.keeps_data) return refuse("its mark says that it keeps data", "any");
  if (rule == WipeRule::signet_any) return {};
  const bool this_host = std::ranges::any_of(hosts, [&](const std::string& host) { return same_host(host, mark.host); });
  if (!mark.complete && (this_host || mark.host.empty())) return {};
  if (this_host) {
    if (rule == WipeRule::signet) return {};
    return refuse("wipe = \"blank\" allows only empty disks and unfinished installs of this host", "signet");
  }
  const auto whose = mark.host.empty() ? std::string("its mark has no host name") : named(hosts);
  return refuse(std::format("{}, and wipe = \"{}\" allows only this host's", whose, to_string(rule)), "signet-any");
}

}  // namespace signet
