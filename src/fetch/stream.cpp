#include "fetch/stream.h"

#include <algorithm>
#include <format>

#include "base/size.h"
#include "base/text.h"

namespace signet {
namespace {

// An error page is read so that its connection can serve the next request, as long as that is cheap.
constexpr std::uint64_t largest_error_page = 64 * 1024;

template <class Callback>
auto timed(std::chrono::steady_clock::duration& sum, Callback callback) {
  const auto start = std::chrono::steady_clock::now();
  auto result = callback();
  sum += std::chrono::steady_clock::now() - start;
  return result;
}

}  // namespace

Stream::Stream(Uri uri, FetchOptions options, std::optional<Clock::time_point> deadline)
    : uri_(std::move(uri)),
      options_(std::move(options)),
      deadline_(deadline),
      queue_(options_.buffer),
      size_(options_.announced.value_or(unknown)),
      worker_([this] { queue_.close(transfer()); }) {}

Stream::~Stream() {
  {
    const std::scoped_lock lock(mutex_);
    cancelled_ = true;
  }
  wake_.notify_all();
  queue_.abandon();
  worker_.join();
}

std::optional<std::uint64_t> Stream::size() const {
  const auto bytes = size_.load();
  return bytes == unknown ? std::nullopt : std::optional(bytes);
}

bool Stream::cancelled() {
  const std::scoped_lock lock(mutex_);
  return cancelled_;
}

// Attempts until the end, or until nothing helps.
std::optional<Error> Stream::transfer() {
  Retry retry(options_, deadline_);
  for (;;) {
    Transfer attempt(uri_, options_);
    const bool complete = perform(attempt, retry);
    if (cancelled()) return std::nullopt;
    if (fatal_) return std::move(fatal_);
    if (complete && (size_ == unknown || received_ >= size_)) return std::nullopt;
    auto error = error_of(attempt, complete, retry);
    const auto pause = complete || too_slow_ || attempt.is_passing() ? retry.pause(received_, idle_) : std::nullopt;
    if (!pause) {
      if (received_ > 0 && !complete)
        error = std::move(error).within(std::format("after {} of {}", format_size(received_), size_ == unknown ? "?" : format_size(size_)));
      return error;
    }
    retry.announce(error, received_, *pause);
    cause_ = error.message();
    std::unique_lock lock(mutex_);
    if (wake_.wait_for(lock, *pause, [&] { return cancelled_; })) return std::nullopt;
  }
}

Error Stream::error_of(const Transfer& attempt, bool complete, const Retry& retry) const {
  if (retry.is_over())
    return Error(ErrorKind::network, std::format("{}: not complete within {} s", uri_.display(),
                                                 std::chrono::duration_cast<std::chrono::seconds>(options_.text_time).count()))
        .advise("check that the server answers, its load, and the network between");
  if (too_slow_)
    return Error(ErrorKind::network, std::format("{}: the server sent less than {} a second for {} s", uri_.display(),
                                                 format_size(options_.lowest_rate), options_.rate_window.count()))
        .advise("check the server's load and the network between");
  return complete ? ended_early() : attempt.error();
}

Error Stream::ended_early() const {
  return Error(ErrorKind::network, std::format("{}: it ended after {} of {}", uri_.display(), format_size(received_), format_size(size_)))
      .advise("the server broke off; look into its log, and whether the file is complete");
}

Error Stream::changed() const {
  return Error(ErrorKind::network, std::format("{}: the file on the server has changed during the download", uri_.display())).advise("install again");
}

// True if libcurl and the server call it a success.
bool Stream::perform(Transfer& attempt, const Retry& retry) {
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
      +[](void* self, curl_off_t, curl_off_t, curl_off_t, curl_off_t) { return static_cast<Stream*>(self)->on_progress() ? 0 : 1; });
  curl_easy_setopt(easy, CURLOPT_XFERINFODATA, this);
  curl_easy_setopt(easy, CURLOPT_TIMEOUT_MS, retry.milliseconds_left());

  attempt_ = &attempt;
  body_checked_ = too_slow_ = false;
  resumed_at_ = received_;
  skip_ = error_page_ = window_bytes_ = 0;
  window_start_ = Clock::now();
  window_idle_ = {};
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
  const bool fine = code == CURLE_OK && attempt.status() < 400;
  if (fine && !body_checked_) check_body();  // not a byte came
  attempt_ = nullptr;
  if (attempt.status() == 416 && resumed_at_ > 0) fatal_ = changed();
  return fine;
}

// False once nobody wants more, or where it comes too slowly.
bool Stream::on_progress() {
  if (cancelled()) return false;
  if (deadline_) return true;
  const auto now = Clock::now();
  if (now - window_start_ - window_idle_ < options_.rate_window) return true;
  if (window_bytes_ < options_.lowest_rate * static_cast<std::uint64_t>(options_.rate_window.count())) {
    too_slow_ = true;
    return false;
  }
  window_start_ = now;
  window_bytes_ = 0;
  window_idle_ = {};
  return true;
}

std::size_t Stream::on_header(std::string_view line) {
  if (line.starts_with("HTTP/")) {
    new_validator_.clear();
    encoding_.clear();
    chunked_ = false;
    range_.reset();
  }
  const auto colon = line.find(':');
  if (colon == std::string_view::npos) return line.size();
  const auto name = to_lower(line.substr(0, colon));
  const auto value = std::string(trim(line.substr(colon + 1)));
  // A strong entity tag names these very bytes; a date is the next best.
  if (name == "etag" && !value.starts_with("W/")) new_validator_ = value;
  if (name == "last-modified" && new_validator_.empty()) new_validator_ = value;
  if (name == "content-range") range_ = parse_content_range(value);
  if (name == "content-encoding") encoding_ = to_lower(value);
  if (name == "transfer-encoding") chunked_ = to_lower(value).contains("chunked");
  return line.size();
}

// Why an answer to a request for the whole cannot be used.
std::optional<Error> Stream::unfit(long status) const {
  if (status == 206)
    return Error(ErrorKind::network, std::format("{}: the server sent a part of it (HTTP 206), but all of it was asked for", uri_.display()))
        .advise("look into the server's configuration and into proxies on the way");
  // Some servers call a file's own compression an encoding: the name says which.
  const bool own = encoding_.ends_with("gzip") && (uri_.path.ends_with("gz") || uri_.path.ends_with(".gzip"));
  if (!encoding_.empty() && encoding_ != "identity" && !own)
    return Error(ErrorKind::network, std::format("{}: the server compressed it (Content-Encoding: {}), which was not asked for", uri_.display(),
                                                 shorten(printable(encoding_), 40)))
        .advise("switch this compression off in the server, or in the proxy on the way");
  if (deadline_ && status != 0 && !chunked_ && !attempt_->length())
    return Error(ErrorKind::network,
                 std::format("{}: the server does not tell how long it is, so a text that is cut short would pass for whole", uri_.display()))
        .advise("use a server that sends Content-Length or HTTP/1.1 chunks, such as nginx; a CGI program may print a Content-Length line");
  return std::nullopt;
}

// Once for each attempt, when its first byte is here: is it what was asked for?
bool Stream::check_body() {
  body_checked_ = true;
  const long status = attempt_->status();
  if (status >= 400) return true;
  const auto length = attempt_->length();
  if (resumed_at_ == 0 || skip_ > 0) {
    fatal_ = unfit(status);
    if (!fatal_ && length && options_.announced && *length != *options_.announced)
      fatal_ = Error(ErrorKind::network, std::format("{}: it has {}, but {} were announced before", uri_.display(), format_size(*length),
                                                     format_size(*options_.announced)))
                   .advise("the file on the server has changed meanwhile: install again");
    if (fatal_) return false;
    validator_ = new_validator_;
    if (length) size_ = *length;
    return true;
  }
  if (status != 0 && status != 206) {
    fatal_ = Error(ErrorKind::network,
                   std::format("{}: the connection broke after {}, and the server cannot go on from there ({}); it broke because of this: {}",
                               uri_.display(), format_size(received_),
                               validator_.empty() ? "it knows no ranges" : "it knows no ranges, or the file has changed meanwhile", cause_))
                 .advise("install again; serve images with a server that knows byte ranges, such as nginx");
    return false;
  }
  const bool other_length = length && size_ != unknown && resumed_at_ + *length != size_;
  const bool other_range = range_ && (range_->first != resumed_at_ || (range_->whole && size_ != unknown && *range_->whole != size_));
  if (other_length || other_range) fatal_ = changed();
  return !fatal_;
}

std::size_t Stream::on_body(const char* data, std::size_t size) {
  if (!body_checked_ && !check_body()) return CURL_WRITEFUNC_ERROR;
  if (attempt_->status() >= 400) return (error_page_ += size) <= largest_error_page ? size : CURL_WRITEFUNC_ERROR;
  window_bytes_ += size;
  auto bytes = std::as_bytes(std::span(data, size));
  const auto known = static_cast<std::size_t>(std::min<std::uint64_t>(skip_, bytes.size()));
  skip_ -= known;
  bytes = bytes.subspan(known);
  if (size_ != unknown && bytes.size() > size_ - received_) {
    fatal_ = Error(ErrorKind::network, std::format("{}: the server sends more than the {} that it announced", uri_.display(), format_size(size_)))
                 .advise("the file on the server has changed meanwhile, or the server is wrong about its size: install again");
    return CURL_WRITEFUNC_ERROR;
  }
  Clock::duration blocked{};
  const bool taken = timed(blocked, [&] { return queue_.put(bytes); });
  window_idle_ += blocked;
  idle_ += blocked;
  if (!taken) return CURL_WRITEFUNC_ERROR;
  received_ += bytes.size();
  return size;
}

}  // namespace signet
