// File systems that may hold an installed system, for the rescue shell: found without a write, and never through a member of an array.
#pragma once

#include <string>
#include <vector>

#include "base/result.h"

namespace signet {

struct FoundFileSystem {
  std::string device;   // "/dev/sda2"
  std::string type;     // ext2 ext3 ext4 xfs btrfs vfat
  std::string options;  // for mount(8), so that not even a journal is replayed
};

struct SkippedDevice {
  std::string device;
  std::string why;
};

struct FoundSystems {
  std::vector<FoundFileSystem> systems;
  std::vector<SkippedDevice> skipped;  // that hold something, but cannot be looked into by themselves
};

/// The file system on a device or in an image file. Refused with the reason if it is a part of something else: a RAID, a volume group, an encrypted
/// or a stacked device, or a partition of a disk that is one as a whole. not_found if there is none of the types above.
Result<FoundFileSystem> look_into(const std::string& device, const std::string& sys = "/sys");

/// Every block device of this machine that may hold a root: all that look_into() takes but vfat.
FoundSystems find_systems(const std::string& sys = "/sys", const std::string& dev = "/dev");

}  // namespace signet
