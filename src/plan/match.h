// Which disk a rule means.
#pragma once

#include <string>

#include "machine/machine.h"
#include "profile/profile.h"

namespace signet {

/// Why the disk does not match, as "size 20 GiB is not >=100GiB"; empty if it does.
std::string why_not(const DiskMatch& match, const Disk& disk);

}  // namespace signet
