#include "agent/events.h"

#include <condition_variable>
#include <deque>
#include <mutex>
#include <thread>

namespace signet {
namespace {

constexpr std::size_t most_waiting = 2000, most_at_once = 200;
constexpr auto batch_time = std::chrono::seconds(1), request_limit = std::chrono::seconds(5);
constexpr auto patience = std::chrono::seconds(10);  // after a request that failed

class HttpSink : public Sink {
 public:
  HttpSink(const Uri& uri, const FetchOptions& options, const Report& report)
      : uri_(uri), options_(options), report_(report), thread_([this](const std::stop_token& stop) { run(stop); }) {}
  ~HttpSink() override {
    thread_.request_stop();
    ready_.notify_all();
  }

  void flush() override {
    std::unique_lock lock(mutex_);
    urgent_ = true;
    ready_.notify_all();
    ready_.wait_for(lock, request_limit, [this] { return waiting_.empty() && !sending_; });
  }

  void take(const Event& event) override {
    const std::scoped_lock lock(mutex_);
    if (waiting_.size() >= most_waiting) waiting_.pop_front();
    waiting_.push_back(to_json(event, report_.host(), report_.id()) + "\n");
    if (event.type == Event::Type::failed || (event.type == Event::Type::done && event.stage == "finish")) urgent_ = true;
    if (urgent_) ready_.notify_all();
  }

 private:
  void run(const std::stop_token& stop) {
    while (!stop.stop_requested()) {
      {
        std::unique_lock lock(mutex_);
        ready_.wait_for(lock, stop, failed_ ? patience : batch_time, [this] { return urgent_; });
        urgent_ = false;
      }
      send();
    }
    send();
  }

  void send() {
    std::deque<std::string> batch;
    std::string body;
    {
      const std::scoped_lock lock(mutex_);
      while (!waiting_.empty() && batch.size() < most_at_once) {
        batch.push_back(std::move(waiting_.front()));
        waiting_.pop_front();
        body += batch.back();
      }
      sending_ = !batch.empty();
    }
    if (batch.empty()) return;
    const bool failed = !post(uri_, "application/x-ndjson", body, request_limit, options_);
    const std::scoped_lock lock(mutex_);
    failed_ = failed;
    sending_ = false;
    ready_.notify_all();
    if (failed)
      for (auto line = batch.rbegin(); line != batch.rend() && waiting_.size() < most_waiting; ++line) waiting_.push_front(std::move(*line));
  }

  const Uri uri_;
  const FetchOptions options_;
  const Report& report_;
  std::mutex mutex_;
  std::condition_variable_any ready_;
  std::deque<std::string> waiting_;
  bool urgent_ = false, failed_ = false, sending_ = false;
  std::jthread thread_;  // last, so it ends before what it uses
};

}  // namespace

std::unique_ptr<Sink> http_sink(const Uri& uri, const FetchOptions& options, const Report& report) {
  return std::make_unique<HttpSink>(uri, options, report);
}

void start_reporting(Context& context) {
  if (context.reporting) return;
  context.reporting = true;
  if (const auto said = context.machine.setting("syslog"); said && !said->value.empty()) {
    if (auto sink = syslog_sink(said->value, context.report))
      context.report.add(std::move(*sink));
    else
      context.report.log("{}: {}", said->source, sink.error().message());
  }
  const auto said = context.machine.setting("report");
  if (!said || said->value == "0") return;
  auto uri = said->value.contains("://") ? parse_uri(said->value)
             : context.identity.server   ? resolve_uri(*context.identity.server, "v1/events")
                                         : Result<Uri>(fail(ErrorKind::invalid, "no server is known to report to"));
  if (uri)
    context.report.add(http_sink(*uri, context.fetch, context.report));
  else
    context.report.log("{}: {}", said->source, uri.error().message());
}

}  // namespace signet
