// Signet's mark: how a disk says that Signet installed it. The wipe rule "signet" trusts it, as long as the partition table is still the one that was
// written with it: a disk that somebody has used for something else since is theirs.
//
// One 512-byte block at 1 MiB - 4096, a place that neither a GPT of 128 entries (it ends at 16 KiB + 2 sectors) nor GRUB's core image (about 30 KiB
// from sector 1, or in its own partition) uses, since the first partition starts at 1 MiB. All integers are little-endian:
//
//   offset  size
//        0     8  "SIGNETMK"
//        8     4  version of this layout, 1
//       12     4  state: 0 install begun, 1 install complete; 2 and 3 the system is whole, and what a BIOS (2) or UEFI (3) starts it by is being
//       written 16     8  time, seconds since 1970 24    32  version of Signet, UTF-8, padded with zeros 56   256  host that the disk was installed
//       as, padded with zeros
//      312    64  id of the partition table: the GPT's disk GUID, or the MBR's disk id as 8 hex digits; lower case, padded with zeros
//      376    32  SHA-256 of the profile, zeros if unknown
//      408    32  SHA-256 of the image as stored, zeros if unknown
//      440     4  bit 0: the disk keeps data that were there before the install
//      444    64  id of the table that the disk had when this install began and the disk was Signet's already; else zeros
//      508     4  CRC-32C (RFC 3720 §12.1) of bytes 0 to 507
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <optional>
#include <span>
#include <string>

#include "base/result.h"

namespace signet {

/// The last step of an install has begun. A cut leaves a system that starts, or one that does not yet; its data are whole in either case.
enum class Opening { no, bios, efi };

struct Mark {
  std::string version;              // of Signet
  std::string host;                 // that the disk was installed as; empty if it had no name, or what is there is not one
  std::string table;                // id of the partition table, "0x" of an MBR's or not
  std::int64_t time = 0;            // seconds since 1970
  bool complete = false;            // the install ran to its end
  std::string profile_sha256 = {};  // of the profile, 64 hex digits or empty
  std::string image_sha256 = {};    // of the image as stored, the same
  bool keeps_data = false;          // the install left data on the disk that were there before: only wipe = "any" may erase it
  Opening opening = Opening::no;    // read_content() decides whether it counts as complete
  std::string before = {};          // id of the table that the install found, if that was Signet's; it counts as ours until the new one is there
};

inline constexpr std::uint64_t mark_offset = 1024 * 1024 - 4096;
inline constexpr std::size_t mark_size = 512;

std::array<std::byte, mark_size> encode_mark(const Mark& mark);
/// Nothing if the block is no mark, or its checksum is wrong.
std::optional<Mark> decode_mark(std::span<const std::byte> block);

/// The mark of a disk or image file; nothing if there is none.
Result<std::optional<Mark>> read_mark(const std::string& disk);
/// Writes and syncs it.
Result<> write_mark(const std::string& disk, const Mark& mark);
Result<> write_mark(int fd, const Mark& mark);

}  // namespace signet
