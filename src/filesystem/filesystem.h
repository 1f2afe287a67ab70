// filesystem/: make file systems and swap areas, and mount the target tree.
//
// ext2/3/4 are made by our own code on libext2fs, with the features that mke2fs(8) gives by default in the year that `compat` names; vfat by our own
// writer (Microsoft's FAT specification, fatgen103); swap areas as mkswap(8) makes them.
#pragma once

#include <cstdint>
#include <string>
#include <utility>
#include <vector>

#include "base/fd.h"
#include "plan/plan.h"
#include "report/report.h"

namespace signet {

/// Where a file system goes: a block device, or a part of an image file.
struct FormatRequest {
  std::string path;
  std::uint64_t offset = 0;  // bytes; 0 on a block device
  std::uint64_t size = 0;    // bytes
  FormatType type = FormatType::ext4;
  Compat compat = Compat::y2018;  // ext4
  std::string label;
  std::string uuid;         // as blkid prints it; vfat: "1A2B-3C4D"
  std::string mount_point;  // kept by ext4 as "last mounted on"; may be empty
  std::uint32_t sector_size = 512;
};

/// Makes it, synced to the disk. Whatever libext2fs or a write reports comes back with what was being done.
Result<> make_filesystem(const FormatRequest& request);

/// Every formatted partition of the plan, in the order of disks and numbers, with an event for each.
Result<> format_partitions(const Plan& plan, Report& report);

/// The smallest size in bytes that make_filesystem() accepts for a type.
std::uint64_t minimum_size(FormatType type);

/// The target tree, mounted below one directory. Unmounts everything that it mounted, children first, when it goes.
class TargetTree {
 public:
  /// Mounts plan.mounts() below `root` (made if missing); partitions in image files through loop devices that vanish with the mount
  /// (LO_FLAGS_AUTOCLEAR). Swap partitions are not enabled. Of an EFI system partition a directory is mounted that firmware does not look into
  /// (filesystem/esp.h). Refused where something else is mounted at or below `root`.
  static Result<TargetTree> mount(const Plan& plan, const std::string& root);
  /// Mounts one partition of a planned disk, as it is, on `place` (made if missing).
  static Result<TargetTree> mount_one(const PlannedDisk& disk, const PlannedPartition& partition, const std::string& place);

  TargetTree(TargetTree&&) noexcept = default;
  TargetTree& operator=(TargetTree&&) noexcept;
  TargetTree(const TargetTree&) = delete;
  ~TargetTree();

  const std::string& root() const { return root_; }
  /// syncfs(2) of each, then umount(2), children first. Tries all, reports the first failure with who holds it.
  Result<> unmount();
  /// Leaves everything mounted when this object goes (a later verb takes it up again).
  void release();

 private:
  TargetTree() = default;
  Result<> add(const PlannedPartition& partition, const std::string& device, const std::string& place);
  std::string root_;
  std::vector<std::string> mounted_;  // parents first
};

/// The file systems of the mounted target, held open so that an error of writing back is seen whenever it happens: the kernel tells it once to each
/// descriptor (syncfs(2)), and to one that is opened later if nobody has seen it yet. Must be gone before the target is unmounted.
class Writeback {
 public:
  /// Everything of ours that is mounted at or below `root` now.
  static Result<Writeback> watch(const std::string& root);
  /// syncfs(2) of each; the error names the place.
  Result<> sync() const;

 private:
  std::vector<std::pair<std::string, Fd>> places_;
};

/// Unmounts what TargetTree::mount() has mounted at or below `root` (noted in /run/signet, for each mount namespace) and what is mounted upon it,
/// children first.
Result<> unmount_below(const std::string& root);

}  // namespace signet
