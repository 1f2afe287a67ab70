#include "plan/again.h"

#include <algorithm>
#include <format>

#include "base/size.h"
#include "base/text.h"
#include "plan/match.h"
#include "plan/wipe.h"

namespace signet {

std::string what_changed(const Disk& planned, const Disk& now) {
  std::vector<std::string> changes;
  const auto quoted = [](const std::string& text) { return text.empty() ? std::string("none") : "\"" + printable(text) + "\""; };
  const auto compare = [&](const char* name, const std::string& before, const std::string& after) {
    if (before != after) changes.push_back(std::format("its {} was {} and is {} now", name, quoted(before), quoted(after)));
  };
  if (planned.is_file != now.is_file || planned.device != now.device)
    changes.push_back(std::format("it is another {} now (number {}, planned {})", now.is_file ? "file" : "device", now.device, planned.device));
  if (planned.size != now.size)
    changes.push_back(std::format("its size was {} and is {} now", format_exact_size(planned.size), format_exact_size(now.size)));
  if (planned.sector_size != now.sector_size)
    changes.push_back(std::format("its sectors had {} bytes and have {} now", planned.sector_size, now.sector_size));
  compare("serial number", planned.serial, now.serial);
  compare("WWN", planned.wwn, now.wwn);
  if (planned.found != now.found)
    changes.push_back(std::format("it held {} and holds {} now", planned.found, now.found));
  else if (planned.digest != now.digest || now.digest.empty())
    changes.push_back("its first or last MiB has changed");
  return join(changes, "; ");
}

Result<> check_again(const Plan& plan, const Profile& profile, const Machine& machine) {
  std::vector<std::string> reasons;
  for (const auto& planned : plan.disks) {
    const auto rule = std::ranges::find(profile.disks, planned.id, &DiskRule::id);
    if (rule == profile.disks.end()) {
      reasons.push_back(std::format("disk `{}` is in the plan, but no longer in the profile", planned.id));
      continue;
    }
    const auto chosen = choose_disk(*rule, machine.disks);
    if (!chosen) {
      reasons.push_back(chosen.error().message());
      continue;
    }
    const Disk& now = **chosen;
    if (const auto changed = what_changed(planned.disk, now); !changed.empty())
      reasons.push_back(std::format("disk `{}`: {} is not the disk that was planned: {}", planned.id, now.describe(), changed));
    else if (const auto why = why_not_usable(*rule, now, machine.disks, plan.hosts); !why.empty())
      reasons.push_back(std::format("disk `{}`: {} {}", planned.id, now.describe(), why));
  }
  if (reasons.empty()) return {};
  return std::unexpected(Error(ErrorKind::refused, "since the plan was made the machine has changed:\n" + join(reasons, "\n"))
                             .advise("nothing has been written; look at the disks, then run `signet-agent plan` or the whole install again"));
}

}  // namespace signet
