// fstab(5).
#include <algorithm>
#include <format>

#include "base/text.h"
#include "configure/steps.h"

namespace signet {
namespace {

// Blanks and backslashes in a field are written in octal, fstab(5).
std::string escaped(std::string_view field) {
  std::string text;
  for (const char c : field) {
    if (c == ' ' || c == '\t' || c == '\\' || c == '#')
      text += std::format("\\{:03o}", static_cast<unsigned>(static_cast<unsigned char>(c)));
    else
      text += c;
  }
  return text;
}

std::vector<std::string_view> fields_of(std::string_view line) {
  std::vector<std::string_view> fields;
  while (!(line = trim(line)).empty()) {
    const auto end = std::min(line.find_first_of(" \t"), line.size());
    fields.push_back(line.substr(0, end));
    line.remove_prefix(end);
  }
  return fields;
}

// A line of the image's own fstab that is as right here as where it came from: it needs no disk of that machine.
bool holds_anywhere(std::string_view line) {
  const auto fields = fields_of(line);
  if (fields.size() < 4 || fields[0].starts_with('#') || fields[2] == "swap") return false;
  constexpr std::string_view disks[] = {"/dev/", "UUID=", "LABEL=", "PARTUUID=", "PARTLABEL=", "ID="};
  return std::ranges::none_of(disks, [&](std::string_view disk) { return fields[0].starts_with(disk); });
}

std::string options_of(const PlannedPartition& partition) {
  if (!partition.options.empty()) return join(partition.options, ",");
  if (partition.mount == "/") return partition.format == FormatType::vfat ? "defaults" : "errors=remount-ro";
  return partition.format == FormatType::vfat ? "umask=0077" : "defaults";
}

}  // namespace

std::string fstab_text(const Plan& plan, std::string_view existing) {
  std::string text = "# Written by Signet. See fstab(5).\n# device  mount point  type  options  dump  pass\n";
  const auto line = [&](const PlannedPartition& partition, std::string_view place, std::string_view options, int pass) {
    text += std::format("UUID={}  {}  {}  {}  0  {}\n", partition.uuid, escaped(place), to_string(partition.format), escaped(options), pass);
  };
  const auto mounts = plan.mounts();
  for (const auto* partition : mounts) line(*partition, partition->mount, options_of(*partition), partition->mount == "/" ? 1 : 2);
  for (const auto& disk : plan.disks)
    for (const auto& partition : disk.partitions)
      if (partition.format == FormatType::swap) line(partition, "none", partition.options.empty() ? "sw" : join(partition.options, ","), 0);

  for (const auto each : split(existing, '\n')) {
    if (!holds_anywhere(each)) continue;
    const auto place = fields_of(each)[1];
    if (std::ranges::none_of(mounts, [&](const auto* partition) { return escaped(partition->mount) == place; })) text.append(each).append("\n");
  }
  return text;
}

Result<> configure_fstab(const TargetRoot& target, const Plan& plan) {
  return target.write("/etc/fstab", fstab_text(plan, target.read("/etc/fstab").value_or("")));
}

}  // namespace signet
