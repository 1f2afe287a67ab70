// UEFI's boot variables, through efivarfs (Documentation/filesystems/efivarfs.rst).
#include <blkid/blkid.h>
#include <fcntl.h>
#include <unistd.h>

#include <cstdlib>
#include <format>
#include <memory>

#include "base/fd.h"
#include "base/text.h"
#include "configure/boot_entry.h"
#include "configure/configure.h"
#include "configure/target_root.h"

namespace signet {
namespace {

constexpr std::string_view global_variable = "8be4df61-93ca-11d2-aa0d-00e098032b8c";  // EFI_GLOBAL_VARIABLE, UEFI 2.10 §3.3
constexpr unsigned char attributes = 7;                                               // non-volatile, at boot, at run time
constexpr const char* loader = "/EFI/BOOT/BOOTX64.EFI";
constexpr unsigned most_entries = 0x10000;

class Variables {
 public:
  explicit Variables(std::string directory) : directory_(std::move(directory)) {}

  std::optional<Bytes> read(const std::string& name) const {
    const auto text = read_file(path_of(name));
    if (!text || text->size() < 4) return std::nullopt;
    return Bytes(text->begin() + 4, text->end());
  }

  // One write(2) with the attributes in front: efivarfs takes a variable whole.
  Result<> write(const std::string& name, std::span<const unsigned char> value) const {
    std::string text = {static_cast<char>(attributes), 0, 0, 0};
    text.append(value.begin(), value.end());
    const Fd fd = TRY(open_file(path_of(name), O_WRONLY | O_CREAT, 0644));
    const ssize_t written = ::write(fd.get(), text.data(), text.size());
    if (written < 0) return fail_errno("write UEFI variable {}", name);
    if (static_cast<std::size_t>(written) != text.size()) return fail(ErrorKind::io, "UEFI variable {} was written in part", name);
    return {};
  }

 private:
  std::string path_of(const std::string& name) const { return std::format("{}/{}-{}", directory_, name, global_variable); }
  std::string directory_;
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

// The entry that an earlier install of the same system has left, or else the first number that is free.
std::optional<std::uint16_t> entry_for(const Variables& variables, std::string_view description) {
  std::optional<std::uint16_t> free;
  for (unsigned number = 0; number < most_entries; ++number) {
    const auto option = variables.read(entry_name(number));
    if (option && load_option_description(*option) == description) return static_cast<std::uint16_t>(number);
    if (!option && !free) free = static_cast<std::uint16_t>(number);
    if (number > 0x200 && free) break;  // firmware numbers from 0; nothing of ours stands so high
  }
  return free;
}

}  // namespace

Result<> set_boot_entry(const ConfigureInputs& inputs, Report& report, const std::string& directory) {
  const auto& plan = inputs.plan;
  const auto* esp = plan.esp();
  if (plan.firmware != Firmware::efi || plan.boot_loader != BootLoader::grub || !esp || esp->in_file) return {};
  if (::access(directory.c_str(), W_OK) != 0) return fail_errno("{}", directory);
  std::uint32_t sector_size = 512;
  for (const auto& planned : plan.disks)
    if (planned.disk.path == plan.boot_disk) sector_size = planned.disk.sector_size;
  const auto partition = TRY(describe_partition(esp->device, sector_size));
  const auto description = system_name(inputs.root);
  const Variables variables(directory);
  const auto number = entry_for(variables, description);
  if (!number) return fail(ErrorKind::no_space, "no UEFI boot entry is free");
  const auto option = TRY(load_option(description, partition, loader));
  TRY(variables.write(entry_name(*number), option));
  const bool first = inputs.profile.finish.boot_order == BootOrder::disk_first;
  const auto order = numbers_of(variables.read("BootOrder").value_or(Bytes()));
  const auto wanted = with_entry(order, *number, first);
  if (wanted != order) TRY(variables.write("BootOrder", bytes_of(wanted)));
  TRY(variables.write("BootNext", bytes_of(std::span(&*number, 1))));
  report.log("UEFI starts \"{}\" ({}) next{}", description, entry_name(*number), first ? ", and from now on" : "; the boot order stays");
  return {};
}

}  // namespace signet
