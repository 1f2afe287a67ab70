// disk/: wipe a disk and write its partition table (libfdisk). The first room that destroys anything; it acts on a checked Plan only.
//
// Works on block devices and on image files alike; on a device the kernel is told, and the partitions' device nodes are there on return.
#pragma once

#include "machine/mark.h"  // the mark that partition_disk() leaves, state "begun"
#include "plan/plan.h"
#include "report/report.h"

namespace signet {

/// Erases old signatures (file systems, RAID, LVM, boot code: the first and last MiB of the disk and of every partition it had and will have),
/// writes the table of `planned`, Signet's mark, and no boot code. Order: mark and wipe first, table last, each synced.
Result<> partition_disk(const PlannedDisk& planned, Report& report);

}  // namespace signet
