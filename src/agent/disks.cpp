#include "agent/disks.h"

#include <algorithm>
#include <format>

#include "base/duration.h"
#include "base/stop.h"
#include "plan/again.h"
#include "plan/match.h"

namespace signet {
namespace {

using std::chrono::milliseconds;
using std::chrono::seconds;

// What its table does not take is reported when the install starts, and ignored here.

Result<> describe_targets(Context& context, const std::vector<std::string>& targets) {
  context.machine.disks.clear();
  for (const auto& target : targets) {
    auto disk = TRY_WITHIN(describe_disk(target), "--target");
    disk.index = static_cast<unsigned>(context.machine.disks.size());
    context.machine.disks.push_back(std::move(disk));
  }
  return {};
}

bool all_there(const Context& context) {
  return std::ranges::all_of(context.profile.disks, [&](const DiskRule& rule) {
    return std::ranges::any_of(context.machine.disks, [&](const Disk& disk) { return why_not(rule.match, disk).empty(); });
  });
}

}  // namespace

milliseconds quiet_time(const Context& context) {
  if (const auto said = context.machine.setting("settle"))
    if (const auto time = parse_duration(said->value)) return std::min<milliseconds>(*time, seconds(600));
  return settle_time();
}

Result<> find_disks(Context& context) {
  if (!context.settings.targets.empty()) return describe_targets(context, context.settings.targets);
  if (!on_node())
    return std::unexpected(Error(ErrorKind::refused, "this is not a node that netbooted Signet, so no disk is chosen by itself")
                               .advise("name the disk or image file with --target"));
  constexpr auto patience = seconds(15);
  auto quiet = quiet_time(context);
  const auto deadline = std::chrono::steady_clock::now() + quiet + patience;
  if (std::chrono::steady_clock::now() - context.devices.since < quiet) context.report.progress(0, std::nullopt, "waiting until all disks are found");
  for (;; quiet = std::max(quiet, milliseconds(1000))) {
    wait_for_devices(context.devices, quiet);
    // The next look counts events from here.
    context.devices = device_events();
    context.machine.disks = TRY(scan_disks());
    if (all_there(context) || std::chrono::steady_clock::now() >= deadline) return {};
    TRY(check_stop());
    context.report.progress(0, std::nullopt, "waiting for a disk that the profile means");
  }
}

Result<> check_disks_again(Context& context) {
  if (!context.plan.targets.empty()) {
    TRY(describe_targets(context, context.plan.targets));
  } else {
    // What has come or gone since the plan was made may have more to come.
    wait_for_devices(context.devices, quiet_time(context));
    context.machine.disks = TRY(scan_disks());
  }
  return check_again(context.plan, context.profile, context.machine);
}

std::vector<std::string> names_of_host(const Context& context) {
  return {context.identity.host_name, context.identity.full_name(), context.profile.network.hostname};
}

}  // namespace signet
