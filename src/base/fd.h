// A file descriptor that closes itself, and the whole-buffer reads and writes that POSIX leaves to the caller.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <string>
#include <string_view>
#include <utility>

#include "base/result.h"

namespace signet {

class Fd {
 public:
  Fd() = default;
  explicit Fd(int fd) : fd_(fd) {}
  Fd(Fd&& other) noexcept : fd_(std::exchange(other.fd_, -1)) {}
  Fd& operator=(Fd&& other) noexcept {
    std::swap(fd_, other.fd_);
    return *this;
  }
  Fd(const Fd&) = delete;
  Fd& operator=(const Fd&) = delete;
  ~Fd() { reset(); }

  int get() const { return fd_; }
  explicit operator bool() const { return fd_ >= 0; }
  int release() { return std::exchange(fd_, -1); }
  void reset();

 private:
  int fd_ = -1;
};

/// open(2) with O_CLOEXEC. The error names the path.
Result<Fd> open_file(const std::string& path, int flags, unsigned mode = 0600);

/// Writes all of data, continuing after short writes and EINTR.
Result<> write_all(int fd, std::span<const std::byte> data);
Result<> write_all(int fd, std::string_view text);
/// pwrite(2) of all of data.
Result<> write_all_at(int fd, std::span<const std::byte> data, std::uint64_t offset);
/// Reads until the buffer is full or the file ends; the number of bytes read.
Result<std::size_t> read_full_at(int fd, std::span<std::byte> buffer, std::uint64_t offset);

/// The whole of a small file (at most `limit` bytes; more is an error of kind invalid).
Result<std::string> read_file(const std::string& path, std::size_t limit = 16 << 20);
/// Writes through a temporary file beside it and rename(2), so a reader never sees half of it.
Result<> write_file(const std::string& path, std::string_view text, unsigned mode = 0644);

}  // namespace signet
