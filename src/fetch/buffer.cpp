#include "fetch/buffer.h"

#include <algorithm>
#include <cstring>

#include "base/stop.h"

namespace signet {
namespace {

// A thread that finds the queue almost full or empty waits for so much: fewer and larger hand-overs.
constexpr std::size_t hand_over = 256 * 1024;
// How long a wait goes on without a look at whether a signal asks to stop.
constexpr auto look_up = std::chrono::milliseconds(200);

}  // namespace

bool ByteQueue::put(std::span<const std::byte> data) {
  std::unique_lock lock(mutex_);
  while (!data.empty()) {
    // A reader that was asked to stop reads no more and may not say so.
    while (!writable_.wait_for(lock, look_up, [&] { return fill_ < ring_.size() || abandoned_; }))
      if (stop_asked()) return false;
    if (abandoned_) return false;
    const std::size_t tail = (head_ + fill_) % ring_.size();
    const std::size_t run = std::min({data.size(), ring_.size() - fill_, ring_.size() - tail});
    // The region behind the fill belongs to the producer alone, so the copy needs no lock.
    lock.unlock();
    std::memcpy(ring_.data() + tail, data.data(), run);
    lock.lock();
    const bool was_low = fill_ < hand_over;
    fill_ += run;
    data = data.subspan(run);
    if (was_low) readable_.notify_one();
  }
  return !abandoned_;
}

void ByteQueue::close(std::optional<Error> error) {
  const std::scoped_lock lock(mutex_);
  closed_ = true;
  error_ = std::move(error);
  readable_.notify_all();
}

Result<> ByteQueue::wait_for_bytes(std::unique_lock<std::mutex>& lock) {
  while (!readable_.wait_for(lock, look_up, [&] { return fill_ > 0 || closed_; })) TRY(check_stop());
  return check_stop();
}

Result<std::size_t> ByteQueue::take(std::span<std::byte> buffer) {
  std::unique_lock lock(mutex_);
  TRY(wait_for_bytes(lock));
  beat();
  if (fill_ == 0) {
    if (error_) return std::unexpected(*error_);
    return 0;
  }
  const std::size_t run = std::min({buffer.size(), fill_, ring_.size() - head_});
  const std::size_t from = head_;
  lock.unlock();
  std::memcpy(buffer.data(), ring_.data() + from, run);
  lock.lock();
  head_ = (head_ + run) % ring_.size();
  const bool was_full = ring_.size() - fill_ < hand_over;
  fill_ -= run;
  if (was_full) writable_.notify_one();
  return run;
}

void ByteQueue::abandon() {
  const std::scoped_lock lock(mutex_);
  abandoned_ = true;
  writable_.notify_all();
}

Result<> ByteQueue::wait_for_first() {
  std::unique_lock lock(mutex_);
  TRY(wait_for_bytes(lock));
  if (fill_ == 0 && error_) return std::unexpected(*error_);
  return {};
}

}  // namespace signet
