// UEFI's boot variables, through efivarfs (Documentation/filesystems/efivarfs.rst).
#include <blkid/blkid.h>
#include <fcntl.h>
#include <linux/fs.h>
#include <sys/ioctl.h>
#include <unistd.h>

#include <algorithm>
#include <charconv>
#include <cstdlib>
#include <format>
#include <functional>
#include <memory>

#include "base/fd.h"
#include "base/text.h"
#include "configure/boot_entry.h"
#include "configure/configure.h"
#include "configure/target_root.h"

namespace signet {
namespace {

constexpr std::string_view global_variable = "8be4df61-93ca-11d2-aa0d-00e098032b8c";  // EFI_GLOBAL_VARIABLE, UEFI 2.10 §3.3
constexpr std::string_view signet_variable = "0f1c9b5e-6d0a-4f0f-9c39-5d1f3a8e7b26";  // ours
constexpr const char* asked = "SignetAsked";
constexpr unsigned char attributes = 7;  // non-volatile, at boot, at run time
constexpr const char* loader = "/EFI/BOOT/BOOTX64.EFI";
constexpr unsigned most_entries = 0x10000;

class Variables {
 public:
  explicit Variables(std::string directory, std::string_view vendor = global_variable) : directory_(std::move(directory)), vendor_(vendor) {}

  std::optional<Bytes> read(const std::string& name) const {
    const auto text = read_file(path_of(name));
    if (!text || text->size() < 4) return std::nullopt;
    return Bytes(text->begin() + 4, text->end());
  }

  // One write(2) with the attributes in front: efivarfs takes a variable whole.
  Result<> write(const std::string& name, std::span<const unsigned char> value) const {
    std::string text = {static_cast<char>(attributes), 0, 0, 0};
    text.append(value.begin(), value.end());
    // efivarfs marks variables that it does not know as immutable, to protect them from accidental removal.
    if (const auto there = open_file(path_of(name), O_RDONLY)) {
      int flags = 0;
      if (::ioctl(there->get(), FS_IOC_GETFLAGS, &flags) == 0 && (flags & FS_IMMUTABLE_FL) != 0) {
        flags &= ~FS_IMMUTABLE_FL;
        ::ioctl(there->get(), FS_IOC_SETFLAGS, &flags);
      }
    }
    const Fd fd = TRY(open_file(path_of(name), O_WRONLY | O_CREAT | O_TRUNC, 0644));
    const ssize_t written = ::write(fd.get(), text.data(), text.size());
    if (written < 0) return fail_errno("write UEFI variable {}", name);
    if (static_cast<std::size_t>(written) != text.size()) return fail(ErrorKind::io, "UEFI variable {} was written in part", name);
    return {};
  }

  Result<> remove(const std::string& name) const {
    if (::unlink(path_of(name).c_str()) != 0 && errno != ENOENT) return fail_errno("remove UEFI variable {}", name);
    return {};
  }

  // The numbers of all Boot####, ascending.
  std::vector<std::uint16_t> entries() const {
    std::vector<std::uint16_t> numbers;
    const auto root = TargetRoot::open(directory_);
    for (const auto& file : root ? root->list("/") : std::vector<std::string>()) {
      unsigned number = 0;
      if (file.size() == 9 + global_variable.size() && file.starts_with("Boot") && file.ends_with(global_variable) &&
          std::from_chars(file.data() + 4, file.data() + 8, number, 16).ptr == file.data() + 8)
        numbers.push_back(static_cast<std::uint16_t>(number));
    }
    std::ranges::sort(numbers);
    return numbers;
  }

 private:
  std::string path_of(const std::string& name) const { return std::format("{}/{}-{}", directory_, name, vendor_); }
  std::string directory_;
  std::string_view vendor_;
};

std::string entry_name(unsigned number) { return std::format("Boot{:04X}", number); }

std::vector<std::uint16_t> numbers_of(const Bytes& bytes) {
  std::vector<std::uint16_t> numbers;
  for (std::size_t at = 0; at + 2 <= bytes.size(); at += 2) numbers.push_back(static_cast<std::uint16_t>(bytes[at] | bytes[at + 1] << 8));
  return numbers;
}

Bytes bytes_of(std::span<const std::uint16_t> numbers) {
  Bytes bytes;
  for (const auto number : numbers) {
    bytes.push_back(static_cast<unsigned char>(number));
    bytes.push_back(static_cast<unsigned char>(number >> 8));
  }
  return bytes;
}

// Where the partition table has it, by libblkid's low-level probe.
Result<BootPartition> describe_partition(const std::string& device, std::uint32_t sector_size) {
  const std::unique_ptr<blkid_struct_probe, decltype(&blkid_free_probe)> probe(blkid_new_probe_from_filename(device.c_str()), blkid_free_probe);
  if (!probe) return fail_errno("probe {}", device);
  blkid_probe_enable_superblocks(probe.get(), 0);
  blkid_probe_enable_partitions(probe.get(), 1);
  blkid_probe_set_partitions_flags(probe.get(), BLKID_PARTS_ENTRY_DETAILS);
  if (blkid_do_safeprobe(probe.get()) != 0) return fail(ErrorKind::io, "{} is not found in a partition table", device);
  const auto value = [&](const char* name) {
    const char* text = nullptr;
    return blkid_probe_lookup_value(probe.get(), name, &text, nullptr) == 0 && text ? std::string(text) : std::string();
  };
  const auto number = [&](const char* name) { return parse_unsigned(value(name)).value_or(0); };
  constexpr std::uint64_t unit = 512;  // of OFFSET and SIZE, whatever the disk's own sector is
  return BootPartition{static_cast<std::uint32_t>(number("PART_ENTRY_NUMBER")), number("PART_ENTRY_OFFSET") * unit / sector_size,
                       number("PART_ENTRY_SIZE") * unit / sector_size, value("PART_ENTRY_UUID")};
}

// BootOrder and BootNext without the entry.
Result<> drop_from_order(const Variables& variables, std::uint16_t number) {
  auto order = numbers_of(variables.read("BootOrder").value_or(Bytes()));
  if (std::erase(order, number) != 0) TRY(variables.write("BootOrder", bytes_of(order)));
  if (numbers_of(variables.read("BootNext").value_or(Bytes())) == std::vector{number}) TRY(variables.remove("BootNext"));
  return {};
}

Result<unsigned> forget(const Variables& variables, const std::vector<std::string>& partitions) {
  unsigned removed = 0;
  for (const auto number : variables.entries()) {
    const auto option = variables.read(entry_name(number));
    const auto target = option ? load_option_target(*option) : BootTarget();
    if (target.partition.empty() || std::ranges::find(partitions, target.partition) == partitions.end()) continue;
    // The order first: an entry that it does not name is harmless, a name without an entry confuses some firmware.
    TRY(drop_from_order(variables, number));
    TRY(variables.remove(entry_name(number)));
    ++removed;
  }
  return removed;
}

std::optional<std::uint16_t> free_entry(const Variables& variables) {
  const auto taken = variables.entries();
  for (unsigned number = 0; number < most_entries; ++number)
    if (!std::ranges::binary_search(taken, number)) return static_cast<std::uint16_t>(number);
  return std::nullopt;
}

// Of a disk with a GPT.
void for_each_partition(const std::string& disk, const std::function<void(blkid_partition)>& work) {
  const std::unique_ptr<blkid_struct_probe, decltype(&blkid_free_probe)> probe(blkid_new_probe_from_filename(disk.c_str()), blkid_free_probe);
  if (!probe) return;
  blkid_probe_enable_superblocks(probe.get(), 0);
  blkid_probe_enable_partitions(probe.get(), 1);
  blkid_partlist list = blkid_probe_get_partitions(probe.get());
  blkid_parttable table = list ? blkid_partlist_get_table(list) : nullptr;
  if (!table || std::string_view(blkid_parttable_get_type(table)) != "gpt") return;
  for (int i = 0; i < blkid_partlist_numof_partitions(list); ++i) work(blkid_partlist_get_partition(list, i));
}

Result<BootPartition> find_esp(const std::string& disk) {
  constexpr std::string_view esp_type = "c12a7328-f81f-11d2-ba4b-00a0c93ec93b";  // UEFI 2.10 table 5.7
  std::optional<BootPartition> found;
  for_each_partition(disk, [&](blkid_partition partition) {
    const char* type = blkid_partition_get_type_string(partition);
    const char* uuid = blkid_partition_get_uuid(partition);
    if (!found && type && uuid && to_lower(type) == esp_type)
      found = BootPartition{static_cast<std::uint32_t>(blkid_partition_get_partno(partition)),
                            static_cast<std::uint64_t>(blkid_partition_get_start(partition)),
                            static_cast<std::uint64_t>(blkid_partition_get_size(partition)), uuid};
  });
  if (!found) return fail(ErrorKind::not_found, "{} has no EFI system partition", disk);
  return *found;
}

}  // namespace

std::string system_name(const std::string& root) {
  const auto target = TargetRoot::open(root);
  const auto text = target ? target->read("/etc/os-release").value_or("") : std::string();
  for (const auto line : split(text, '\n')) {
    if (!line.starts_with("NAME=")) continue;
    auto name = trim(line.substr(5));
    if (name.size() >= 2 && (name.front() == '"' || name.front() == '\'')) name = name.substr(1, name.size() - 2);
    return std::string(name.substr(0, 60));
  }
  return "Linux";
}

std::vector<std::string> partition_guids(const std::string& disk) {
  std::vector<std::string> found;
  for_each_partition(disk, [&](blkid_partition partition) {
    if (const char* uuid = blkid_partition_get_uuid(partition)) found.push_back(to_lower(uuid));
  });
  return found;
}

Result<std::uint16_t> add_boot_entry(const std::string& name, const BootPartition& partition, bool first, const std::string& directory) {
  const Variables variables(directory);
  const auto option = TRY(load_option(name, partition, loader));
  const std::vector<std::string> ours = {to_lower(partition.guid)};
  TRY(forget(variables, ours));
  const auto number = free_entry(variables);
  if (!number) return fail(ErrorKind::no_space, "no UEFI boot entry is free");
  const auto set = [&]() -> Result<> {
    TRY(variables.write(entry_name(*number), option));
    const auto order = numbers_of(variables.read("BootOrder").value_or(Bytes()));
    const auto wanted = with_entry(order, *number, first);
    if (wanted != order) TRY(variables.write("BootOrder", bytes_of(wanted)));
    return variables.write("BootNext", bytes_of(std::span(&*number, 1)));
  };
  if (auto done = set(); !done) {
    // Variables that are full may have taken a part.
    [[maybe_unused]] const auto undone = forget(variables, ours);
    return std::unexpected(std::move(done).error());
  }
  return *number;
}

Result<unsigned> forget_boot_entries(const std::vector<std::string>& partitions, const std::string& directory) {
  if (partitions.empty() || ::access(directory.c_str(), F_OK) != 0) return 0U;
  return forget(Variables(directory), partitions);
}

Result<> start_next_from(const std::string& disk, const std::string& directory) {
  const Variables variables(directory);
  const auto partitions = partition_guids(disk);
  const auto start = [&](std::uint16_t number) { return variables.write("BootNext", bytes_of(std::span(&number, 1))); };
  for (const auto number : variables.entries()) {
    const auto option = variables.read(entry_name(number));
    if (option && std::ranges::contains(partitions, load_option_target(*option).partition)) return start(number);
  }
  const auto esp = TRY(find_esp(disk));
  const auto number = free_entry(variables);
  if (!number) return fail(ErrorKind::no_space, "no UEFI boot entry is free");
  const auto option = TRY(load_option("Local disk", esp, loader));
  TRY(variables.write(entry_name(*number), option));
  return start(*number);
}

unsigned times_asked(std::string_view state, const std::string& directory) {
  const auto last = Variables(directory, signet_variable).read(asked).value_or(Bytes());
  const auto same = [](char a, unsigned char b) { return static_cast<unsigned char>(a) == b; };
  return last.size() == state.size() + 1 && std::equal(state.begin(), state.end(), last.begin() + 1, same) ? last[0] : 0;
}

Result<> note_asked(std::string_view state, unsigned times, const std::string& directory) {
  Bytes value = {static_cast<unsigned char>(std::min(times, 255U))};
  value.insert(value.end(), state.begin(), state.end());
  return Variables(directory, signet_variable).write(asked, value);
}

Result<> set_boot_entry(const ConfigureInputs& inputs, const std::string& name, Report& report, const std::string& directory) {
  const auto& plan = inputs.plan;
  const auto* esp = plan.esp();
  if (plan.firmware != Firmware::efi || plan.boot_loader != BootLoader::grub || !esp || esp->in_file) return {};
  if (::access(directory.c_str(), W_OK) != 0) return fail_errno("{}", directory);
  std::uint32_t sector_size = 512;
  for (const auto& planned : plan.disks)
    if (planned.disk.path == plan.boot_disk) sector_size = planned.disk.sector_size;
  const auto partition = TRY(describe_partition(esp->device, sector_size));
  const bool first = inputs.profile.finish.boot_order == BootOrder::disk_first;
  const auto number = TRY(add_boot_entry(name, partition, first, directory));
  report.log("UEFI: \"{}\" ({}) is started next{}", name, entry_name(number), first ? " and is first in the boot order" : "; the boot order is kept");
  return {};
}

}  // namespace signet
