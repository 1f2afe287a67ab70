#include "plan/layout.h"

#include <algorithm>
#include <format>

#include "base/size.h"

namespace signet {
namespace {

constexpr std::size_t most_gpt_partitions = 128;  // the 16 KiB of entries that every tool makes

}  // namespace

std::uint64_t usable_end(const Disk& disk, TableType table) {
  if (table == TableType::mbr) return round_down(std::min(disk.size, std::uint64_t{disk.sector_size} << 32), alignment);
  const std::uint64_t backup = round_up(16 * KiB, disk.sector_size) + disk.sector_size;
  return disk.size < backup ? 0 : round_down(disk.size - backup, alignment);
}

std::uint64_t smallest(FormatType format) {
  switch (format) {
    case FormatType::ext2: return 1 * MiB;
    case FormatType::ext3:
    case FormatType::ext4: return 8 * MiB;  // a journal of 1024 blocks and something to use it for
    case FormatType::vfat: return 8 * MiB;
    case FormatType::swap:
    case FormatType::none: break;
  }
  return alignment;
}

std::uint64_t largest(FormatType format, std::uint32_t sector_size) {
  switch (format) {
    case FormatType::ext2:
    case FormatType::ext3: return (std::uint64_t{1} << 32) * 4 * KiB - alignment;      // 32-bit numbers of 4 KiB blocks
    case FormatType::vfat: return (std::uint64_t{1} << 32) * sector_size - alignment;  // fatgen103: BPB_TotSec32
    case FormatType::ext4:
    case FormatType::swap:
    case FormatType::none: break;
  }
  return UINT64_MAX;
}

namespace {

// Sums and roundings that stay at the top instead of starting again from 0: a profile may ask for any number of exbibytes.
std::uint64_t plus(std::uint64_t a, std::uint64_t b) { return a > UINT64_MAX - b ? UINT64_MAX : a + b; }
std::uint64_t aligned_up(std::uint64_t value) {
  return value > UINT64_MAX - alignment ? round_down(UINT64_MAX, alignment) : round_up(value, alignment);
}

PlannedPartition planned_from(const PartitionRule& rule, unsigned number, const Disk& disk) {
  PlannedPartition planned;
  planned.number = number;
  planned.name = rule.name;
  planned.type = rule.type;
  planned.format = rule.format;
  // What every image of the last years can read, grow and check; GRUB before 2.12 does not know the checksum seed that mke2fs 1.47 sets.
  planned.compat = rule.compat == Compat::automatic ? Compat::y2018 : rule.compat;
  planned.label = rule.label;
  planned.mount = rule.mount;
  planned.options = rule.options;
  planned.in_file = disk.is_file;
  planned.device = disk.is_file ? disk.path : partition_device(disk.path, number);
  return planned;
}

void check_numbers(const DiskRule& rule, Refusals& refusals) {
  const auto count = rule.partitions.size();
  const auto rests = std::ranges::count_if(rule.partitions, [](const PartitionRule& each) { return each.size.kind == SizeRule::Kind::rest; });
  if (rests > 1) refusals.refuse(std::format("disk `{}`: {} partitions have the size \"rest\"; only one can", rule.id, rests));
  if (rule.table == TableType::mbr && count > 4)
    refusals.refuse(std::format("disk `{}`: an MBR table has room for 4 partitions, not {}; use table = \"gpt\"", rule.id, count));
  if (rule.table == TableType::gpt && count > most_gpt_partitions)
    refusals.refuse(std::format("disk `{}`: a GPT has room for {} partitions, not {}", rule.id, most_gpt_partitions, count));
}

}  // namespace

std::vector<PlannedPartition> lay_out(const DiskRule& rule, const Disk& disk, Refusals& refusals) {
  check_numbers(rule, refusals);
  const std::uint64_t end = usable_end(disk, rule.table);
  const std::uint64_t usable = end > alignment ? end - alignment : 0;
  std::vector<PlannedPartition> planned;
  std::uint64_t fixed = 0;
  for (const auto& partition : rule.partitions) {
    auto each = planned_from(partition, static_cast<unsigned>(planned.size() + 1), disk);
    if (partition.size.kind == SizeRule::Kind::bytes) each.size = aligned_up(partition.size.value);
    if (partition.size.kind == SizeRule::Kind::percent) each.size = round_down(usable / 100 * partition.size.value, alignment);
    fixed = plus(fixed, each.size);
    planned.push_back(std::move(each));
  }
  if (fixed > usable) {
    refusals.no_space(std::format("disk `{}`: {} is too small: its partitions need {}, but {} can be used, {} are missing", rule.id, disk.describe(),
                                  format_size(fixed), format_size(usable), format_size(fixed - usable)));
    return planned;
  }

  std::uint64_t at = alignment;
  for (std::size_t i = 0; i < planned.size(); ++i) {
    auto& each = planned[i];
    if (rule.partitions[i].size.kind == SizeRule::Kind::rest) each.size = usable - fixed;
    each.start = at;
    at += each.size;
    const auto least = smallest(each.format), most = largest(each.format, disk.sector_size);
    if (each.size < least)
      refusals.no_space(std::format("disk `{}`: {} is too small: partition `{}` would get {}, but needs at least {}", rule.id, disk.describe(),
                                    each.name, format_size(each.size), format_size(least)));
    if (each.size > most)
      refusals.refuse(std::format("disk `{}`: partition `{}` would get {}, but {} can use at most {}; give it a size of its own", rule.id, each.name,
                                  format_size(each.size), to_string(each.format), format_size(most)));
  }
  return planned;
}

std::string partition_device(const std::string& disk, unsigned number) {
  const bool digit = !disk.empty() && disk.back() >= '0' && disk.back() <= '9';
  return std::format("{}{}{}", disk, digit ? "p" : "", number);
}

}  // namespace signet
