// Events as JSON lines, by jansson.
#include <fcntl.h>
#include <jansson.h>
#include <time.h>

#include <cmath>
#include <cstdlib>
#include <format>
#include <memory>

#include "base/fd.h"
#include "base/text.h"
#include "report/report.h"

namespace signet {
namespace {

// "2026-11-21T10:00:00.123Z", RFC 3339.
std::string timestamp(std::chrono::system_clock::time_point time) {
  const auto since = std::chrono::duration_cast<std::chrono::milliseconds>(time.time_since_epoch()).count();
  const time_t seconds = static_cast<time_t>(since / 1000);
  tm parts{};
  ::gmtime_r(&seconds, &parts);
  char date[32];
  ::strftime(date, sizeof date, "%Y-%m-%dT%H:%M:%S", &parts);
  return std::format("{}.{:03}Z", std::string_view(date), since % 1000);
}

class JsonLines : public Sink {
 public:
  JsonLines(Fd fd, const Report& report) : fd_(std::move(fd)), report_(report) {}

  void take(const Event& event) override {
    // A full or vanished file must not stop an install; the consoles still tell.
    [[maybe_unused]] const auto written = write_all(fd_.get(), to_json(event, report_.host(), report_.id()) + "\n");
  }

 private:
  Fd fd_;
  const Report& report_;
};

}  // namespace

std::string to_json(const Event& event, std::string_view host, std::string_view id) {
  const std::unique_ptr<json_t, decltype(&json_decref)> object(json_object(), json_decref);
  const auto add = [&](const char* key, json_t* value) { json_object_set_new(object.get(), key, value); };
  // JSON is UTF-8 (RFC 8259 §8.1): what is not, is escaped for people before it gets here. Lines of a message stay lines.
  const auto text = [](std::string_view value) {
    std::string clean;
    for (const auto line : split(value, '\n')) clean.append(clean.empty() ? "" : "\n").append(printable(line));
    return json_stringn(clean.data(), clean.size());
  };
  const auto rounded = [](double seconds) { return json_real(static_cast<double>(std::lround(seconds * 1000)) / 1000); };
  add("time", text(timestamp(event.time)));
  add("uptime", rounded(event.uptime));
  add("host", text(host));
  add("id", text(id));
  add("stage", text(event.stage));
  add("event", text(to_string(event.type)));
  if (!event.message.empty()) add("message", text(event.message));
  if (!event.kind.empty()) add("kind", text(event.kind));
  if (!event.advice.empty()) add("advice", text(event.advice));
  if (event.bytes) add("bytes", json_integer(static_cast<json_int_t>(*event.bytes)));
  if (event.total) add("total", json_integer(static_cast<json_int_t>(*event.total)));
  if (event.type == Event::Type::done || event.type == Event::Type::failed) add("seconds", rounded(event.seconds));
  const std::unique_ptr<char, decltype(&std::free)> line(json_dumps(object.get(), JSON_COMPACT | JSON_REAL_PRECISION(8)), std::free);
  return line ? std::string(line.get()) : "{}";
}

Result<std::unique_ptr<Sink>> json_lines_sink(const std::string& path, const Report& report) {
  auto fd = TRY(open_file(path, O_WRONLY | O_CREAT | O_APPEND, 0600));
  return std::make_unique<JsonLines>(std::move(fd), report);
}

}  // namespace signet
