// Where partitions lie on a disk.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "plan/plan.h"

namespace signet {

/// Partitions start and end on whole MiB (as every partitioner has done since disks have 4 KiB sectors), the first one at 1 MiB.
inline constexpr std::uint64_t alignment = 1024 * 1024;

/// Bytes from the start of the disk to where partitions must end. GPT keeps its backup behind it (UEFI 2.10 §5.3.1: a header and 16 KiB of entries at
/// least); MBR reaches 2^32 sectors.
std::uint64_t usable_end(const Disk& disk, TableType table);

/// The smallest and the largest partition that a format makes sense in, bytes; what the makers in filesystem/ can do.
std::uint64_t smallest(FormatType format);
std::uint64_t largest(FormatType format, std::uint32_t sector_size);

/// Reasons against a plan. Those that a larger disk would settle are counted apart.
struct Refusals {
  std::vector<std::string> reasons;
  std::size_t about_space = 0;

  void refuse(std::string reason) { reasons.push_back(std::move(reason)); }
  void no_space(std::string reason) {
    refuse(std::move(reason));
    ++about_space;
  }
};

/// Numbers, starts and sizes for a rule's partitions; what does not fit is refused.
std::vector<PlannedPartition> lay_out(const DiskRule& rule, const Disk& disk, Refusals& refusals);

}  // namespace signet
