#include "plan/plan.h"

#include <algorithm>
#include <format>
#include <map>
#include <set>

#include "base/size.h"
#include "base/text.h"
#include "plan/layout.h"
#include "plan/match.h"
#include "plan/wipe.h"

namespace signet {
namespace {

// Collects every reason against the plan.
class Planner {
 public:
  explicit Planner(const PlanInputs& inputs) : inputs_(inputs) {}

  Result<Plan> make() {
    check_rules();
    std::ranges::copy_if(inputs_.hosts, std::back_inserter(plan_.hosts), [](const std::string& host) { return !host.empty(); });
    plan_.targets = inputs_.targets;
    for (const auto& rule : inputs_.profile.disks) plan_disk(rule);
    note_unused();
    plan_image();
    plan_boot_loader();
    const auto& reasons = refusals_.reasons;
    if (reasons.empty()) return std::move(plan_);
    const bool only_space = refusals_.about_space == reasons.size();
    return std::unexpected(Error(only_space ? ErrorKind::no_space : ErrorKind::refused, join(reasons, "\n"))
                               .advise("nothing has been changed; correct the profile, or give this machine the disk that it asks for"));
  }

 private:
  void refuse(std::string reason) { refusals_.refuse(std::move(reason)); }

  // What parse_profile() sees to for files holds for flags too.
  void check_rules() {
    if (inputs_.profile.disks.empty()) return refuse("the profile has no [[disk]], so there is no place for the system");
    std::map<std::string, std::string> mounts;  // and the name of the partition there
    for (const auto& rule : inputs_.profile.disks) {
      std::set<std::string> names;
      for (const auto& partition : rule.partitions) {
        if (!names.insert(partition.name).second) refuse(std::format("disk `{}`: two partitions are called `{}`", rule.id, partition.name));
        if (partition.mount.empty()) continue;
        const auto [other, placed] = mounts.try_emplace(partition.mount, partition.name);
        if (!placed) refuse(std::format("partitions `{}` and `{}` both mount `{}`", other->second, partition.name, partition.mount));
      }
    }
    if (!mounts.contains("/")) refuse("no partition has mount = \"/\": where shall the system go?");
  }

  void plan_disk(const DiskRule& rule) {
    const auto chosen = choose_disk(rule, inputs_.machine.disks);
    if (!chosen) return refuse(chosen.error().message());
    const Disk* disk = *chosen;
    for (const auto& other : plan_.disks)
      if (other.disk.path == disk->path) return refuse(std::format("disks `{}` and `{}` are both {}", other.id, rule.id, disk->describe()));
    if (const auto why = why_not_usable(rule, *disk, inputs_.machine.disks, plan_.hosts); !why.empty())
      refuse(std::format("disk `{}`: {} {}", rule.id, disk->describe(), why));

    PlannedDisk planned;
    planned.disk = *disk;
    planned.id = rule.id;
    planned.table = rule.table;
    const auto uuid = inputs_.new_uuid();
    planned.table_uuid = rule.table == TableType::gpt ? uuid : "0x" + uuid.substr(0, 8);
    planned.partitions = lay_out(rule, *disk, refusals_);
    for (auto& partition : planned.partitions) {
      if (partition.format == FormatType::none) continue;
      partition.uuid = inputs_.new_uuid();
      if (partition.format == FormatType::vfat) {
        auto serial = partition.uuid.substr(0, 8);
        for (char& c : serial)
          if (c >= 'a' && c <= 'f') c = static_cast<char>(c - 'a' + 'A');
        partition.uuid = serial.substr(0, 4) + "-" + serial.substr(4);
      }
    }
    plan_.disks.push_back(std::move(planned));
  }

  void note_unused() {
    for (const auto& disk : inputs_.machine.disks)
      if (!std::ranges::any_of(plan_.disks, [&](const PlannedDisk& planned) { return planned.disk.path == disk.path; }))
        plan_.unused.push_back(std::format("{}: holds {}", disk.describe(), disk.found));
  }

  void plan_image() {
    plan_.image_source = inputs_.profile.image.source;
    plan_.image_sha256 = inputs_.profile.image.sha256;
    plan_.image_size = inputs_.image_size;
    if (!plan_.image_size) return;
    // What is stored compressed cannot need less room than it takes now.
    std::uint64_t room = 0;
    for (const auto* partition : plan_.mounts()) room += partition->size;
    if (room > 0 && *plan_.image_size > room)
      refusals_.no_space(
          std::format("the image is {} as stored, but the target's file systems have {} in all", format_size(*plan_.image_size), format_size(room)));
  }

  // The disk that firmware starts from: the one that holds "/", or "/boot" if that is apart.
  const PlannedDisk* boot_disk() const {
    const PlannedDisk* found = nullptr;
    for (const auto& disk : plan_.disks)
      for (const auto& partition : disk.partitions)
        if (partition.mount == "/boot" || (partition.mount == "/" && !found)) found = &disk;
    return found;
  }

  void plan_boot_loader() {
    const auto* disk = boot_disk();
    const auto wanted = inputs_.profile.configure.boot_loader;
    plan_.boot_loader = BootLoader::none;
    if (!disk || wanted == BootLoader::none) return;
    const bool embeds =
        disk->table == TableType::mbr || std::ranges::any_of(disk->partitions, [](const auto& each) { return each.type == PartitionType::bios; });
    const bool efi = disk->disk.is_file ? !embeds : inputs_.machine.efi;
    plan_.boot_loader = BootLoader::grub;
    plan_.firmware = efi ? Firmware::efi : Firmware::bios;
    plan_.boot_disk = disk->disk.path;
    if (efi && !plan_.esp())
      refuse(
          std::format("disk `{}`: UEFI starts a system from a mounted partition of type \"esp\", as in {{ name = \"esp\", size = \"64MiB\", type = "
                      "\"esp\", format = \"vfat\", mount = \"/boot/efi\" }}; add one, or set configure.boot_loader = \"none\"",
                      disk->id));
    // Its loader would lie where firmware looks from the moment in which the image is unpacked.
    if (const auto* esp = plan_.esp(); efi && esp && (esp->mount == "/boot" || esp->mount == "/"))
      refuse(
          std::format("disk `{}`: an EFI system partition mounted on {} would start an install that is not finished; mount it on /boot/efi or /efi",
                      disk->id, esp->mount));
    if (!efi && !embeds)
      refuse(
          std::format("disk `{}`: GRUB needs a partition of type \"bios\" (1 MiB) on a GPT disk to start by BIOS; add one, or set "
                      "configure.boot_loader = \"none\"",
                      disk->id));
    // Its boot code counts in sectors of 512 bytes, and so does what a BIOS reads for it.
    if (!efi && disk->disk.sector_size != 512)
      refuse(
          std::format("disk `{}`: a BIOS does not start from a disk with sectors of {} bytes; start this machine by UEFI, or set "
                      "configure.boot_loader = \"none\"",
                      disk->id, disk->disk.sector_size));
  }

  const PlanInputs& inputs_;
  Plan plan_;
  Refusals refusals_;
};

}  // namespace

std::vector<const PlannedPartition*> Plan::mounts() const {
  std::vector<const PlannedPartition*> found;
  for (const auto& disk : disks)
    for (const auto& partition : disk.partitions)
      if (!partition.mount.empty()) found.push_back(&partition);
  // A parent's path is a prefix of its children's, so it sorts before them.
  std::ranges::stable_sort(found, {}, [](const PlannedPartition* partition) { return partition->mount; });
  return found;
}

const PlannedPartition* Plan::esp() const {
  for (const auto& planned : disks)
    if (planned.disk.path == boot_disk && planned.table == TableType::gpt)
      for (const auto& partition : planned.partitions)
        if (partition.type == PartitionType::esp && partition.format == FormatType::vfat && !partition.mount.empty()) return &partition;
  return nullptr;
}

namespace {

// Code points, which is what a console gives a column to.
std::size_t width(std::string_view text) {
  return static_cast<std::size_t>(std::ranges::count_if(text, [](char c) { return (c & 0xc0) != 0x80; }));
}

std::string padded(std::string_view text, std::size_t columns) {
  return std::string(text) + std::string(columns > width(text) ? columns - width(text) : 0, ' ');
}

std::string table_text(const PlannedDisk& planned) {
  constexpr std::size_t widest_name = 16;
  std::size_t column = 4;
  for (const auto& partition : planned.partitions) column = std::clamp(width(partition.name), column, widest_name);
  std::string text = std::format("   #  {}  {:>9}  type   format  mount\n", padded("name", column), "size");
  for (const auto& partition : planned.partitions)
    text += std::format("  {:>2}  {}  {:>9}  {:<5}  {:<6}  {}\n", partition.number, padded(partition.name, column), format_size(partition.size),
                        to_string(partition.type), partition.format == FormatType::none ? "-" : to_string(partition.format),
                        partition.mount.empty() ? "-" : partition.mount);
  return text;
}

}  // namespace

std::string Plan::text() const {
  std::string text;
  for (const auto& planned : disks) {
    text += std::format("{}: {}\n", planned.id, planned.disk.describe());
    text += std::format("  holds {}; gets a new {} table\n", planned.disk.found.empty() ? "?" : planned.disk.found, to_string(planned.table));
    text += table_text(planned);
  }
  for (const auto& each : unused) text += std::format("not used: {}\n", each);
  if (!image_source.empty()) {
    const auto uri = parse_uri(image_source);
    text += std::format("image: {}{}\n", uri ? uri->display() : hide_secrets(image_source), image_size ? ", " + format_size(*image_size) : "");
  }
  text +=
      boot_disk.empty() ? "boot loader: none" : std::format("boot loader: GRUB for {} on {}", firmware == Firmware::efi ? "UEFI" : "BIOS", boot_disk);
  return text;
}

Result<Plan> make_plan(const PlanInputs& inputs) { return Planner(inputs).make(); }

}  // namespace signet
