#include "record_writes.h"

#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <algorithm>
#include <cstring>
#include <mutex>
#include <utility>

namespace signet {
namespace {

std::mutex mutex;
bool recording = false;
struct stat recorded{};
std::vector<RecordedWrite> log;

bool is_recorded(int fd) {
  struct stat status{};
  return recording && ::fstat(fd, &status) == 0 && status.st_dev == recorded.st_dev && status.st_ino == recorded.st_ino;
}

void note(int fd, const void* data, ssize_t size, off_t offset) {
  const std::scoped_lock lock(mutex);
  if (size <= 0 || !is_recorded(fd)) return;
  log.push_back({static_cast<std::uint64_t>(offset), {static_cast<const char*>(data), static_cast<std::size_t>(size)}});
}

void note_sync(int fd) {
  const std::scoped_lock lock(mutex);
  if (is_recorded(fd)) log.push_back({.bytes = {}, .sync = true});
}

}  // namespace

RecordWrites::RecordWrites(const std::string& path) {
  const std::scoped_lock lock(mutex);
  recording = ::stat(path.c_str(), &recorded) == 0;
  log.clear();
}

RecordWrites::~RecordWrites() {
  const std::scoped_lock lock(mutex);
  recording = false;
}

std::vector<RecordedWrite> RecordWrites::take() {
  const std::scoped_lock lock(mutex);
  return std::exchange(log, {});
}

DiskImage after_cut(const DiskImage& before, const std::vector<RecordedWrite>& writes, std::size_t syncs, std::mt19937_64* random) {
  DiskImage image = before;
  for (const auto& write : writes) {
    if (write.sync) {
      if (syncs == 0) break;
      --syncs;
      continue;
    }
    if (syncs == 0 && !random) break;
    constexpr std::uint64_t sector = 512;
    for (std::uint64_t at = 0; at < write.bytes.size();) {
      const auto step = std::min<std::uint64_t>(write.bytes.size() - at, sector - (write.offset + at) % sector);
      if (syncs > 0 || (*random)() % 2 == 0) std::memcpy(image.data() + write.offset + at, write.bytes.data() + at, step);
      at += step;
    }
  }
  return image;
}

}  // namespace signet

// The program's own definitions go before the C library's. With 64-bit offsets pwrite() is the symbol pwrite64 (feature_test_macros(7)).
extern "C" {
ssize_t pwrite(int fd, const void* data, size_t size, off_t offset) {
  const auto written = ::syscall(SYS_pwrite64, fd, data, size, offset);
  signet::note(fd, data, written, offset);
  return written;
}

ssize_t write(int fd, const void* data, size_t size) {
  const auto at = signet::recording ? ::lseek(fd, 0, SEEK_CUR) : 0;
  const auto written = ::syscall(SYS_write, fd, data, size);
  if (signet::recording) signet::note(fd, data, written, at);
  return written;
}

int fsync(int fd) {
  signet::note_sync(fd);
  return static_cast<int>(::syscall(SYS_fsync, fd));
}
int fdatasync(int fd) {
  signet::note_sync(fd);
  return static_cast<int>(::syscall(SYS_fdatasync, fd));
}
}
