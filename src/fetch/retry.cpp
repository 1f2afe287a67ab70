#include "fetch/retry.h"

#include <algorithm>
#include <format>

#include "base/size.h"

namespace signet {
namespace {

constexpr std::uint64_t progress = 64 * 1024;  // bytes; fewer in an attempt are a server that plays for time
constexpr int start_windows = 5;

}  // namespace

std::chrono::seconds pause_after(unsigned failures) { return std::chrono::seconds(1U << std::min(failures - 1, 4U)); }

Retry::Retry(const FetchOptions& options, std::optional<Clock::time_point> deadline) : options_(options), deadline_(deadline) {}

std::optional<std::chrono::seconds> Retry::pause(std::uint64_t received, Clock::duration idle, Clock::time_point now) {
  if (received - received_ >= progress) failures_ = 0;
  received_ = received;
  if (++failures_ >= options_.attempts) return std::nullopt;
  const auto pause = pause_after(failures_);
  if (deadline_) return now + pause < *deadline_ ? std::optional(pause) : std::nullopt;
  const auto allowed = start_windows * options_.rate_window + std::chrono::seconds(received / std::max<std::uint64_t>(options_.lowest_rate, 1));
  return now - start_ - idle < allowed ? std::optional(pause) : std::nullopt;
}

void Retry::announce(const Error& error, std::uint64_t received, std::chrono::seconds pause) const {
  if (!options_.on_retry) return;
  options_.on_retry(std::format("{}{}; trying again in {} s ({} of {})", error.message(),
                                received > 0 ? std::format(" (after {})", format_size(received)) : "", pause.count(), failures_ + 1,
                                options_.attempts));
}

long Retry::milliseconds_left() const {
  if (!deadline_) return 0;
  const auto left = std::chrono::duration_cast<std::chrono::milliseconds>(*deadline_ - Clock::now()).count();
  return static_cast<long>(std::max<decltype(left)>(left, 1));
}

}  // namespace signet
