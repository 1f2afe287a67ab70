#include "disk/disk.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <chrono>
#include <ctime>
#include <format>
#include <thread>
#include <vector>

#include "base/fd.h"
#include "base/size.h"
#include "disk/table.h"

namespace signet {
namespace {

constexpr auto node_limit = std::chrono::seconds(10);

// Zeros over the first and last MiB of a region: where file systems, RAID and LVM have their signatures and where boot code lies.
Result<> wipe_edges(int fd, Region region, std::uint64_t disk_size) {
  static const std::vector<std::byte> zeros(MiB);
  if (region.start >= disk_size) return {};
  region.size = std::min(region.size, disk_size - region.start);
  const auto edge = std::min<std::uint64_t>(region.size, MiB);
  TRY(write_all_at(fd, std::span(zeros).first(edge), region.start));
  return write_all_at(fd, std::span(zeros).first(edge), region.start + region.size - edge);
}

Result<> wipe(const PlannedDisk& planned, const std::vector<Region>& old_partitions) {
  const auto& disk = planned.disk;
  // O_EXCL on a block device fails if anything else (a mount, md, dm) holds it: the last check before the first write.
  const Fd fd = TRY(open_file(disk.path, O_WRONLY | (disk.is_file ? 0 : O_EXCL)));
  std::vector<Region> regions = old_partitions;
  for (const auto& partition : planned.partitions) regions.push_back({partition.start, partition.size});
  regions.push_back({0, disk.size});
  for (const auto& region : regions) TRY_WITHIN(wipe_edges(fd.get(), region, disk.size), "wipe " + disk.path);
  if (::fsync(fd.get()) != 0) return fail_errno("sync {}", disk.path);
  return {};
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

}  // namespace

Result<> partition_disk(const PlannedDisk& planned, Report& report) {
  const auto& disk = planned.disk;
  report.log("{}: new {} table, {} partitions", disk.path, to_string(planned.table), planned.partitions.size());
  std::vector<Region> old_partitions;
  if (const auto before = PartitionTable::open(disk, true)) old_partitions = before->partitions();
  TRY(wipe(planned, old_partitions));
  TRY(write_mark(disk.path,
                 {.version = SIGNET_VERSION, .host = report.host(), .table = planned.table_uuid, .time = std::time(nullptr), .complete = false}));
  auto table = TRY(PartitionTable::open(disk, false));
  TRY(table.write(planned));
  if (disk.is_file) return {};
  TRY(table.reread());
  return wait_for_nodes(planned);
}

}  // namespace signet
