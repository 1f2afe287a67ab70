// What stands on a disk before it is touched, by libblkid and by looking.
#pragma once

#include <cstdint>
#include <string>

#include "base/result.h"
#include "machine/machine.h"

namespace signet {

struct Content {
  DiskContent kind = DiskContent::foreign;
  std::string description;
};

/// Reads signatures of the whole disk and of its partitions. A disk without any is blank only if its first and last MiB are zeros: what looks
/// empty but is not (an encrypted disk without a header) stays foreign.
Result<Content> read_content(const std::string& path, std::uint64_t size, std::uint32_t sector_size);

}  // namespace signet
