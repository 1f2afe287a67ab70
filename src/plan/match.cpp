#include "plan/match.h"

#include <fnmatch.h>

#include <algorithm>
#include <format>

#include "base/size.h"
#include "base/text.h"
#include "plan/wipe.h"

namespace signet {

std::string why_not(const DiskMatch& match, const Disk& disk) {
  std::string why;
  const auto add = [&](const std::string& text) { why += (why.empty() ? "" : ", ") + text; };
  const auto pattern = [&](const char* name, const std::optional<std::string>& wanted, const std::string& have, int flags) {
    if (wanted && ::fnmatch(wanted->c_str(), have.c_str(), flags) != 0)
      add(have.empty() ? std::format("it has no {}", name) : std::format("{} \"{}\" is not \"{}\"", name, have, *wanted));
  };
  if (disk.boot_medium) add("it is the boot medium");
  pattern("path", match.path, disk.path, 0);
  pattern("wwn", match.wwn, disk.wwn, FNM_CASEFOLD);
  pattern("serial", match.serial, disk.serial, FNM_CASEFOLD);
  pattern("model", match.model, disk.model, FNM_CASEFOLD);
  pattern("transport", match.transport, disk.transport, FNM_CASEFOLD);
  if (match.size && !match.size->holds(disk.size)) add(std::format("size {} is not {}", format_size(disk.size), match.size->text));
  if (match.rotational && *match.rotational != disk.rotational) add(disk.rotational ? "it rotates" : "it does not rotate");
  if (match.index && *match.index != disk.index) add(std::format("index {} is not {}", disk.index, *match.index));
  return why;
}

std::string sets_apart(const Disk& disk, std::span<const Disk* const> others) {
  const auto alone = [&](std::string Disk::* property) {
    const auto& value = disk.*property;
    // What fnmatch(3) or TOML would read otherwise is better not offered to be copied.
    return !value.empty() && value.find_first_of("*?[\\\"") == std::string::npos &&
           std::ranges::none_of(others, [&](const Disk* other) { return other != &disk && to_lower(other->*property) == to_lower(value); });
  };
  if (alone(&Disk::serial)) return std::format("serial = \"{}\"", disk.serial);
  if (alone(&Disk::wwn)) return std::format("wwn = \"{}\"", disk.wwn);
  return std::format("path = \"{}\"", disk.path);
}

namespace {

bool same_wwn(const Disk& a, const Disk& b) { return &a != &b && !a.wwn.empty() && to_lower(a.wwn) == to_lower(b.wwn); }

}  // namespace

Result<const Disk*> choose_disk(const DiskRule& rule, const std::vector<Disk>& disks) {
  std::vector<const Disk*> matching;
  for (const auto& disk : disks)
    if (why_not(rule.match, disk).empty()) matching.push_back(&disk);
  if (matching.size() == 1) return matching.front();

  std::string text;
  if (matching.empty()) {
    text = std::format("disk `{}`: no disk matches {}", rule.id, rule.match.text());
    for (const auto& disk : disks) text += std::format("\n  {}: {}", disk.describe(), why_not(rule.match, disk));
    if (disks.empty()) text += "\n  this kernel sees no disk in this machine";
  } else {
    text = std::format("disk `{}`: {} disks match {}, but exactly one may", rule.id, matching.size(), rule.match.text());
    for (const auto* disk : matching) {
      const auto other = std::ranges::find_if(matching, [&](const Disk* each) { return same_wwn(*each, *disk); });
      text += other == matching.end()
                  ? std::format("\n  {}: holds {}; to mean this one, add {} to its match", disk->describe(), disk->found, sets_apart(*disk, matching))
                  : std::format(
                        "\n  {}: holds {}; the same WWN as {}, so they are two paths to one disk: connect one path for the install, or add "
                        "path = \"{}\" to its match",
                        disk->describe(), disk->found, (*other)->path, disk->path);
    }
  }
  return std::unexpected(Error(ErrorKind::refused, std::move(text)));
}

std::string why_not_usable(const DiskRule& rule, const Disk& disk, const std::vector<Disk>& disks, std::span<const std::string> hosts) {
  if (disk.read_only) return "is read-only";
  if (!disk.in_use.empty()) return "is in use: " + disk.in_use;
  for (const auto& other : disks)
    if (same_wwn(other, disk) && !other.in_use.empty()) return std::format("is also {}, which is in use: {}", other.path, other.in_use);
  // What cannot be read now cannot be compared before the first write.
  if (disk.digest.empty()) return std::format("cannot be used: {}", disk.found);
  return why_not_wiped(rule.wipe, disk, hosts);
}

}  // namespace signet
