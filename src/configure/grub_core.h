// The part of GRUB for BIOS that lies outside every file system: its core image, and the code of the first sector that loads it. No I/O.
//
// `grub-install --no-bootsector` leaves boot.img and core.img in the target's /boot and writes nothing beside the file systems. The disk gets both
// from us, so that the code of the first sector can be the very last thing that is written.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>

#include "machine/boot_code.h"
#include "plan/plan.h"

namespace signet {

struct GrubCore {
  std::uint64_t offset = 0;  // bytes from the start of the disk
  std::string core;          // goes there, whole sectors
  BootCode code{};           // goes into the first sector when everything else is on the disk
};

/// Where a disk has room for the core image: its partition of type `bios` (GPT), or what lies before the first partition and Signet's mark (MBR).
struct GrubRoom {
  std::uint64_t start = 0, size = 0;  // bytes
};
Result<GrubRoom> grub_room(const PlannedDisk& disk);

/// The two images as they go to a disk: boot.img knows the sector of the core image (its fields: GRUB 2, include/grub/i386/pc/boot.h), the core
/// image's first sector knows where the rest of it is (the block list at its end). invalid if they are not GRUB 2's, no_space if the core image does
/// not fit.
Result<GrubCore> place_grub(std::string_view boot_image, std::string_view core_image, const GrubRoom& room);

}  // namespace signet
