#include <fcntl.h>
#include <linux/fs.h>
#include <sys/ioctl.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <format>
#include <vector>

#include "base/fd.h"
#include "base/size.h"
#include "base/text.h"
#include "machine/content.h"
#include "machine/machine.h"
#include "machine/medium.h"
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

// NVMe, MMC and virtio have a file of their own; SCSI and ATA show the unit serial number page as it is, four bytes of header first (SPC-4 §7.8.17).
std::string serial_of(const std::string& directory) {
  if (auto serial = hardware_text(directory, {"/device/serial", "/serial"}); !serial.empty()) return serial;
  constexpr std::size_t header = 4;
  const auto page = sysfs::text(directory + "/device/vpd_pg80");
  if (page.size() <= header) return {};
  const std::string_view serial(page.c_str() + header);  // up to the first zero byte
  return printable(trim(serial));
}

Disk describe_block_device(const std::string& sys, const std::string& dev, const std::string& name) {
  const std::string directory = sys + "/block/" + name;
  Disk disk;
  disk.name = name;
  disk.path = dev + "/" + name;
  disk.device = sysfs::text(directory + "/dev");
  disk.size = sysfs::number(directory + "/size") * 512;  // always 512-byte units, Documentation/ABI/stable/sysfs-block
  disk.sector_size = static_cast<std::uint32_t>(sysfs::number(directory + "/queue/logical_block_size", 512));
  disk.model = hardware_text(directory, {"/device/model", "/device/name"});
  disk.serial = serial_of(directory);
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

Result<> probe_content(Disk& disk, int fd) {
  auto state = TRY(read_content(fd, disk.size, disk.sector_size));
  disk.content = state.content.kind;
  disk.found = std::move(state.content.description);
  disk.mark = std::move(state.content.mark);
  disk.closed = state.closed;
  disk.table_id = std::move(state.table_id);
  disk.digest = std::move(state.digest);
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
  const auto medium = boot_medium_id();
  unsigned index = 0;
  for (const auto& name : sysfs::names(sys + "/block")) {
    const bool loop = name.starts_with("loop");
    const bool never = std::ranges::any_of(never_targets, [&](std::string_view prefix) { return name.starts_with(prefix); });
    // eMMC's boot areas and replay-protected memory are disks to the kernel, not to an installer.
    const bool mmc_area = name.starts_with("mmcblk") && (name.contains("boot") || name.contains("rpmb"));
    if ((never && !(loop && with_loops)) || mmc_area) continue;
    Disk disk = describe_block_device(sys, dev, name);
    if (disk.size == 0) continue;  // a card reader without a card, a loop without a file
    disk.boot_medium = !loop && is_boot_medium(name, medium, sys, dev);
    if (disk.boot_medium && disk.in_use.empty()) disk.in_use = "it is the boot medium";
    const auto fd = open_file(disk.path, O_RDONLY);
    auto probed = fd ? probe_content(disk, fd->get()) : Result<>(std::unexpected(fd.error()));
    if (!probed) {
      disk.content = DiskContent::foreign;
      disk.found = "unreadable: " + probed.error().message();
    }
    // The boot medium, which may be the first or the last to be found, moves no other disk.
    disk.index = index;
    if (!disk.boot_medium) ++index;
    disks.push_back(std::move(disk));
  }
  return disks;
}

Result<Disk> describe_disk(const std::string& path, std::uint32_t sector_size) {
  struct stat status{};
  if (::stat(path.c_str(), &status) != 0) return fail_errno("{}", path);
  // Opening a FIFO or a terminal could wait for ever.
  if (!S_ISBLK(status.st_mode) && !S_ISREG(status.st_mode)) return fail(ErrorKind::refused, "{} is neither a block device nor an image file", path);
  const Fd fd = TRY(open_file(path, O_RDONLY));
  return describe_open_disk(fd.get(), path, sector_size);
}

Result<Disk> describe_open_disk(int fd, const std::string& path, std::uint32_t sector_size) {
  auto disk = TRY(identify_open_disk(fd, path, sector_size));
  TRY_WITHIN(probe_content(disk, fd), path);
  return disk;
}

Result<Disk> identify_open_disk(int fd, const std::string& path, std::uint32_t sector_size) {
  struct stat status{};
  if (::fstat(fd, &status) != 0) return fail_errno("{}", path);
  Disk disk;
  if (S_ISBLK(status.st_mode)) {
    const auto number = std::format("{}:{}", major(status.st_rdev), minor(status.st_rdev));
    const auto name = sysfs::link_name("/sys/dev/block/" + number);
    if (name.empty()) return fail(ErrorKind::not_found, "{}: the kernel no longer has this disk", path);
    if (!sysfs::exists("/sys/block/" + name)) return fail(ErrorKind::refused, "{} is a partition, not a disk; name the whole disk", path);
    disk = describe_block_device("/sys", "/dev", name);
    disk.path = path;
    disk.device = number;
  } else if (S_ISREG(status.st_mode)) {
    disk.path = path;
    disk.name = path.substr(path.rfind('/') + 1);
    disk.device = std::format("{}:{} {}", major(status.st_dev), minor(status.st_dev), status.st_ino);
    disk.size = static_cast<std::uint64_t>(status.st_size);
    disk.sector_size = sector_size;
    disk.transport = "file";
    disk.is_file = true;
    disk.read_only = ::access(path.c_str(), W_OK) != 0;
    if (const auto loop = loop_on(path); !loop.empty()) disk.in_use = "attached to /dev/" + loop;
  } else {
    return fail(ErrorKind::refused, "{} is neither a block device nor an image file", path);
  }
  return disk;
}

Result<Fd> open_partition(const std::string& path, const PartitionPlace& expected) {
  auto fd = TRY(open_file(path, O_RDONLY));
  struct stat status{};
  std::uint64_t size = 0;
  if (::fstat(fd.get(), &status) != 0) return fail_errno("{}", path);
  if (!S_ISBLK(status.st_mode)) return fail(ErrorKind::refused, "{} is not a partition of the planned disk: it is not a block device", path);
  if (::ioctl(fd.get(), BLKGETSIZE64, &size) != 0) return fail_errno("size of {}", path);
  const auto directory = std::format("/sys/dev/block/{}:{}", major(status.st_rdev), minor(status.st_rdev));
  const auto number = sysfs::number(directory + "/partition"), start = sysfs::number(directory + "/start") * 512;
  const auto disk = sysfs::text(directory + "/../dev");
  if (disk != expected.disk || number != expected.number || start != expected.start || size != expected.size)
    return std::unexpected(
        Error(ErrorKind::refused,
              std::format("{} is not the planned partition: it is number {} at {} with {} on disk {}, but number {} at {} with {} on "
                          "disk {} was planned",
                          path, number, format_size(start), format_size(size), disk.empty() ? "?" : disk, expected.number,
                          format_size(expected.start), format_size(expected.size), expected.disk))
            .advise("something has changed the disk or its name since it was partitioned; look at it, then run the install again"));
  return fd;
}

}  // namespace signet
