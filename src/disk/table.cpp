#include "disk/table.h"

#include <libfdisk/libfdisk.h>

#include <cstring>
#include <format>

namespace signet {
namespace {

struct FreePartition {
  void operator()(fdisk_partition* partition) const { fdisk_unref_partition(partition); }
};
using Partition = std::unique_ptr<fdisk_partition, FreePartition>;

struct FreeTable {
  void operator()(fdisk_table* table) const { fdisk_unref_table(table); }
};

// GPT: the Discoverable Partitions Specification and UEFI 2.10 table 5.7; MBR: the bytes that fdisk(8) lists.
struct TypeCode {
  PartitionType type;
  const char* gpt;
  const char* mbr;
};
constexpr TypeCode type_codes[] = {
    {PartitionType::linux, "0FC63DAF-8483-4772-8E79-3D69D8477DE4", "83"}, {PartitionType::esp, "C12A7328-F81F-11D2-BA4B-00A0C93EC93B", "ef"},
    {PartitionType::bios, "21686148-6449-6E6F-744E-656564454649", "83"},  {PartitionType::swap, "0657FD6D-A4AB-43C4-84E5-0933C84B4F4F", "82"},
    {PartitionType::boot, "BC13C2FF-59E6-4262-A352-B275FD6F7172", "83"},  {PartitionType::home, "933AC7E1-2EB4-4F13-B844-0E14E2AEF915", "83"},
    {PartitionType::raid, "A19D880F-05FC-4D3B-A006-743F0F84911E", "fd"},  {PartitionType::lvm, "E6D6D379-F507-44C2-A23C-238F2A3DF928", "8e"},
};

fdisk_parttype* parse_type(fdisk_context* context, PartitionType type, TableType table) {
  for (const auto& code : type_codes)
    if (code.type == type) return fdisk_label_parse_parttype(fdisk_get_label(context, nullptr), table == TableType::gpt ? code.gpt : code.mbr);
  return nullptr;
}

// libfdisk returns negative errno values.
std::unexpected<Error> failed(int code, std::string_view what) { return std::unexpected(Error::from_errno(what, -code)); }

// Answers what only a dialogue would be for: the disk's id.
int answer_disk_id(fdisk_context*, fdisk_ask* ask, void* data) {
  if (fdisk_ask_get_type(ask) != FDISK_ASKTYPE_STRING) return -EINVAL;
  // libfdisk frees the answer.
  return fdisk_ask_string_set_result(ask, ::strdup(static_cast<const std::string*>(data)->c_str()));
}

}  // namespace

void PartitionTable::Close::operator()(fdisk_context* context) const { fdisk_unref_context(context); }

Result<PartitionTable> PartitionTable::open(const Disk& disk, int fd) {
  PartitionTable table(fdisk_new_context(), disk.path);
  if (!table.context_) return fail(ErrorKind::io, "{}: out of memory", disk.path);
  fdisk_disable_dialogs(table.context_.get(), 1);
  if (disk.is_file) fdisk_save_user_sector_size(table.context_.get(), disk.sector_size, disk.sector_size);
  // A new table keeps bytes 0 to 439, which are ours.
  fdisk_enable_bootbits_protection(table.context_.get(), 1);
  if (const int code = fdisk_assign_device_by_fd(table.context_.get(), fd, disk.path.c_str(), 0); code != 0)
    return failed(code, std::format("read the partition table of {}", disk.path));
  return table;
}

std::vector<Region> PartitionTable::partitions() const {
  std::vector<Region> regions;
  fdisk_table* raw = nullptr;
  if (!fdisk_has_label(context_.get()) || fdisk_get_partitions(context_.get(), &raw) != 0) return regions;
  const std::unique_ptr<fdisk_table, FreeTable> list(raw);
  const auto sector = std::uint64_t{fdisk_get_sector_size(context_.get())};
  for (std::size_t i = 0; i < fdisk_table_get_nents(raw); ++i) {
    fdisk_partition* partition = fdisk_table_get_partition(raw, i);
    if (fdisk_partition_has_start(partition) && fdisk_partition_has_size(partition))
      regions.push_back({fdisk_partition_get_start(partition) * sector, fdisk_partition_get_size(partition) * sector});
  }
  return regions;
}

Result<> PartitionTable::write(const PlannedDisk& planned) {
  fdisk_context* context = context_.get();
  const bool gpt = planned.table == TableType::gpt;
  const auto sector = std::uint64_t{fdisk_get_sector_size(context)};
  if (const int code = fdisk_create_disklabel(context, gpt ? "gpt" : "dos"); code != 0)
    return failed(code, std::format("make a {} table on {}", to_string(planned.table), path_));

  std::string id = planned.table_uuid;
  fdisk_set_ask(context, answer_disk_id, &id);
  fdisk_disable_dialogs(context, 0);
  const int set = fdisk_set_disklabel_id(context);
  fdisk_disable_dialogs(context, 1);
  fdisk_set_ask(context, nullptr, nullptr);
  if (set != 0) return failed(set, std::format("set the id of the table on {}", path_));

  for (const auto& each : planned.partitions) {
    const Partition partition(fdisk_new_partition());
    fdisk_partition_set_partno(partition.get(), each.number - 1);
    fdisk_partition_set_start(partition.get(), each.start / sector);
    fdisk_partition_set_size(partition.get(), each.size / sector);
    fdisk_partition_size_explicit(partition.get(), 1);
    if (gpt) fdisk_partition_set_name(partition.get(), each.name.c_str());
    fdisk_parttype* type = parse_type(context, each.type, planned.table);
    const int typed = type ? fdisk_partition_set_type(partition.get(), type) : -EINVAL;
    if (type) fdisk_unref_parttype(type);
    if (typed != 0) return failed(typed, std::format("partition {} of {}: set its type", each.number, path_));
    if (const int code = fdisk_add_partition(context, partition.get(), nullptr); code != 0)
      return failed(code, std::format("add partition {} ({}) to {}", each.number, each.name, path_));
  }
  // Some BIOSes start nothing from an MBR disk on which no partition is active; without boot code in the MBR it does no harm.
  if (!gpt)
    for (const auto& each : planned.partitions)
      if (each.mount == "/") fdisk_toggle_partition_flag(context, each.number - 1, DOS_FLAG_ACTIVE);

  if (const int code = fdisk_write_disklabel(context); code != 0) return failed(code, std::format("write the partition table of {}", path_));
  const auto written = partitions();
  bool same = written.size() == planned.partitions.size();
  for (std::size_t i = 0; same && i < written.size(); ++i)
    same = written[i].start == planned.partitions[i].start && written[i].size == planned.partitions[i].size;
  if (!same) return fail(ErrorKind::io, "{}: the partition table that was written is not the planned one", path_);
  return {};
}

Result<> PartitionTable::reread() {
  if (const int code = fdisk_reread_partition_table(context_.get()); code != 0)
    return failed(code, std::format("make the kernel read the new partition table of {}", path_));
  return {};
}

}  // namespace signet
