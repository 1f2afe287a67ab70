// Writing a boot image to a USB stick, with the care that a disk deserves.
#pragma once

#include "base/result.h"
#include "machine/machine.h"

namespace signet {

/// The device as the kernel knows it.
Result<Disk> describe_stick(const std::string& path);
/// Refuses what is in use (mounted, swap, part of an array), read-only, or, without `force`, not removable.
Result<> check_stick(const Disk& stick, bool force);
/// Shows the device on the terminal and wants the word "yes"; without a terminal it is an error that names --yes.
Result<> ask_for_stick(const Disk& stick);
/// Writes the image with progress, forgets the kernel's copy, reads it back and compares.
Result<> write_stick(const std::string& image, const Disk& stick);

}  // namespace signet
