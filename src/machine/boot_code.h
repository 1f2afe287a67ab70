// The code in a disk's first sector while an install is not finished: our own, and it gives control back to the firmware.
//
// A BIOS runs whatever a disk with 0x55 0xAA at the end of its first sector has there. Zeros hang it; this code prints one line and calls INT 18h,
// with which a boot sector says that it has nothing to start (BIOS Boot Specification 1.01 §6.7), so the BIOS goes on to the next device, the
// network.
//
// The sector (UEFI 2.10 table 5.1): bytes 0 to 439 code, 440 to 445 disk id of an MBR, 446 to 509 four partition entries, 510 and 511 0x55 0xAA.
#pragma once

#include <array>
#include <cstddef>
#include <span>

namespace signet {

inline constexpr std::size_t boot_code_size = 440;
using BootCode = std::array<std::byte, boot_code_size>;

/// The code of a disk that is not to be started: "closed".
const BootCode& closed_boot_code();

/// True if the sector (512 bytes or more of it) begins with that code.
bool is_closed(std::span<const std::byte> sector);

}  // namespace signet
