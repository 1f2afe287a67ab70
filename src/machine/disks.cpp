#include <fcntl.h>
#include <linux/fs.h>
#include <sys/ioctl.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <format>
#include <thread>
#include <vector>

#include "base/fd.h"
#include "base/size.h"
#include "base/text.h"
#include "machine/content.h"
#include "machine/local_config.h"
#include "machine/machine.h"
#include "machine/sysfs.h"

namespace signet {
namespace {

constexpr std::string_view never_targets[] = {"ram", "zram", "sr", "fd", "dm-", "md", "nbd", "mtdblock", "loop"};

// How a disk is attached, from the path of its device in sysfs: …/ata1/host0/target0:0:0/0:0:0:0/block/sda.
std::string transport_of(const std::string& sys, const std::string& name) {
  if (name.starts_with("nvme")) return "nvme";
  if (name.starts_with("mmcblk")) return "mmc";
  if (name.starts_with("loop")) return "loop";
  char path[PATH_MAX];
  if (!::realpath((sys + "/block/" + name).c_str(), path)) return {};
  const std::string_view device(path);
  const auto through = [&](std::string_view part) { return device.contains(part); };
  if (through("/usb")) return "usb";
  if (through("/virtio")) return "virtio";
  if (through("/ata")) return "sata";
  if (through("/end_device-") || through("/sas_")) return "sas";
  if (through("/host")) return "scsi";
  return {};
}

// Mount points by "major:minor", from proc_pid_mountinfo(5).
std::vector<std::pair<std::string, std::string>> mounts() {
  std::vector<std::pair<std::string, std::string>> found;
  const auto text = read_file("/proc/self/mountinfo");
  if (!text) return found;
  for (const auto line : split(*text, '\n')) {
    const auto fields = split(line, ' ');
    if (fields.size() > 4) found.emplace_back(fields[2], fields[4]);
  }
  return found;
}

std::string why_in_use(const std::string& sys, const std::string& name) {
  const auto mounted = mounts();
  const auto swaps = read_file("/proc/swaps");
  const auto judge = [&](const std::string& directory, const std::string& part) -> std::string {
    const auto number = sysfs::text(directory + "/dev");
    for (const auto& [device, place] : mounted)
      if (device == number) return std::format("{} is mounted on {}", part, place);
    if (swaps && swaps->contains("/dev/" + part + " ")) return part + " is swap in use";
    const auto holders = sysfs::names(directory + "/holders");
    if (!holders.empty()) return std::format("{} is held by {}", part, join(holders, ", "));
    return {};
  };
  const std::string disk = sys + "/block/" + name;
  if (auto why = judge(disk, name); !why.empty()) return why;
  for (const auto& part : sysfs::names(disk))
    if (part.starts_with(name))
      if (auto why = judge(disk + "/" + part, part); !why.empty()) return why;
  return {};
}

std::string hardware_text(const std::string& directory, std::initializer_list<const char*> names) {
  for (const char* name : names)
    if (auto value = sysfs::text(directory + name); !value.empty()) return printable(value);
  return {};
}

Disk describe_block_device(const std::string& sys, const std::string& dev, const std::string& name) {
  const std::string directory = sys + "/block/" + name;
  Disk disk;
  disk.name = name;
  disk.path = dev + "/" + name;
  disk.size = sysfs::number(directory + "/size") * 512;  // always 512-byte units, Documentation/ABI/stable/sysfs-block
  disk.sector_size = static_cast<std::uint32_t>(sysfs::number(directory + "/queue/logical_block_size", 512));
  disk.model = hardware_text(directory, {"/device/model", "/device/name"});
  disk.serial = hardware_text(directory, {"/device/serial", "/serial", "/device/vpd_pg80"});
  disk.wwn = hardware_text(directory, {"/wwid", "/device/wwid"});
  disk.transport = transport_of(sys, name);
  disk.rotational = sysfs::number(directory + "/queue/rotational") == 1;
  disk.removable = sysfs::number(directory + "/removable") == 1;
  disk.read_only = sysfs::number(directory + "/ro") == 1;
  disk.in_use = why_in_use(sys, name);
  return disk;
}

// The loop device that has this file attached, if any: writing below it would be seen by nobody who looks through it.
std::string loop_on(const std::string& path) {
  char resolved[PATH_MAX];
  if (!::realpath(path.c_str(), resolved)) return {};
  for (const auto& name : sysfs::names("/sys/block"))
    if (name.starts_with("loop") && sysfs::text("/sys/block/" + name + "/loop/backing_file") == resolved) return name;
  return {};
}

Result<> probe_content(Disk& disk) {
  auto content = TRY(read_content(disk.path, disk.size, disk.sector_size));
  disk.content = content.kind;
  disk.found = std::move(content.description);
  return {};
}

}  // namespace

std::string Disk::describe() const {
  std::string text = std::format("{} ({}", path, format_size(size));
  for (const auto* part : {&transport, &model})
    if (!part->empty()) text += ", " + *part;
  if (!serial.empty()) text += ", serial " + serial;
  return text + ")";
}

Result<std::vector<Disk>> scan_disks(const std::string& sys, const std::string& dev, bool with_loops) {
  std::vector<Disk> disks;
  for (const auto& name : sysfs::names(sys + "/block")) {
    const bool loop = name.starts_with("loop");
    const bool never = std::ranges::any_of(never_targets, [&](std::string_view prefix) { return name.starts_with(prefix); });
    // eMMC's boot areas and replay-protected memory are disks to the kernel, not to an installer.
    const bool mmc_area = name.starts_with("mmcblk") && (name.contains("boot") || name.contains("rpmb"));
    if ((never && !(loop && with_loops)) || mmc_area) continue;
    Disk disk = describe_block_device(sys, dev, name);
    if (!loop && is_signet_medium(name, sys, dev)) continue;
    if (disk.size == 0) continue;  // a card reader without a card, a loop without a file
    if (auto probed = probe_content(disk); !probed) {
      disk.content = DiskContent::foreign;
      disk.found = "unreadable: " + probed.error().message();
    }
    disk.index = static_cast<unsigned>(disks.size());
    disks.push_back(std::move(disk));
  }
  return disks;
}

DeviceEvents device_events(const std::string& sys) {
  return {sysfs::text(sys + "/kernel/uevent_seqnum"), std::chrono::steady_clock::now()};  // Documentation/ABI/testing/sysfs-kernel-uevent-seqnum
}

void wait_for_devices(const DeviceEvents& seen, std::chrono::milliseconds quiet, const std::string& sys) {
  const auto deadline = std::chrono::steady_clock::now() + std::chrono::seconds(10);
  for (auto last = seen;;) {
    const auto now = device_events(sys);
    if (now.sequence != last.sequence) last = now;
    if (now.since - last.since >= quiet || now.since >= deadline) return;
    std::this_thread::sleep_for(std::chrono::milliseconds(20));
  }
}

Result<Disk> describe_disk(const std::string& path, std::uint32_t sector_size) {
  struct stat status{};
  if (::stat(path.c_str(), &status) != 0) return fail_errno("{}", path);
  Disk disk;
  if (S_ISBLK(status.st_mode)) {
    const auto number = std::format("{}:{}", major(status.st_rdev), minor(status.st_rdev));
    const auto name = sysfs::link_name("/sys/dev/block/" + number);
    if (!sysfs::exists("/sys/block/" + name)) return fail(ErrorKind::refused, "{} is a partition, not a disk; name the whole disk", path);
    disk = describe_block_device("/sys", "/dev", name);
    disk.path = path;
  } else if (S_ISREG(status.st_mode)) {
    disk.path = path;
    disk.name = path.substr(path.rfind('/') + 1);
    disk.size = static_cast<std::uint64_t>(status.st_size);
    disk.sector_size = sector_size;
    disk.transport = "file";
    disk.is_file = true;
    disk.read_only = ::access(path.c_str(), W_OK) != 0;
    if (const auto loop = loop_on(path); !loop.empty()) disk.in_use = "attached to /dev/" + loop;
  } else {
    return fail(ErrorKind::refused, "{} is neither a block device nor an image file", path);
  }
  TRY_WITHIN(probe_content(disk), path);
  return disk;
}

}  // namespace signet
