#include "plan/layout.h"

#include <algorithm>
#include <format>

#include "base/size.h"

namespace signet {

std::uint64_t usable_end(const Disk& disk, TableType table) {
  if (table == TableType::mbr) return round_down(std::min(disk.size, std::uint64_t{disk.sector_size} << 32), alignment);
  const std::uint64_t backup = round_up(16 * KiB, disk.sector_size) + disk.sector_size;
  return disk.size < backup ? 0 : round_down(disk.size - backup, alignment);
}

std::uint64_t smallest(FormatType format, PartitionType type) {
  switch (format) {
    case FormatType::ext2: return 1 * MiB;
    case FormatType::ext3:
    case FormatType::ext4: return 8 * MiB;  // a journal of 1024 blocks and something to use it for
    case FormatType::vfat: return 8 * MiB;
    case FormatType::swap: return 1 * MiB;
    case FormatType::none: break;
  }
  return type == PartitionType::bios ? 1 * MiB : alignment;
}

std::vector<PlannedPartition> lay_out(const DiskRule& rule, const Disk& disk, std::vector<std::string>& refusals) {
  std::vector<PlannedPartition> planned;
  const std::uint64_t end = usable_end(disk, rule.table);
  const std::uint64_t usable = end > alignment ? end - alignment : 0;
  std::uint64_t fixed = 0;
  for (const auto& partition : rule.partitions) {
    PlannedPartition each;
    each.number = static_cast<unsigned>(planned.size() + 1);
    each.name = partition.name;
    each.type = partition.type;
    each.format = partition.format;
    each.label = partition.label;
    each.mount = partition.mount;
    each.options = partition.options;
    if (partition.size.kind == SizeRule::Kind::bytes) each.size = round_up(partition.size.value, alignment);
    if (partition.size.kind == SizeRule::Kind::percent) each.size = round_down(usable / 100 * partition.size.value, alignment);
    fixed += each.size;
    planned.push_back(std::move(each));
  }

  if (rule.table == TableType::mbr && planned.size() > 4)
    refusals.push_back(std::format("disk `{}`: an MBR table has room for 4 partitions, not {}; use table = \"gpt\"", rule.id, planned.size()));
  if (fixed > usable) {
    refusals.push_back(std::format("disk `{}`: {} is too small: its partitions need {}, but {} can be used, {} are missing", rule.id, disk.describe(),
                                   format_size(fixed), format_size(usable), format_size(fixed - usable)));
    return planned;
  }

  std::uint64_t at = alignment;
  for (std::size_t i = 0; i < planned.size(); ++i) {
    auto& each = planned[i];
    if (rule.partitions[i].size.kind == SizeRule::Kind::rest) each.size = usable - fixed;
    each.start = at;
    at += each.size;
    each.in_file = disk.is_file;
    each.device = disk.is_file ? disk.path : partition_device(disk.path, each.number);
    const auto least = smallest(each.format, each.type);
    if (each.size < least)
      refusals.push_back(std::format("disk `{}`: {} is too small: partition `{}` would get {}, but needs at least {}", rule.id, disk.describe(),
                                     each.name, format_size(each.size), format_size(least)));
  }
  return planned;
}

std::string partition_device(const std::string& disk, unsigned number) {
  const bool digit = !disk.empty() && disk.back() >= '0' && disk.back() <= '9';
  return std::format("{}{}{}", disk, digit ? "p" : "", number);
}

}  // namespace signet
