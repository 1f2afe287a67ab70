// A ring of bytes in memory that two processes share: the decoder fills it, the writer takes from it. A pipe of the size that everyone may have
// stalls the decoder whenever the writer waits for a file system; a ring of some MiB does not.
#pragma once

#include <atomic>
#include <cstddef>
#include <cstdint>
#include <span>

#include "base/fd.h"
#include "base/result.h"

namespace signet {

class Ring {
 public:
  /// For the reader: a ring of `bytes`, a power of two of at least a page. Its memory is there, and sealed, so that whoever gets fd() cannot truncate
  /// it.
  static Result<Ring> make(std::size_t bytes);
  /// For the writer: the ring behind a descriptor, which may be closed afterwards.
  static Result<Ring> open(int fd);
  Ring(Ring&& other) noexcept;
  Ring(const Ring&) = delete;
  ~Ring();

  int fd() const { return fd_.get(); }
  std::size_t size() const { return bytes_; }

  /// The writer's: all of `bytes`, waiting for room. Writes a byte to `bell` if the reader sleeps, and once a second while there is no room; false
  /// once nobody can hear it.
  bool put(std::span<const std::byte> bytes, int bell);

  /// The reader's: what there is now, at most buffer.size() bytes; 0 if there is nothing. The writer is not trusted: an error of kind invalid if what
  /// it says cannot be.
  Result<std::size_t> take(std::span<std::byte> buffer);
  /// Before the reader sleeps: asks the writer to ring its bell. Then take() once more, for what came in between.
  void ask();

 private:
  struct Shared;
  Ring(Fd fd, void* memory, std::size_t bytes);

  Fd fd_;
  Shared* shared_;
  std::byte* data_;
  std::size_t bytes_;
  std::uint64_t position_ = 0;  // bytes put, for the writer; bytes taken, for the reader
};

}  // namespace signet
