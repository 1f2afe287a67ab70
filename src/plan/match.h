// Which disk a rule means.
#pragma once

#include <span>
#include <string>
#include <vector>

#include "machine/machine.h"
#include "profile/profile.h"

namespace signet {

/// Why a disk is not the one that a rule means: "size 20 GiB is not >=100GiB, it rotates"; empty if it is.
std::string why_not(const DiskMatch& match, const Disk& disk);

/// What to add to a rule so that it means this disk and none of the others: `serial = "X"`.
std::string sets_apart(const Disk& disk, std::span<const Disk* const> others);

/// The one disk that a rule means, or an error of kind refused that shows every candidate with why it does or does not match.
Result<const Disk*> choose_disk(const DiskRule& rule, const std::vector<Disk>& disks);

/// Why a disk that was chosen cannot be used, as the end of a sentence that begins with it; empty if it can. It must be readable, writable, not in
/// use (nor must the same disk be that is there by another path, known by its WWN), and the wipe rule must allow it (plan/wipe.h).
std::string why_not_usable(const DiskRule& rule, const Disk& disk, const std::vector<Disk>& disks, std::span<const std::string> hosts);

}  // namespace signet
