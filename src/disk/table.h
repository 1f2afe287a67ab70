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

/// One disk opened by libfdisk, closed with this object. What libfdisk asks at a terminal is answered by no one.
class PartitionTable {
 public:
  static Result<PartitionTable> open(const Disk& disk, bool read_only);

  /// The partitions that are on the disk now; none if there is no table.
  std::vector<Region> partitions() const;
  /// Writes the planned table and reads it back.
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
