// The second look: right before the first write, the disks are judged again.
//
// Between `plan` and `partition` hooks and people may do anything, disks may come and go, and names like /dev/sda may pass to another disk.
#pragma once

#include <string>

#include "plan/plan.h"

namespace signet {

/// What is different about a disk that was planned: "its serial number was "A" and is "B" now; it held nothing and holds ext4 "data" now"; empty if
/// it is the same disk with the same content.
std::string what_changed(const Disk& planned, const Disk& now);

/// Judges the plan on the machine as it is now: each rule must mean exactly one disk, the same as before, unchanged, and still be allowed to wipe it.
/// One error of kind refused with every reason.
Result<> check_again(const Plan& plan, const Profile& profile, const Machine& machine);

}  // namespace signet
