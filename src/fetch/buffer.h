// A bounded byte queue between two threads: the producer waits while it is full, the consumer while it is empty. Its size is what a stage may hold in
// memory.
#pragma once

#include <condition_variable>
#include <cstddef>
#include <mutex>
#include <optional>
#include <span>
#include <vector>

#include "base/result.h"

namespace signet {

class ByteQueue {
 public:
  explicit ByteQueue(std::size_t capacity) : ring_(capacity) {}

  /// Puts all of data in, waiting for room. False once the reader has gone, or after a request to stop.
  bool put(std::span<const std::byte> data);
  /// No more will come; after what is queued the reader sees the end, or the error.
  void close(std::optional<Error> error = std::nullopt);

  /// At least one byte, 0 at the end, the producer's error, or that of a request to stop (base/stop.h).
  Result<std::size_t> take(std::span<std::byte> buffer);
  /// The reader goes away; a producer that waits is woken.
  void abandon();

  /// Waits until there is a byte, the end, or an error; the error if it is one.
  Result<> wait_for_first();

 private:
  Result<> wait_for_bytes(std::unique_lock<std::mutex>& lock);

  std::mutex mutex_;
  std::condition_variable readable_, writable_;
  std::vector<std::byte> ring_;
  std::size_t head_ = 0;  // where the next byte is taken
  std::size_t fill_ = 0;
  bool closed_ = false;
  bool abandoned_ = false;
  std::optional<Error> error_;
};

}  // namespace signet
