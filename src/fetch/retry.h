// When a transfer is tried again and when it is given up: one rule for streams, texts and probes.
#pragma once

#include <chrono>
#include <cstdint>
#include <optional>
#include <string>

#include "base/result.h"
#include "fetch/fetch.h"

namespace signet {

class Retry {
 public:
  using Clock = std::chrono::steady_clock;

  /// With a deadline everything ends there. Without one the whole must come at options.lowest_rate at least, after a start of five rate windows.
  explicit Retry(const FetchOptions& options, std::optional<Clock::time_point> deadline = std::nullopt);

  /// After a failed attempt: the pause before the next one, or nothing if there shall be none. `received` counts the bytes of all attempts, `idle`
  /// the time that the reader took for itself. Attempts count anew after each that brought 64 KiB.
  std::optional<std::chrono::seconds> pause(std::uint64_t received, Clock::duration idle = {}, Clock::time_point now = Clock::now());

  /// Tells options.on_retry about the pause that follows.
  void announce(const Error& error, std::uint64_t received, std::chrono::seconds pause) const;

  /// Time to the deadline, at least 1 ms; 0 without one: libcurl's word for "no limit".
  long milliseconds_left() const;
  /// The deadline has come, but for libcurl's rounding.
  bool is_over() const { return deadline_ && Clock::now() + std::chrono::milliseconds(100) >= *deadline_; }

 private:
  const FetchOptions& options_;
  std::optional<Clock::time_point> deadline_;
  Clock::time_point start_ = Clock::now();
  unsigned failures_ = 0;  // since the last progress
  std::uint64_t received_ = 0;
};

/// How long to wait after so many failures in a row: 1, 2, 4, 8, 16 s and no more.
std::chrono::seconds pause_after(unsigned failures);

}  // namespace signet
