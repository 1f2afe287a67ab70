// disk/: wipe a disk and write its partition table (libfdisk). The first room that destroys anything; it acts on a checked Plan only.
//
// Works on block devices and on image files alike; on a device the kernel is told, and the partitions' device nodes are there on return.
#pragma once

#include "base/fd.h"
#include "machine/mark.h"  // the mark that partition_disk() leaves, state "begun"
#include "plan/plan.h"
#include "report/report.h"

namespace signet {

/// Opens a planned disk for reading and writing if it is still the one that was planned: device number, size, sector size, serial number and WWN are
/// compared on the open descriptor. What is on it may have changed. With `exclusive` nothing else may hold it (O_EXCL of open(2)).
Result<Fd> open_planned(const PlannedDisk& planned, bool exclusive = false);

/// Wipes a disk and writes its table, on one descriptor from the last check to the last write, whatever happens to its path meanwhile. Refuses before
/// the first write if the disk is in use, is not the one that was planned, or holds something else than what the wipe rule was decided on.
///
/// Every step is synced before the next, so that a cut leaves a disk that no BIOS and no UEFI starts half of, and that the same profile installs
/// again:
///   1. the first sector gives control back to the firmware (machine/boot_code.h); all else is as it was, so whatever the wipe rule allowed, it
///   allows
///   2. the mark says "begun", with the ids of the table that comes and, if the disk was Signet's, of the one that is there: ours from here on
///   3. the old table goes, at both ends of the disk: firmware sees no EFI system partition any more
///   4. the first and last MiB of each partition that was there, and of each that comes
///   5. the new table
Result<> partition_disk(const PlannedDisk& planned, Report& report, const std::string& host);

/// The same for every disk of a plan. All are checked before the first write, and steps 1 to 3 are done on all of them, first on the boot disk,
/// before anything is wiped: no system of before is started whose other disks are gone.
Result<> partition_disks(const Plan& plan, Report& report);

}  // namespace signet
