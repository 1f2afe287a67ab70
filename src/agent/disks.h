// The disks that an install may choose from, found before the plan and once more right before the first write.
#pragma once

#include <chrono>

#include "agent/context.h"

namespace signet {

/// Fills context.machine.disks: the disks or image files of --target, else all disks of this node. There it waits until the machine's controllers
/// have been silent for settle_time() (or signet.settle=SECONDS), and up to 15 s more for a disk that a rule of the profile means and that is not
/// there yet.
Result<> find_disks(Context& context);

/// How long this machine's controllers must have been silent: settle_time(), or signet.settle=SECONDS.
std::chrono::milliseconds quiet_time(const Context& context);

/// Looks at the disks of the plan again and refuses if anything has changed that it was made on (plan/again.h).
Result<> check_disks_again(Context& context);

/// The names by which marks may know this host: the one that it found for itself, the same with its domain, the profile's.
std::vector<std::string> names_of_host(const Context& context);

}  // namespace signet
