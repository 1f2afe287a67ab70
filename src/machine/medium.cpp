#include "machine/medium.h"

#include <fcntl.h>
#include <sys/mount.h>
#include <sys/stat.h>

#include <algorithm>
#include <format>
#include <set>
#include <utility>

#include "base/fd.h"
#include "base/regular_file.h"
#include "base/text.h"
#include "machine/superblock.h"
#include "machine/sysfs.h"

namespace signet {
namespace {

constexpr std::size_t longest_id = 128;
constexpr const char* scratch = "/run/signet/medium";

bool is_ours(std::string_view label) { return label == config_label || label == medium_label; }

struct BlockDevice {
  std::string name;        // as in /dev
  std::string appearance;  // "vda1:7:2048:4096": diskseq of its disk (sysfs-block, since Linux 5.15), start and size; another one each time
};

// Whole disks and their partitions.
std::vector<BlockDevice> block_devices(const std::string& sys) {
  std::vector<BlockDevice> found;
  for (const auto& disk : sysfs::names(sys + "/block")) {
    const auto place = sys + "/block/" + disk;
    if (disk.starts_with("ram") || disk.starts_with("zram") || disk.starts_with("fd")) continue;
    if (disk.starts_with("loop") && sysfs::number(place + "/size") == 0) continue;
    const auto sequence = sysfs::text(place + "/diskseq");
    const auto add = [&](const std::string& name, const std::string& at) {
      found.push_back(
          {name, sequence.empty() ? "" : std::format("{}:{}:{}:{}", name, sequence, sysfs::text(at + "/start"), sysfs::text(at + "/size"))});
    };
    add(disk, place);
    for (const auto& part : sysfs::names(place))
      if (part.starts_with(disk)) add(part, place + "/" + part);
  }
  return found;
}

// The appearances that were probed and are not ours. What cannot be kept is probed again.
class Probed {
 public:
  Probed() {
    const auto text = read_file(path_, 1 << 20).value_or("");
    for (const auto line : split(text, '\n')) others_.emplace(line);
  }
  bool has(const BlockDevice& device) const { return !device.appearance.empty() && others_.contains(device.appearance); }
  void add(const BlockDevice& device) {
    if (device.appearance.empty()) return;
    const auto kept = open_file(path_, O_WRONLY | O_APPEND | O_CREAT, 0600).and_then([&](const Fd& file) {
      return write_all(file.get(), device.appearance + "\n");
    });
    if (kept) others_.insert(device.appearance);
  }

 private:
  static constexpr const char* path_ = "/run/signet/probed";
  std::set<std::string, std::less<>> others_;
};

}  // namespace

std::vector<Medium> find_media() {
  std::vector<Medium> found;
  Probed probed;
  for (const auto& device : block_devices("/sys")) {
    if (probed.has(device)) continue;
    const auto path = "/dev/" + device.name;
    const auto label = probe_label(path);
    if (label && is_ours(*label))
      found.push_back({path, *label});
    else if (label)
      probed.add(device);
  }
  return found;
}

Result<std::optional<std::string>> read_from(const Medium& medium, std::string_view file, std::size_t limit) {
  ::mkdir(scratch, 0700);
  // "noload": a journal is not replayed, which would write to a disk that is in no plan.
  constexpr std::pair<const char*, const char*> types[] = {{"vfat", nullptr}, {"iso9660", nullptr}, {"ext4", "noload"}, {"squashfs", nullptr}};
  const bool mounted = std::ranges::any_of(types, [&](const auto& type) {
    return ::mount(medium.device.c_str(), scratch, type.first, MS_RDONLY | MS_NOSUID | MS_NODEV | MS_NOEXEC | MS_NOSYMFOLLOW, type.second) == 0;
  });
  if (!mounted) return fail_errno("mount {}", medium.device);
  const auto text = open_beneath(scratch, std::string(file)).and_then([&](const Fd& fd) { return read_regular(fd, std::string(file), limit); });
  ::umount2(scratch, MNT_DETACH);
  if (text) return std::optional(*text);
  if (text.error().kind() == ErrorKind::not_found) return std::optional<std::string>();
  return std::unexpected(Error(text.error()).within(medium.device));
}

Result<std::optional<std::string>> read_from_medium(std::string_view file, std::size_t limit) {
  for (const auto& medium : find_media())
    if (medium.label == medium_label)
      if (auto text = TRY(read_from(medium, file, limit))) return text;
  return std::optional<std::string>();
}

std::string boot_medium_id() {
  const auto text = read_file("/etc/signet/medium.id", longest_id);
  return text ? std::string(trim(*text)) : std::string();
}

bool has_id(const Medium& medium, const std::string& id) {
  if (id.empty()) return false;
  const auto text = read_from(medium, "medium.id", longest_id);
  return text && *text && trim(**text) == id;
}

bool is_boot_medium(const std::string& name, const std::string& id, const std::string& sys, const std::string& dev) {
  if (id.empty()) return false;
  for (const auto& device : block_devices(sys)) {
    if (!device.name.starts_with(name) || (device.name != name && !sysfs::exists(sys + "/block/" + name + "/" + device.name))) continue;
    const Medium medium{dev + "/" + device.name, label_of(dev + "/" + device.name)};
    if (is_ours(medium.label) && has_id(medium, id)) return true;
  }
  return false;
}

}  // namespace signet
