#include "plan/plan.h"

#include <algorithm>
#include <format>

#include "base/size.h"
#include "base/text.h"
#include "plan/layout.h"
#include "plan/match.h"

namespace signet {
namespace {

// Collects every reason against the plan.
class Planner {
 public:
  explicit Planner(const PlanInputs& inputs) : inputs_(inputs) {}

  Result<Plan> make() {
    for (const auto& rule : inputs_.profile.disks) plan_disk(rule);
    plan_image();
    plan_boot_loader();
    if (refusals_.empty()) return std::move(plan_);
    const bool only_space = space_refusals_ == refusals_.size();
    return std::unexpected(Error(only_space ? ErrorKind::no_space : ErrorKind::refused, join(refusals_, "\n"))
                               .advise("nothing has been changed; correct the profile, or give this machine the disk that it asks for"));
  }

 private:
  void refuse(std::string reason) { refusals_.push_back(std::move(reason)); }

  // The one disk that a rule matches, or a refusal that shows every candidate.
  const Disk* choose(const DiskRule& rule) {
    const auto& disks = inputs_.machine.disks;
    std::vector<const Disk*> matching;
    for (const auto& disk : disks)
      if (why_not(rule.match, disk).empty()) matching.push_back(&disk);
    if (matching.size() == 1) return matching.front();

    std::string text;
    if (matching.empty()) {
      text = std::format("disk `{}`: no disk matches {}", rule.id, rule.match.text());
      for (const auto& disk : disks) text += std::format("\n  {}: {}", disk.describe(), why_not(rule.match, disk));
      if (disks.empty()) text += "\n  this machine has no disk that this kernel can see";
    } else {
      text = std::format("disk `{}`: {} disks match {}, but exactly one may", rule.id, matching.size(), rule.match.text());
      for (const auto* disk : matching) text += std::format("\n  {}: holds {}", disk->describe(), disk->found);
      text += "\n  tell them apart by path, serial, wwn, size or index";
    }
    refuse(std::move(text));
    return nullptr;
  }

  bool may_wipe(const DiskRule& rule, const Disk& disk) {
    const auto refuse_disk = [&](std::string why) {
      refuse(std::format("disk `{}`: {} {}", rule.id, disk.describe(), why));
      return false;
    };
    if (disk.read_only) return refuse_disk("is read-only");
    if (!disk.in_use.empty()) return refuse_disk("is in use: " + disk.in_use);
    switch (rule.wipe) {
      case WipeRule::any: return true;
      case WipeRule::signet:
        if (disk.content != DiskContent::foreign) return true;
        return refuse_disk(std::format(
            "holds {}; wipe = \"signet\" allows only empty disks and those that Signet installed, wipe = \"any\" would allow it", disk.found));
      case WipeRule::blank:
        if (disk.content == DiskContent::blank) return true;
        return refuse_disk(std::format("is not empty, it holds {}; wipe = \"blank\" forbids that, wipe = \"{}\" would allow it", disk.found,
                                       disk.content == DiskContent::signet ? "signet" : "any"));
    }
    return false;
  }

  void plan_disk(const DiskRule& rule) {
    const Disk* disk = choose(rule);
    if (!disk) return;
    for (const auto& other : plan_.disks)
      if (other.disk.path == disk->path) return refuse(std::format("disks `{}` and `{}` are both {}", other.id, rule.id, disk->describe()));
    if (!may_wipe(rule, *disk)) return;

    PlannedDisk planned;
    planned.disk = *disk;
    planned.id = rule.id;
    planned.table = rule.table;
    const auto uuid = inputs_.new_uuid();
    planned.table_uuid = rule.table == TableType::gpt ? uuid : "0x" + uuid.substr(0, 8);
    const auto before = refusals_.size();
    planned.partitions = lay_out(rule, *disk, refusals_);
    space_refusals_ += refusals_.size() - before;
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

  void plan_image() {
    plan_.image_source = inputs_.profile.image.source;
    plan_.image_sha256 = inputs_.profile.image.sha256;
    plan_.image_size = inputs_.image_size;
    if (!plan_.image_size) return;
    // What is stored compressed cannot need less room than it takes now.
    std::uint64_t room = 0;
    for (const auto* partition : plan_.mounts()) room += partition->size;
    if (room > 0 && *plan_.image_size > room) {
      refuse(
          std::format("the image is {} as stored, but the target's file systems have {} in all", format_size(*plan_.image_size), format_size(room)));
      ++space_refusals_;
    }
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
    auto wanted = inputs_.profile.configure.boot_loader;
    const auto* disk = boot_disk();
    if (!disk) {
      plan_.boot_loader = BootLoader::none;
      return;
    }
    const bool embeds =
        disk->table == TableType::mbr || std::ranges::any_of(disk->partitions, [](const auto& each) { return each.type == PartitionType::bios; });
    if (wanted == BootLoader::automatic) wanted = inputs_.machine.efi || !embeds ? BootLoader::none : BootLoader::grub;
    if (wanted == BootLoader::none && inputs_.profile.configure.boot_loader == BootLoader::automatic) {
      if (inputs_.machine.efi)
        refuse(
            "this machine was started by UEFI firmware, and this version of Signet installs GRUB for BIOS only; start it in BIOS (CSM) mode, or set "
            "configure.boot_loader = \"none\"");
      else
        refuse(
            std::format("disk `{}`: GRUB needs a partition of type \"bios\" (1 MiB) on a GPT disk to start by BIOS; add one, or set "
                        "configure.boot_loader = \"none\"",
                        disk->id));
    }
    if (wanted == BootLoader::grub && !embeds)
      refuse(std::format("disk `{}`: configure.boot_loader = \"grub\" needs a partition of type \"bios\" (1 MiB) on a GPT disk", disk->id));
    plan_.boot_loader = wanted;
    if (wanted == BootLoader::grub) plan_.boot_disk = disk->disk.path;
  }

  const PlanInputs& inputs_;
  Plan plan_;
  std::vector<std::string> refusals_;
  std::size_t space_refusals_ = 0;
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

std::string Plan::text() const {
  std::string text;
  for (const auto& planned : disks) {
    text += std::format("{}: {}, holds {}\n", planned.id, planned.disk.describe(), planned.disk.found.empty() ? "?" : planned.disk.found);
    text += std::format("  new {} table\n", to_string(planned.table));
    for (const auto& partition : planned.partitions)
      text += std::format("  {:>2} {:<12} {:>9}  {:<6} {:<5} {}\n", partition.number, partition.name, format_size(partition.size),
                          to_string(partition.type), partition.format == FormatType::none ? "-" : to_string(partition.format), partition.mount);
  }
  if (!image_source.empty()) {
    const auto uri = parse_uri(image_source);
    text += std::format("image: {}{}\n", uri ? uri->display() : image_source, image_size ? ", " + format_size(*image_size) : "");
  }
  text += boot_disk.empty() ? "boot loader: none" : "boot loader: GRUB for BIOS on " + boot_disk;
  return text;
}

Result<Plan> make_plan(const PlanInputs& inputs) { return Planner(inputs).make(); }

}  // namespace signet
