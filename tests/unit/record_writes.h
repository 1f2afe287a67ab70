// What the program under test writes to one file and when it syncs, recorded below the C library; and the states that a power cut could leave.
#pragma once

#include <cstdint>
#include <random>
#include <string>
#include <vector>

namespace signet {

struct RecordedWrite {
  std::uint64_t offset = 0;
  std::string bytes;
  bool sync = false;  // not a write: everything before it is on the disk
};

/// Records write(2), pwrite(2), fsync(2) and fdatasync(2) on the file at `path`, by any descriptor, as long as it lives. One at a time.
class RecordWrites {
 public:
  explicit RecordWrites(const std::string& path);
  ~RecordWrites();
  std::vector<RecordedWrite> take();
};

/// A disk's image in memory, by 512-byte sectors as a disk writes them.
using DiskImage = std::string;

/// The state at the `syncs`-th sync, and then each sector of what was written up to the next sync with a probability of one half, the last write of a
/// sector that was kept winning. With `random` null only what was synced.
DiskImage after_cut(const DiskImage& before, const std::vector<RecordedWrite>& writes, std::size_t syncs, std::mt19937_64* random);

}  // namespace signet
