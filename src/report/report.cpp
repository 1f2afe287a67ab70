#include "report/report.h"

#include <time.h>

#include <algorithm>
#include <format>

#include "base/fd.h"
#include "base/size.h"
#include "base/stop.h"
#include "base/text.h"
#include "base/uri.h"

namespace signet {
namespace {

double seconds_since_boot() {
  timespec now{};
  ::clock_gettime(CLOCK_BOOTTIME, &now);
  return static_cast<double>(now.tv_sec) + static_cast<double>(now.tv_nsec) / 1e9;
}

constexpr double progress_interval = 0.1;

}  // namespace

std::string_view to_string(Event::Type type) {
  switch (type) {
    case Event::Type::start: return "start";
    case Event::Type::progress: return "progress";
    case Event::Type::done: return "done";
    case Event::Type::failed: return "failed";
    case Event::Type::log: return "log";
  }
  return "log";
}

std::string report_text(std::string_view message) {
  constexpr std::size_t most = 64 * 1024;
  return shorten(hide_secrets(message), most);  // in this order: of a URI that is cut, the secret is not known for one
}

void Report::set_identity(std::string host, std::string id) {
  const std::scoped_lock lock(mutex_);
  host_ = std::move(host);
  id_ = std::move(id);
}

void Report::flush() {
  const std::scoped_lock lock(mutex_);
  for (const auto& sink : sinks_) sink->flush();
}

void Report::add(std::unique_ptr<Sink> sink) {
  const std::scoped_lock lock(mutex_);
  sinks_.push_back(std::move(sink));
}

void Report::emit(Event event) {
  beat();
  event.time = std::chrono::system_clock::now();
  event.uptime = seconds_since_boot();
  event.stage = stage_;
  event.message = report_text(event.message);
  event.advice = report_text(event.advice);
  for (const auto& sink : sinks_) sink->take(event);
}

void Report::start(std::string_view stage, std::string_view message) {
  const std::scoped_lock lock(mutex_);
  stage_ = stage;
  stage_start_ = seconds_since_boot();
  stage_bytes_ = 0;
  last_progress_ = 0;
  Event event;
  event.type = Event::Type::start;
  event.message = message;
  emit(std::move(event));
}

void Report::progress(std::uint64_t bytes, std::optional<std::uint64_t> total, std::string_view message) {
  const std::scoped_lock lock(mutex_);
  stage_bytes_ = std::max(stage_bytes_, bytes);
  const double now = seconds_since_boot();
  if (now - last_progress_ < progress_interval) return;
  last_progress_ = now;
  Event event;
  event.type = Event::Type::progress;
  event.message = message;
  event.bytes = bytes;
  event.total = total;
  event.seconds = now - stage_start_;
  emit(std::move(event));
}

void Report::done(std::string_view message) {
  const std::scoped_lock lock(mutex_);
  Event event;
  event.type = Event::Type::done;
  event.message = message;
  event.seconds = seconds_since_boot() - stage_start_;
  if (stage_bytes_ > 0) event.bytes = stage_bytes_;
  timeline_.push_back({stage_, stage_start_, event.seconds, stage_bytes_, false});
  emit(std::move(event));
}

void Report::failed(const Error& error) {
  const std::scoped_lock lock(mutex_);
  Event event;
  event.type = Event::Type::failed;
  event.message = error.message();
  event.advice = error.advice();
  event.kind = to_string(error.kind());
  event.seconds = seconds_since_boot() - stage_start_;
  timeline_.push_back({stage_, stage_start_, event.seconds, stage_bytes_, true});
  emit(std::move(event));
}

void Report::log(std::string_view line) {
  const std::scoped_lock lock(mutex_);
  Event event;
  event.type = Event::Type::log;
  event.message = line;
  emit(std::move(event));
}

std::vector<Report::StageTime> Report::timeline() const {
  const std::scoped_lock lock(mutex_);
  return timeline_;
}

std::string Report::host() const {
  const std::scoped_lock lock(mutex_);
  return host_;
}

std::string Report::id() const {
  const std::scoped_lock lock(mutex_);
  return id_;
}

std::string timeline_text(const std::vector<Report::StageTime>& timeline) {
  if (timeline.empty()) return {};
  const double first = timeline.front().start;
  const double last = timeline.back().start + timeline.back().seconds;
  std::string text = "  stage            at      took      bytes  rate\n";
  for (const auto& stage : timeline) {
    text += std::format("  {:<12} {:>5.1f} s  {:>6.2f} s", stage.stage, stage.start, stage.seconds);
    if (stage.bytes > 0) {
      const double rate = stage.seconds > 0 ? static_cast<double>(stage.bytes) / stage.seconds : 0;
      text += std::format(" {:>10}  {}/s", format_size(stage.bytes), format_size(static_cast<std::uint64_t>(rate)));
    }
    if (stage.failed) text += "  failed";
    text += '\n';
  }
  return text + std::format("  {:<12} {:>5.1f} s  {:>6.2f} s  (seconds since the kernel started)", "total", first, last - first);
}

std::vector<std::string> active_consoles(const std::string& sys) {
  std::vector<std::string> consoles;
  if (const auto text = read_file(sys + "/class/tty/console/active"))
    for (const auto word : split(trim(*text), ' '))
      if (!word.empty()) consoles.push_back("/dev/" + std::string(word));
  return consoles;
}

}  // namespace signet
