// Which disk a rule means.
#pragma once

#include <span>
#include <string>

#include "machine/machine.h"
#include "profile/profile.h"

namespace signet {

/// Why a disk is not the one that a rule means: "size 20 GiB is not >=100GiB, it rotates"; empty if it is.
std::string why_not(const DiskMatch& match, const Disk& disk);

/// What to add to a rule so that it means this disk and none of the others: `serial = "X"`.
std::string sets_apart(const Disk& disk, std::span<const Disk* const> others);

}  // namespace signet
