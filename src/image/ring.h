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

  /// For the writer: puts all of `bytes`, waiting for room. Writes a byte to `bell` if the reader sleeps, and once a second while the ring is full;
  /// false if the bell cannot be written to.
  bool put(std::span<const std::byte> bytes, int bell);

  /// For the reader: takes what is there now, at most buffer.size() bytes; 0 if the ring is empty. The writer is not trusted: an error of kind
  /// invalid if its count of bytes is impossible.
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
