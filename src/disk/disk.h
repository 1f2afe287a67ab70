// disk/: wipe a disk and write its partition table (libfdisk). The first room that destroys anything; it acts on a checked Plan only.
//
// Works on block devices and on image files alike; on a device the kernel is told, and the partitions' device nodes are there on return.
#pragma once

#include <optional>
#include <string>

#include "plan/plan.h"
#include "report/report.h"

namespace signet {

/// Erases old signatures (file systems, RAID, LVM, boot code: the first and last MiB of the disk and of every partition it had and will have),
/// writes the table of `planned`, Signet's mark, and no boot code. Order: mark and wipe first, table last, each synced.
Result<> partition_disk(const PlannedDisk& planned, Report& report);

/// Signet's mark: one 512-byte block at 1 MiB - 4096, a place that neither GPT, MBR nor GRUB's core image uses.
/// It holds a magic number, a version, the time of the install, its state and a CRC-32C; the wipe rule "signet" trusts it.
struct Mark {
  std::string version;      // of Signet
  std::string host;         // that the disk was installed as
  std::int64_t time = 0;    // seconds since 1970
  bool complete = false;    // the install ran to its end
};
inline constexpr std::uint64_t mark_offset = 1024 * 1024 - 4096;

/// Nothing if there is no mark or its checksum is wrong.
Result<std::optional<Mark>> read_mark(const std::string& disk);
Result<> write_mark(const std::string& disk, const Mark& mark);

}  // namespace signet
