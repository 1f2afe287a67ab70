// Image files as disks: loop(4).
#pragma once

#include <string>

#include "base/fd.h"
#include "plan/plan.h"

namespace signet {

/// An image file as a block device with the planned partitions that are in it (/dev/loop0p1 …). The kernel frees it when nothing of it is mounted and
/// this object is gone (LO_FLAGS_AUTOCLEAR).
class LoopDisk {
 public:
  static Result<LoopDisk> attach(const PlannedDisk& disk);

  /// The device of one of its partitions.
  std::string partition(unsigned number) const { return partition_device(path_, number); }

 private:
  LoopDisk() = default;
  std::string path_;
  Fd fd_;
};

}  // namespace signet
