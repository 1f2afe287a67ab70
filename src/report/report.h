// report/: events, and where they go. This header is the interface that every room may use.
//
// A stage starts, says how far it is, and is done or failed; each is one Event. Sinks turn events into lines on consoles and into a file of JSON
// lines.
#pragma once

#include <chrono>
#include <cstdint>
#include <functional>
#include <memory>
#include <mutex>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "base/result.h"

namespace signet {

struct Event {
  enum class Type { start, progress, done, failed, log };
  std::chrono::system_clock::time_point time;
  double uptime = 0;  // seconds since the kernel started (CLOCK_BOOTTIME)
  std::string stage;
  Type type = Type::log;
  std::string message;  // log: the line; failed: the whole message; done: a summary; progress: what is being done now
  std::string advice;   // failed: what to do
  std::string kind;     // failed: the ErrorKind's name
  std::optional<std::uint64_t> bytes, total;
  double seconds = 0;  // done and failed: how long the stage took
};

std::string_view to_string(Event::Type type);

/// A message as it may be shown and kept: the secrets of its URIs are hidden, and it has at most 64 KiB. Every event goes through this; what is
/// printed past the events should too.
std::string report_text(std::string_view message);

class Sink {
 public:
  virtual ~Sink() = default;
  virtual void take(const Event& event) = 0;
  /// Hands on what it still holds; bounded in time.
  virtual void flush() {}
};

/// Hands events to its sinks in order; may be used from several threads.
class Report {
 public:
  /// `host` and `id` (SMBIOS UUID) go into every JSON line as soon as they are known.
  void set_identity(std::string host, std::string id);
  void add(std::unique_ptr<Sink> sink);
  /// Asks every sink to hand on what it still holds: before the machine restarts.
  void flush();

  void start(std::string_view stage, std::string_view message = {});
  /// At most ten a second reach the sinks; the rest are dropped.
  void progress(std::uint64_t bytes, std::optional<std::uint64_t> total, std::string_view message = {});
  void done(std::string_view message = {});
  void failed(const Error& error);
  void log(std::string_view line);
  template <class... Args>
  void log(std::format_string<Args...> format, Args&&... args)
    requires(sizeof...(Args) > 0)
  {
    log(std::string_view(std::format(format, std::forward<Args>(args)...)));
  }

  /// What the stages that ended took, in order.
  struct StageTime {
    std::string stage;
    double start;  // seconds since the kernel started
    double seconds;
    std::uint64_t bytes = 0;  // the last progress of the stage
    bool failed = false;
  };
  std::vector<StageTime> timeline() const;

  std::string host() const;
  std::string id() const;

 private:
  void emit(Event event);
  mutable std::recursive_mutex mutex_;
  std::vector<std::unique_ptr<Sink>> sinks_;
  std::vector<StageTime> timeline_;
  std::string host_, id_, stage_;
  double stage_start_ = 0;
  std::uint64_t stage_bytes_ = 0;
  double last_progress_ = 0;
};

/// A timeline as a table for people.
std::string timeline_text(const std::vector<Report::StageTime>& timeline);

/// One JSON object (RFC 8259) a line, appended to a file; each line is written by one write(2).
Result<std::unique_ptr<Sink>> json_lines_sink(const std::string& path, const Report& report);

/// Lines for people on the consoles at `paths` ("/dev/ttyS0", "/dev/tty0"), or on standard error when there are none. A terminal that can move its
/// cursor gets one progress line redrawn in place; a serial line or a file gets a new line every few seconds.
std::unique_ptr<Sink> console_sink(const std::vector<std::string>& paths);

/// Messages to a syslog server, "HOST", "HOST:PORT" or "[IPv6]:PORT" (RFC 5424 over UDP, facility local0): everything but progress.
Result<std::unique_ptr<Sink>> syslog_sink(std::string_view server, const Report& report);

/// An event as its JSON line, without the newline.
std::string to_json(const Event& event, std::string_view host, std::string_view id);

/// The consoles that the kernel was told to use: /sys/class/tty/console/active, as device paths.
std::vector<std::string> active_consoles(const std::string& sys = "/sys");

}  // namespace signet
