#include "image/ring.h"

#include <fcntl.h>
#include <linux/futex.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <algorithm>
#include <bit>
#include <cerrno>
#include <cstring>
#include <ctime>
#include <limits>
#include <utility>

namespace signet {
namespace {

constexpr std::size_t head_bytes = 4096;  // a page for what follows, then the data

// Nobody is to run what is in it; kernels before 6.3 do not know the flag.
Fd shared_memory() {
  constexpr unsigned no_exec = 8;  // MFD_NOEXEC_SEAL
  const int fd = ::memfd_create("signet-ring", MFD_CLOEXEC | MFD_ALLOW_SEALING | no_exec);
  return Fd(fd < 0 && errno == EINVAL ? ::memfd_create("signet-ring", MFD_CLOEXEC | MFD_ALLOW_SEALING) : fd);
}

bool ring(int bell) {
  constexpr std::byte byte{};
  return write_all(bell, std::span(&byte, 1)).has_value();
}

}  // namespace

// All accesses are sequentially consistent: each side sets its "sleeps" flag and then checks the ring again, so at least one of the two notices the
// other.
struct Ring::Shared {
  std::atomic<std::uint64_t> put, taken;  // bytes since the beginning
  std::atomic<std::uint32_t> reader_sleeps, writer_sleeps;
  std::atomic<std::uint32_t> wakes;  // futex(2): goes up whenever the writer is to look again
  static_assert(std::atomic<std::uint64_t>::is_always_lock_free && std::atomic<std::uint32_t>::is_always_lock_free);
};

Ring::Ring(Fd fd, void* memory, std::size_t bytes)
    : fd_(std::move(fd)), shared_(static_cast<Shared*>(memory)), data_(static_cast<std::byte*>(memory) + head_bytes), bytes_(bytes) {}

Ring::Ring(Ring&& other) noexcept
    : fd_(std::move(other.fd_)),
      shared_(std::exchange(other.shared_, nullptr)),
      data_(other.data_),
      bytes_(other.bytes_),
      position_(other.position_) {}

Ring::~Ring() {
  if (shared_) ::munmap(shared_, head_bytes + bytes_);
}

Result<Ring> Ring::make(std::size_t bytes) {
  Fd fd = shared_memory();
  if (!fd) return fail_errno("make shared memory");
  if (::fallocate(fd.get(), 0, 0, static_cast<off_t>(head_bytes + bytes)) != 0) return fail_errno("make shared memory of {} bytes", bytes);
  if (::fcntl(fd.get(), F_ADD_SEALS, F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_SEAL) != 0) return fail_errno("seal shared memory");
  auto ring = TRY(open(fd.get()));
  ring.fd_ = std::move(fd);
  return ring;
}

Result<Ring> Ring::open(int fd) {
  struct stat status{};
  if (::fstat(fd, &status) != 0) return fail_errno("look at shared memory");
  const auto size = static_cast<std::size_t>(status.st_size);
  if (size <= head_bytes || !std::has_single_bit(size - head_bytes)) return fail(ErrorKind::invalid, "shared memory of {} bytes is no ring", size);
  void* memory = ::mmap(nullptr, size, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
  if (memory == MAP_FAILED) return fail_errno("map shared memory");
  return Ring(Fd(), memory, size - head_bytes);
}

bool Ring::put(std::span<const std::byte> bytes, int bell) {
  while (!bytes.empty()) {
    const auto wakes = shared_->wakes.load();
    const auto room = bytes_ - static_cast<std::size_t>(position_ - shared_->taken.load());
    if (room == 0) {
      // The reader looks at this whenever it has taken something; what it took in between is seen here.
      constexpr timespec second = {.tv_sec = 1, .tv_nsec = 0};
      if (shared_->writer_sleeps.exchange(1) == 1 && ::syscall(SYS_futex, &shared_->wakes, FUTEX_WAIT, wakes, &second) != 0 && errno == ETIMEDOUT &&
          !ring(bell))
        return false;
      continue;
    }
    const auto at = static_cast<std::size_t>(position_ & (bytes_ - 1));
    const auto part = bytes.first(std::min({bytes.size(), room, bytes_ - at}));
    std::memcpy(data_ + at, part.data(), part.size());
    bytes = bytes.subspan(part.size());
    position_ += part.size();
    shared_->put.store(position_);
    if (shared_->reader_sleeps.load() == 1 && shared_->reader_sleeps.exchange(0) == 1 && !ring(bell)) return false;
  }
  return true;
}

Result<std::size_t> Ring::take(std::span<std::byte> buffer) {
  const auto there = shared_->put.load() - position_;
  if (there > bytes_) return fail(ErrorKind::invalid, "the decoder says that its ring holds {} bytes; it has room for {}", there, bytes_);
  const auto length = std::min(buffer.size(), static_cast<std::size_t>(there));
  const auto at = static_cast<std::size_t>(position_ & (bytes_ - 1)), first = std::min(length, bytes_ - at);
  std::memcpy(buffer.data(), data_ + at, first);
  std::memcpy(buffer.data() + first, data_, length - first);
  position_ += length;
  shared_->taken.store(position_);
  // The writer is woken once there is work for a while.
  if (there - length <= bytes_ / 2 && shared_->writer_sleeps.load() == 1 && shared_->writer_sleeps.exchange(0) == 1) {
    shared_->wakes.fetch_add(1);
    ::syscall(SYS_futex, &shared_->wakes, FUTEX_WAKE, std::numeric_limits<int>::max(), nullptr);
  }
  return length;
}

void Ring::ask() { shared_->reader_sleeps.store(1); }

}  // namespace signet
