#include "disk/disk.h"

#include <fcntl.h>
#include <linux/fs.h>
#include <sys/ioctl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <chrono>
#include <ctime>
#include <format>
#include <thread>
#include <vector>

#include "base/size.h"
#include "disk/first_sector.h"
#include "disk/table.h"
#include "plan/again.h"

namespace signet {
namespace {

constexpr auto node_limit = std::chrono::seconds(10);

Result<> sync_disk(int fd) {
  if (::fsync(fd) != 0) return fail_errno("sync");
  return {};
}

Result<> zero(int fd, std::uint64_t from, std::uint64_t to) {
  static const std::vector<std::byte> zeros(MiB);
  while (from < to) {
    const auto step = std::min<std::uint64_t>(to - from, zeros.size());
    TRY(write_all_at(fd, std::span(zeros).first(step), from));
    from += step;
  }
  return {};
}

// The first and last MiB of a region: where file systems, RAID and LVM have their signatures.
Result<> wipe_edges(int fd, Region region, std::uint64_t disk_size) {
  // What lies in the first and last MiB of the disk is gone already, and the mark with the first sector must stay.
  const auto start = std::max(region.start, MiB), end = std::min(region.start + region.size, disk_size > MiB ? disk_size - MiB : 0);
  if (start >= end) return {};
  const auto edge = std::min<std::uint64_t>(end - start, MiB);
  TRY(zero(fd, start, start + edge));
  return zero(fd, end - edge, end);
}

Result<> close_and_mark(int fd, const Mark& mark) {
  TRY(close_first_sector(fd));
  return write_mark(fd, mark);
}

// Both ends of the disk, but for the boot code and the mark.
Result<> wipe_table(int fd, std::uint64_t disk_size) {
  TRY(zero(fd, boot_code_size, 510));
  TRY(zero(fd, 512, mark_offset));
  TRY(zero(fd, mark_offset + mark_size, MiB));
  TRY(zero(fd, std::max(MiB, disk_size - std::min(disk_size, MiB)), disk_size));
  return sync_disk(fd);
}

Result<> wipe_partitions(int fd, const std::vector<Region>& old_partitions, const PlannedDisk& planned) {
  for (const auto& region : old_partitions) TRY(wipe_edges(fd, region, planned.disk.size));
  for (const auto& partition : planned.partitions) TRY(wipe_edges(fd, {partition.start, partition.size}, planned.disk.size));
  return sync_disk(fd);
}

// devtmpfs makes the nodes when the kernel has read the table, udev perhaps a moment later.
Result<> wait_for_nodes(const PlannedDisk& planned) {
  const auto deadline = std::chrono::steady_clock::now() + node_limit;
  for (const auto& partition : planned.partitions) {
    struct stat status{};
    while (::stat(partition.device.c_str(), &status) != 0) {
      if (std::chrono::steady_clock::now() >= deadline)
        return fail(ErrorKind::io, "{}: the kernel has the new table, but {} did not appear within {} s", planned.disk.path, partition.device,
                    node_limit.count());
      std::this_thread::sleep_for(std::chrono::milliseconds(10));
    }
  }
  return {};
}

std::unexpected<Error> changed(const PlannedDisk& planned, const std::string& what) {
  return std::unexpected(Error(ErrorKind::refused, std::format("{} is not the disk that was planned: {}", planned.disk.path, what))
                             .advise("nothing has been written to it; look at the disks, then make a new plan"));
}

// The kernel's own word for the size of what is open, which sysfs may say of another disk by now.
Result<std::uint64_t> size_of(int fd, const Disk& disk) {
  if (disk.is_file) {
    struct stat status{};
    if (::fstat(fd, &status) != 0) return fail_errno("{}", disk.path);
    return static_cast<std::uint64_t>(status.st_size);
  }
  std::uint64_t bytes = 0;
  if (::ioctl(fd, BLKGETSIZE64, &bytes) != 0) return fail_errno("size of {}", disk.path);
  return bytes;
}

}  // namespace

Result<Fd> open_planned(const PlannedDisk& planned, bool exclusive) {
  const auto& disk = planned.disk;
  auto fd = TRY(open_file(disk.path, O_RDWR | (exclusive && !disk.is_file ? O_EXCL : 0)));
  auto now = TRY(identify_open_disk(fd.get(), disk.path, disk.sector_size));
  now.size = TRY(size_of(fd.get(), disk));
  // What is on it is what an install changes.
  now.found = disk.found;
  now.digest = disk.digest;
  if (const auto what = what_changed(disk, now); !what.empty()) return changed(planned, what);
  return fd;
}

namespace {

// A disk of the plan, open and checked.
struct Target {
  const PlannedDisk* planned;
  Fd fd;
  Mark mark;  // that it gets
  std::vector<Region> old_partitions;
};

Result<Target> open_target(const PlannedDisk& planned, const std::string& host) {
  const auto& path = planned.disk.path;
  Fd fd = TRY(open_planned(planned, true));
  const Disk now = TRY(describe_open_disk(fd.get(), path, planned.disk.sector_size));
  if (const auto what = what_changed(planned.disk, now); !what.empty()) return changed(planned, what);
  if (!now.in_use.empty()) return changed(planned, "it is in use: " + now.in_use);
  Mark mark{.version = SIGNET_VERSION, .host = host, .table = planned.table_uuid, .time = std::time(nullptr)};
  if (now.content == DiskContent::signet) mark.before = now.table_id;
  auto old_partitions = TRY(PartitionTable::open(planned.disk, fd.get())).partitions();
  return Target{&planned, std::move(fd), std::move(mark), std::move(old_partitions)};
}

Result<> close_target(const Target& target) {
  const auto& disk = target.planned->disk;
  TRY_WITHIN(close_and_mark(target.fd.get(), target.mark), disk.path);
  TRY_WITHIN(wipe_table(target.fd.get(), disk.size), "wipe " + disk.path);
  return {};
}

Result<> write_table(const Target& target, Report& report) {
  const auto& planned = *target.planned;
  const auto& path = planned.disk.path;
  report.log("{}: new {} table, {} partitions", path, to_string(planned.table), planned.partitions.size());
  TRY_WITHIN(wipe_partitions(target.fd.get(), target.old_partitions, planned), "wipe " + path);
  auto table = TRY(PartitionTable::open(planned.disk, target.fd.get()));
  TRY(table.write(planned));
  TRY_WITHIN(sync_disk(target.fd.get()), path);
  if (planned.disk.is_file) return {};
  TRY(table.reread());
  return wait_for_nodes(planned);
}

}  // namespace

Result<> partition_disk(const PlannedDisk& planned, Report& report, const std::string& host) {
  const auto target = TRY(open_target(planned, host));
  TRY(close_target(target));
  return write_table(target, report);
}

Result<> partition_disks(const Plan& plan, Report& report) {
  std::vector<Target> targets;
  for (const auto& planned : plan.disks) targets.push_back(TRY(open_target(planned, plan.host())));
  std::ranges::stable_partition(targets, [&](const Target& target) { return target.planned->disk.path == plan.boot_disk; });
  for (const auto& target : targets) TRY(close_target(target));
  for (const auto& target : targets) TRY(write_table(target, report));
  return {};
}

}  // namespace signet
