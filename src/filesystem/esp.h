// An EFI system partition that firmware finds nothing on until an install is complete.
//
// Firmware starts \EFI\BOOT\BOOTX64.EFI of any FAT file system that it sees (UEFI 2.10 §3.5.1.1), whether or not the system that it belongs to is
// whole. So while the target is mounted, everything that is written to such a partition goes into a directory of it that firmware does not know, and
// moves to its place at the end.
#pragma once

#include "plan/plan.h"

namespace signet {

inline constexpr const char* hidden_directory = "signet-new";

/// True for a FAT partition of type `esp` that the target mounts.
bool is_esp(const PlannedPartition& partition);

/// True if TargetTree::mount() shows the hidden directory in place of such a partition's root. It does not where the system's /boot itself is on the
/// partition: GRUB's configuration would name files by their place below the hidden directory.
bool hidden_by_mount(const PlannedPartition& partition);

/// Moves what is in the hidden directory of every such partition to its place, \EFI last, and syncs before and after that. `scratch` is a directory
/// to mount them on, made if it is missing. Nothing of the target may be mounted.
Result<> publish_esps(const Plan& plan, const std::string& scratch);

/// And back: moves \EFI into the hidden directory, so that firmware finds nothing.
Result<> hide_esps(const Plan& plan, const std::string& scratch);

/// The same for one such file system that is mounted at `root`.
Result<> publish_esp(const std::string& root);
Result<> hide_esp(const std::string& root);

}  // namespace signet
