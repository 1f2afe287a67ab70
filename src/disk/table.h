// A disk's partition table, by libfdisk.
#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "base/result.h"
#include "plan/plan.h"

struct fdisk_context;

namespace signet {

struct Region {
  std::uint64_t start = 0;  // bytes
  std::uint64_t size = 0;   // bytes
};

/// The table of one disk. What libfdisk would ask at a terminal has no answer here.
class PartitionTable {
 public:
  /// Reads the disk that `fd` has open for reading and writing; `fd` stays the caller's and must outlive this object.
  static Result<PartitionTable> open(const Disk& disk, int fd);

  /// The partitions that are on the disk now; none if there is no table.
  std::vector<Region> partitions() const;
  /// Writes the planned table, leaves the boot code of the first sector as it is, and compares what was written.
  Result<> write(const PlannedDisk& planned);
  /// Tells the kernel (block devices); the caller waits for the device nodes.
  Result<> reread();

 private:
  struct Close {
    void operator()(fdisk_context* context) const;
  };
  PartitionTable(fdisk_context* context, std::string path) : context_(context), path_(std::move(path)) {}

  std::unique_ptr<fdisk_context, Close> context_;
  std::string path_;
};

}  // namespace signet
