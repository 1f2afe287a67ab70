#include "filesystem/loop.h"

#include <fcntl.h>
#include <linux/blkpg.h>
#include <linux/loop.h>
#include <sys/ioctl.h>

#include <cstring>
#include <format>

namespace signet {
namespace {

// The kernel is told of the partitions, so it does not matter whether it can read this kind of table.
Result<> add_partition(int loop, const std::string& path, const PlannedPartition& planned) {
  blkpg_partition partition{};
  partition.start = static_cast<long long>(planned.start);
  partition.length = static_cast<long long>(planned.size);
  partition.pno = static_cast<int>(planned.number);
  blkpg_ioctl_arg request{};
  request.op = BLKPG_ADD_PARTITION;
  request.datalen = sizeof partition;
  request.data = &partition;
  // EBUSY: it has read the table itself, and found the same.
  if (::ioctl(loop, BLKPG, &request) != 0 && errno != EBUSY) return fail_errno("tell the kernel of partition {} of {}", planned.number, path);
  return {};
}

}  // namespace

Result<LoopDisk> LoopDisk::attach(const PlannedDisk& disk) {
  const auto& file_path = disk.disk.path;
  const Fd file = TRY(open_file(file_path, O_RDWR));
  const Fd control = TRY(open_file("/dev/loop-control", O_RDWR));
  for (int attempt = 0; attempt < 16; ++attempt) {
    const int number = ::ioctl(control.get(), LOOP_CTL_GET_FREE);
    if (number < 0) return fail_errno("find a free loop device");
    LoopDisk loop;
    loop.path_ = std::format("/dev/loop{}", number);
    loop.fd_ = TRY(open_file(loop.path_, O_RDWR));
    loop_config config{};
    config.fd = static_cast<__u32>(file.get());
    config.info.lo_flags = LO_FLAGS_AUTOCLEAR | LO_FLAGS_PARTSCAN;
    std::strncpy(reinterpret_cast<char*>(config.info.lo_file_name), file_path.c_str(), LO_NAME_SIZE - 1);
    if (::ioctl(loop.fd_.get(), LOOP_CONFIGURE, &config) != 0) {
      if (errno == EBUSY) continue;  // somebody was faster
      return fail_errno("attach {} to {}", file_path, loop.path_);
    }
    for (const auto& partition : disk.partitions) TRY(add_partition(loop.fd_.get(), loop.path_, partition));
    return loop;
  }
  return fail(ErrorKind::io, "no loop device for {} stayed free long enough", file_path);
}

}  // namespace signet
