// Events as JSON lines, by yyjson.
#include <fcntl.h>
#include <time.h>
#include <yyjson.h>

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
  return std::format("{}.{:03}Z", date, since % 1000);
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
  const std::unique_ptr<yyjson_mut_doc, decltype(&yyjson_mut_doc_free)> document(yyjson_mut_doc_new(nullptr), yyjson_mut_doc_free);
  yyjson_mut_doc* doc = document.get();
  yyjson_mut_val* object = yyjson_mut_obj(doc);
  yyjson_mut_doc_set_root(doc, object);
  const auto add = [&](const char* key, std::string_view value) {
    // JSON is UTF-8 (RFC 8259 §8.1): what is not, is escaped for people before it gets here.
    const std::string clean = printable(value);
    yyjson_mut_obj_add_strncpy(doc, object, key, clean.data(), clean.size());
  };
  // Lines of a message stay lines; printable() alone would turn each newline into \x0a.
  const auto add_text = [&](const char* key, std::string_view value) {
    std::string clean;
    for (const auto line : split(value, '\n')) clean.append(clean.empty() ? "" : "\n").append(printable(line));
    yyjson_mut_obj_add_strncpy(doc, object, key, clean.data(), clean.size());
  };
  const auto rounded = [](double seconds) { return static_cast<double>(static_cast<std::int64_t>(seconds * 1000 + 0.5)) / 1000; };
  add("time", timestamp(event.time));
  yyjson_mut_obj_add_real(doc, object, "uptime", rounded(event.uptime));
  add("host", host);
  add("id", id);
  add("stage", event.stage);
  add("event", to_string(event.type));
  if (!event.message.empty()) add_text("message", event.message);
  if (!event.kind.empty()) add("kind", event.kind);
  if (!event.advice.empty()) add_text("advice", event.advice);
  if (event.bytes) yyjson_mut_obj_add_uint(doc, object, "bytes", *event.bytes);
  if (event.total) yyjson_mut_obj_add_uint(doc, object, "total", *event.total);
  if (event.type == Event::Type::done || event.type == Event::Type::failed) yyjson_mut_obj_add_real(doc, object, "seconds", rounded(event.seconds));
  std::size_t length = 0;
  const std::unique_ptr<char, decltype(&std::free)> text(yyjson_mut_write(doc, YYJSON_WRITE_NOFLAG, &length), std::free);
  return text ? std::string(text.get(), length) : "{}";
}

Result<std::unique_ptr<Sink>> json_lines_sink(const std::string& path, const Report& report) {
  auto fd = TRY(open_file(path, O_WRONLY | O_CREAT | O_APPEND, 0644));
  return std::make_unique<JsonLines>(std::move(fd), report);
}

}  // namespace signet
