// One download in a thread of its own: attempts that go on where the last one broke (Range + If-Range, RFC 9110 §14), each judged as it comes.
#pragma once

#include <atomic>
#include <chrono>
#include <condition_variable>
#include <mutex>
#include <optional>
#include <string>
#include <string_view>
#include <thread>

#include "fetch/buffer.h"
#include "fetch/content_range.h"
#include "fetch/fetch.h"
#include "fetch/retry.h"
#include "fetch/transfer.h"

namespace signet {

class Stream : public ByteSource {
 public:
  using Clock = std::chrono::steady_clock;

  /// A text (with a deadline) must tell where it ends, so that one that is cut short does not pass for whole: by Content-Length or in chunks.
  Stream(Uri uri, FetchOptions options, std::optional<Clock::time_point> deadline = std::nullopt);
  ~Stream() override;

  Result<> wait_for_first() { return queue_.wait_for_first(); }
  Result<std::size_t> read(std::span<std::byte> buffer) override { return queue_.take(buffer); }
  std::optional<std::uint64_t> size() const override;

 private:
  static constexpr std::uint64_t unknown = UINT64_MAX;

  std::optional<Error> transfer();
  bool perform(Transfer& attempt, const Retry& retry);
  std::size_t on_header(std::string_view line);
  std::size_t on_body(const char* data, std::size_t size);
  bool on_progress();
  bool check_body();
  std::optional<Error> unfit(long status) const;
  Error error_of(const Transfer& attempt, bool complete, const Retry& retry) const;
  Error ended_early() const;
  Error changed() const;
  bool cancelled();

  const Uri uri_;
  const FetchOptions options_;
  const std::optional<Clock::time_point> deadline_;
  ByteQueue queue_;
  std::mutex mutex_;
  std::condition_variable wake_;
  bool cancelled_ = false;

  // Of the worker thread alone, but for size_.
  Transfer* attempt_ = nullptr;
  std::uint64_t received_ = 0, resumed_at_ = 0;
  std::uint64_t skip_ = 0;        // bytes that this attempt brings once more
  std::uint64_t error_page_ = 0;  // bytes of it
  std::atomic<std::uint64_t> size_ = unknown;
  bool body_checked_ = false;
  // What the headers of the last response say.
  std::string validator_, new_validator_, encoding_;
  bool chunked_ = false;
  std::optional<ContentRange> range_;
  // The rate since window_start_; what the reader takes for itself does not count.
  Clock::time_point window_start_;
  std::uint64_t window_bytes_ = 0;
  Clock::duration window_idle_{}, idle_{};
  bool too_slow_ = false;
  std::string cause_;  // why the last attempt failed
  std::optional<Error> fatal_;
  std::thread worker_;
};

}  // namespace signet
