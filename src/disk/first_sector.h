// A disk's boot code, read and replaced without touching the partition entries beside it.
//
// A disk is closed (machine/boot_code.h) from the first write of `partition` until the very end of `finish`. For `finish`:
//
//   grub-install …                           writes core.img and, for a moment, its own boot code
//   const BootCode grub = read_boot_code(fd)
//   close_first_sector(fd)                   back to ours at once
//   … sync everything, unmount, note what is to be noted …
//   write_boot_code(fd, grub)                the last write of all
//   close_first_sector(fd)                   again, if anything fails after that
#pragma once

#include <string>

#include "base/result.h"
#include "machine/boot_code.h"

namespace signet {

/// Bytes 0 to 439 of the disk that `fd` has open.
Result<BootCode> read_boot_code(int fd);

/// Writes them and syncs the disk, in one write of the whole first sector: what follows the code stays as it is, and the sector ends with 0x55 0xAA.
/// `fd` is open for reading and writing.
Result<> write_boot_code(int fd, const BootCode& code);

/// write_boot_code() with the code that gives control back to the firmware.
Result<> close_first_sector(int fd);
/// The same for a disk or image file by its path.
Result<> close_first_sector(const std::string& disk);

}  // namespace signet
