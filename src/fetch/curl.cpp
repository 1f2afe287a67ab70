// Streams, texts and probes by libcurl. One thread per stream; every wait is bounded: by the connect timeout, by the stall timeout, by the number of
// attempts.
#include <sys/stat.h>

#include <algorithm>
#include <array>
#include <atomic>
#include <condition_variable>
#include <format>
#include <mutex>
#include <thread>

#include "base/size.h"
#include "base/text.h"
#include "fetch/buffer.h"
#include "fetch/fetch.h"
#include "fetch/transfer.h"

namespace signet {
namespace {

// "bytes 500-999/1000" (RFC 9110 §14.4): where a part starts, and the size of the whole if it is known.
struct ContentRange {
  std::uint64_t first = 0;
  std::optional<std::uint64_t> whole;
};

std::optional<ContentRange> parse_content_range(std::string_view value) {
  if (!to_lower(value).starts_with("bytes ")) return std::nullopt;
  value = trim(value.substr(6));
  const auto dash = value.find('-'), slash = value.find('/');
  if (dash == std::string_view::npos || slash == std::string_view::npos) return std::nullopt;
  const auto first = parse_unsigned(trim(value.substr(0, dash)));
  if (!first) return std::nullopt;
  return ContentRange{*first, parse_unsigned(trim(value.substr(slash + 1)))};
}

class Stream : public ByteSource {
 public:
  Stream(Uri uri, FetchOptions options)
      : uri_(std::move(uri)), options_(std::move(options)), queue_(options_.buffer), worker_([this] { queue_.close(transfer()); }) {}

  ~Stream() override {
    {
      const std::scoped_lock lock(mutex_);
      cancelled_ = true;
    }
    wake_.notify_all();
    queue_.abandon();
    worker_.join();
  }

  Result<> wait_for_first() { return queue_.wait_for_first(); }
  Result<std::size_t> read(std::span<std::byte> buffer) override { return queue_.take(buffer); }
  std::optional<std::uint64_t> size() const override {
    const auto bytes = size_.load();
    return bytes == unknown ? std::nullopt : std::optional(bytes);
  }

 private:
  static constexpr std::uint64_t unknown = UINT64_MAX;

  // Runs in a thread of its own: attempts, each going on where the last one broke, until the end or until nothing helps.
  std::optional<Error> transfer() {
    unsigned failures = 0;  // since the last progress
    for (;;) {
      const auto before = received_;
      Transfer attempt(uri_, options_);
      const bool complete = perform(attempt);
      if (cancelled()) return std::nullopt;
      if (fatal_) return std::move(fatal_);
      if (complete && (size_ == unknown || received_ >= size_)) return std::nullopt;
      if (received_ > before) failures = 0;
      ++failures;
      auto error = complete ? ended_early() : attempt.error();
      if (failures >= options_.attempts || !(complete || attempt.is_passing())) {
        if (received_ > 0 && !complete)
          error = std::move(error).within(std::format("after {} of {}", format_size(received_), size_ == unknown ? "?" : format_size(size_)));
        return error;
      }
      const auto pause = pause_after(failures);
      if (options_.on_retry)
        options_.on_retry(std::format("{}{}; trying again in {} s ({} of {})", error.message(),
                                      received_ > 0 ? std::format(" (after {})", format_size(received_)) : "", pause.count(), failures + 1,
                                      options_.attempts));
      std::unique_lock lock(mutex_);
      if (wake_.wait_for(lock, pause, [&] { return cancelled_; })) return std::nullopt;
    }
  }

  Error ended_early() const {
    return Error(ErrorKind::network, std::format("{}: it ended after {} of {}", uri_.display(), format_size(received_), format_size(size_)))
        .advise("the server broke off; look into its log, and whether the file is complete");
  }

  Error changed() const {
    return Error(ErrorKind::network, std::format("{}: the file on the server has changed during the download", uri_.display()))
        .advise("install again");
  }

  // True if libcurl and the server call it a success.
  bool perform(Transfer& attempt) {
    CURL* easy = attempt.handle();
    curl_easy_setopt(
        easy, CURLOPT_WRITEFUNCTION,
        +[](char* data, std::size_t, std::size_t size, void* self) { return static_cast<Stream*>(self)->on_body(data, size); });
    curl_easy_setopt(easy, CURLOPT_WRITEDATA, this);
    curl_easy_setopt(
        easy, CURLOPT_HEADERFUNCTION,
        +[](char* data, std::size_t, std::size_t size, void* self) { return static_cast<Stream*>(self)->on_header({data, size}); });
    curl_easy_setopt(easy, CURLOPT_HEADERDATA, this);
    curl_easy_setopt(easy, CURLOPT_NOPROGRESS, 0L);
    curl_easy_setopt(
        easy, CURLOPT_XFERINFOFUNCTION,
        +[](void* self, curl_off_t, curl_off_t, curl_off_t, curl_off_t) { return static_cast<Stream*>(self)->cancelled() ? 1 : 0; });
    curl_easy_setopt(easy, CURLOPT_XFERINFODATA, this);

    attempt_ = &attempt;
    body_checked_ = false;
    resumed_at_ = received_;
    skip_ = 0;
    if (received_ > 0 && uri_.scheme == "tftp") {
      skip_ = received_;  // RFC 1350 always starts at the beginning
    } else if (received_ > 0 && uri_.scheme == "file") {
      curl_easy_setopt(easy, CURLOPT_RESUME_FROM_LARGE, static_cast<curl_off_t>(received_));
    } else if (received_ > 0) {
      curl_easy_setopt(easy, CURLOPT_RANGE, std::format("{}-", received_).c_str());
      // RFC 9110 §13.1.5: the part is sent only if the file is still the same one.
      if (!validator_.empty()) attempt.add_header("If-Range: " + validator_);
    }
    const CURLcode code = attempt.perform();
    attempt_ = nullptr;
    if (attempt.status() == 416 && resumed_at_ > 0) fatal_ = changed();
    return code == CURLE_OK && attempt.status() < 400;
  }

  std::size_t on_header(std::string_view line) {
    if (line.starts_with("HTTP/")) {
      new_validator_.clear();
      range_.reset();
    }
    const auto colon = line.find(':');
    if (colon != std::string_view::npos) {
      const auto name = to_lower(line.substr(0, colon));
      const auto value = std::string(trim(line.substr(colon + 1)));
      // A strong entity tag names these very bytes; a date is the next best.
      if (name == "etag" && !value.starts_with("W/")) new_validator_ = value;
      if (name == "last-modified" && new_validator_.empty()) new_validator_ = value;
      if (name == "content-range") range_ = parse_content_range(value);
    }
    return line.size();
  }

  // Once for each attempt, when its first byte is here: is it what was asked for?
  bool check_body() {
    body_checked_ = true;
    const long status = attempt_->status();
    if (status >= 400) return true;
    const auto length = attempt_->length();
    if (resumed_at_ == 0 || skip_ > 0) {
      validator_ = new_validator_;
      if (length) size_ = *length;
      return true;
    }
    if (status != 0 && status != 206) {
      fatal_ =
          Error(ErrorKind::network,
                std::format("{}: the connection broke after {}, and the server cannot go on from there ({})", uri_.display(), format_size(received_),
                            validator_.empty() ? "it knows no ranges" : "it knows no ranges, or the file has changed meanwhile"))
              .advise("install again; serve images with a server that knows byte ranges, such as nginx");
      return false;
    }
    const bool other_length = length && size_ != unknown && resumed_at_ + *length != size_;
    const bool other_range = range_ && (range_->first != resumed_at_ || (range_->whole && size_ != unknown && *range_->whole != size_));
    if (other_length || other_range) fatal_ = changed();
    return !fatal_;
  }

  std::size_t on_body(const char* data, std::size_t size) {
    if (!body_checked_ && !check_body()) return CURL_WRITEFUNC_ERROR;
    if (attempt_->status() >= 400) return size;  // an error page is no image
    auto bytes = std::as_bytes(std::span(data, size));
    const auto known = static_cast<std::size_t>(std::min<std::uint64_t>(skip_, bytes.size()));
    skip_ -= known;
    bytes = bytes.subspan(known);
    if (!queue_.put(bytes)) return CURL_WRITEFUNC_ERROR;
    received_ += bytes.size();
    return size;
  }

  bool cancelled() {
    const std::scoped_lock lock(mutex_);
    return cancelled_;
  }

  Uri uri_;
  FetchOptions options_;
  ByteQueue queue_;
  std::mutex mutex_;
  std::condition_variable wake_;
  bool cancelled_ = false;
  // Of the worker thread alone, but for size_.
  Transfer* attempt_ = nullptr;
  std::uint64_t received_ = 0, resumed_at_ = 0;
  std::uint64_t skip_ = 0;  // bytes that this attempt brings once more
  std::atomic<std::uint64_t> size_ = unknown;
  bool body_checked_ = false;
  std::string validator_, new_validator_;
  std::optional<ContentRange> range_;
  std::optional<Error> fatal_;
  std::thread worker_;
};

}  // namespace

Result<std::unique_ptr<ByteSource>> open_source(const Uri& uri, const FetchOptions& options) {
  auto stream = std::make_unique<Stream>(uri, options);
  TRY(stream->wait_for_first());
  return stream;
}

Result<std::string> fetch_text(const Uri& uri, const FetchOptions& options, std::size_t limit) {
  auto source = TRY(open_source(uri, options));
  std::string text;
  std::array<std::byte, 16384> chunk;
  for (;;) {
    const auto got = TRY(source->read(chunk));
    if (got == 0) return text;
    text.append(reinterpret_cast<const char*>(chunk.data()), got);
    if (text.size() > limit) return fail(ErrorKind::invalid, "{}: more than {}, too large for a text", uri.display(), format_size(limit));
  }
}

Result<Availability> probe(const Uri& uri, const FetchOptions& options) {
  if (uri.scheme == "file") {
    struct stat status{};
    if (::stat(uri.file_path().c_str(), &status) != 0) return fail_errno("{}", uri.display());
    return Availability{static_cast<std::uint64_t>(status.st_size)};
  }
  if (uri.scheme == "tftp") return Availability{};  // RFC 1350 has no way to ask but to fetch
  for (unsigned failures = 1;; ++failures) {
    Transfer head(uri, options);
    curl_easy_setopt(head.handle(), CURLOPT_NOBODY, 1L);
    const bool answered = head.perform() == CURLE_OK;
    if (answered && head.status() < 400) return Availability{head.length()};
    // A server that serves files but knows no HEAD says so with these.
    if (answered && (head.status() == 405 || head.status() == 501)) return Availability{};
    if (failures >= options.attempts || !head.is_passing()) return std::unexpected(head.error());
    const auto pause = pause_after(failures);
    if (options.on_retry)
      options.on_retry(std::format("{}; trying again in {} s ({} of {})", head.error().message(), pause.count(), failures + 1, options.attempts));
    std::this_thread::sleep_for(pause);
  }
}

}  // namespace signet
