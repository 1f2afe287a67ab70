// Transfers by libcurl. One thread per stream; every wait is bounded: by the connect timeout, by the stall timeout, by the number of attempts.
#include <curl/curl.h>
#include <stdlib.h>
#include <sys/stat.h>

#include <algorithm>
#include <array>
#include <atomic>
#include <condition_variable>
#include <ctime>
#include <format>
#include <mutex>
#include <thread>

#include "base/size.h"
#include "base/text.h"
#include "fetch/buffer.h"
#include "fetch/fetch.h"

namespace signet {
namespace {

constexpr long most_redirects = 8;
constexpr const char* protocols = "http,https,tftp,file";

struct Cleanup {
  void operator()(CURL* easy) const { curl_easy_cleanup(easy); }
};
using Easy = std::unique_ptr<CURL, Cleanup>;

void initialize() {
  static const CURLcode once = curl_global_init(CURL_GLOBAL_DEFAULT);
  (void)once;
}

std::string ca_bundle(const FetchOptions& options) {
  if (!options.ca_bundle.empty()) return options.ca_bundle;
  if (const char* file = ::getenv("SSL_CERT_FILE")) return file;
  return "/etc/ssl/certs/ca-certificates.crt";
}

std::string clock_text() {
  const time_t now = std::time(nullptr);
  tm parts{};
  ::gmtime_r(&now, &parts);
  char text[32];
  ::strftime(text, sizeof text, "%Y-%m-%d %H:%M UTC", &parts);
  return text;
}

// What a URI is fetched with; shared by streams, texts and probes.
void set_up(CURL* easy, const Uri& uri, const FetchOptions& options, const std::string& bundle, char* error_text) {
  curl_easy_setopt(easy, CURLOPT_URL, uri.text().c_str());
  curl_easy_setopt(easy, CURLOPT_PROTOCOLS_STR, protocols);
  // A redirect may leave http for https, never the other way.
  curl_easy_setopt(easy, CURLOPT_REDIR_PROTOCOLS_STR, uri.scheme == "https" ? "https" : "http,https");
  curl_easy_setopt(easy, CURLOPT_FOLLOWLOCATION, 1L);
  curl_easy_setopt(easy, CURLOPT_MAXREDIRS, most_redirects);
  curl_easy_setopt(easy, CURLOPT_USERAGENT, "signet/" SIGNET_VERSION);
  curl_easy_setopt(easy, CURLOPT_NOSIGNAL, 1L);
  curl_easy_setopt(easy, CURLOPT_CONNECTTIMEOUT, static_cast<long>(options.connect_timeout.count()));
  curl_easy_setopt(easy, CURLOPT_LOW_SPEED_LIMIT, 1L);
  curl_easy_setopt(easy, CURLOPT_LOW_SPEED_TIME, static_cast<long>(options.stall_timeout.count()));
  curl_easy_setopt(easy, CURLOPT_TCP_KEEPALIVE, 1L);
  curl_easy_setopt(easy, CURLOPT_SSLVERSION, static_cast<long>(CURL_SSLVERSION_TLSv1_2));
  curl_easy_setopt(easy, CURLOPT_CAINFO, bundle.c_str());
  curl_easy_setopt(easy, CURLOPT_BUFFERSIZE, 256L * 1024);
  curl_easy_setopt(easy, CURLOPT_ERRORBUFFER, error_text);
}

// Whether another attempt can help.
bool is_passing(CURLcode code, long status) {
  if (status == 408 || status == 429 || status >= 500) return true;
  switch (code) {
    case CURLE_COULDNT_CONNECT:
    case CURLE_COULDNT_RESOLVE_HOST:
    case CURLE_OPERATION_TIMEDOUT:
    case CURLE_SEND_ERROR:
    case CURLE_RECV_ERROR:
    case CURLE_GOT_NOTHING:
    case CURLE_PARTIAL_FILE:
    case CURLE_TFTP_NOTFOUND: return code != CURLE_TFTP_NOTFOUND;
    default: return false;
  }
}

// What a person is told about a transfer that failed for good.
Error to_error(const Uri& uri, CURLcode code, long status, const char* detail, const std::string& bundle) {
  const auto name = uri.display();
  if (status >= 400) {
    if (status == 404 || status == 410)
      return Error(ErrorKind::not_found, std::format("{}: the server does not have it (HTTP {})", name, status))
          .advise("check the path, and that the file is there and readable for the server");
    return Error(ErrorKind::network, std::format("{}: the server answered HTTP {}", name, status)).advise("look into the server's log");
  }
  const std::string why = detail && *detail ? printable(detail) : curl_easy_strerror(code);
  switch (code) {
    case CURLE_FILE_COULDNT_READ_FILE: return {ErrorKind::not_found, std::format("{}: no such file, or not readable", name)};
    case CURLE_TFTP_NOTFOUND: return {ErrorKind::not_found, std::format("{}: the TFTP server does not have it", name)};
    case CURLE_PEER_FAILED_VERIFICATION:
      return Error(ErrorKind::verification, std::format("{}: its certificate is not accepted: {}", name, why))
          .advise(std::format("this machine's clock says {}; trusted are the issuers in {} (packed by initrd/pack --ca-bundle); the certificate must "
                              "be for the host {}",
                              clock_text(), bundle, uri.authority));
    case CURLE_SSL_CACERT_BADFILE:
      return Error(ErrorKind::verification, std::format("{}: there is no usable CA bundle at {}", name, bundle))
          .advise("pack one into the initrd with initrd/pack --ca-bundle FILE, or use http and image.sha256");
    case CURLE_SSL_CONNECT_ERROR:
      return Error(ErrorKind::network, std::format("{}: TLS failed: {}", name, why)).advise("the server must speak TLS 1.2 or 1.3");
    case CURLE_TOO_MANY_REDIRECTS: return {ErrorKind::invalid, std::format("{}: more than {} redirects", name, most_redirects)};
    case CURLE_UNSUPPORTED_PROTOCOL:
      return {ErrorKind::invalid, std::format("{}: it redirects to a protocol that is not allowed (https may not become http)", name)};
    case CURLE_OPERATION_TIMEDOUT:
    case CURLE_COULDNT_CONNECT:
    case CURLE_COULDNT_RESOLVE_HOST:
      return Error(ErrorKind::network, std::format("{}: {}", name, why))
          .advise("check that the server runs, its address and port, and the network between");
    default: return {ErrorKind::network, std::format("{}: {}", name, why)};
  }
}

class Stream : public ByteSource {
 public:
  Stream(Uri uri, FetchOptions options)
      : uri_(std::move(uri)), options_(std::move(options)), bundle_(ca_bundle(options_)), queue_(options_.buffer), worker_([this] { transfer(); }) {}

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
  void transfer() {
    unsigned failures = 0;  // since the last progress
    for (;;) {
      const auto before = received_;
      char detail[CURL_ERROR_SIZE] = "";
      const CURLcode code = attempt(detail);
      if (cancelled()) return queue_.close();
      if (fatal_) return queue_.close(std::move(fatal_));
      const bool whole = code == CURLE_OK && status_ < 400 && (size_ == unknown || received_ >= size_);
      if (whole) return queue_.close();
      auto error = code == CURLE_OK && status_ < 400 ? ended_early() : to_error(uri_, code, status_, detail, bundle_);
      if (received_ > before) failures = 0;
      ++failures;
      const bool early_end = code == CURLE_OK && status_ < 400;
      if (failures >= options_.attempts || !(early_end || is_passing(code, status_))) {
        if (received_ > 0 && code != CURLE_OK)
          error = std::move(error).within(std::format("after {} of {}", format_size(received_), size_ == unknown ? "?" : format_size(size_)));
        return queue_.close(std::move(error));
      }
      const auto pause = std::chrono::seconds(1U << std::min(failures - 1, 4U));
      if (options_.on_retry)
        options_.on_retry(std::format("{}{}; trying again in {} s ({} of {})", error.message(),
                                      received_ > 0 ? std::format(" (after {})", format_size(received_)) : "", pause.count(), failures + 1,
                                      options_.attempts));
      std::unique_lock lock(mutex_);
      if (wake_.wait_for(lock, pause, [&] { return cancelled_; })) return queue_.close();
    }
  }

  Error ended_early() const {
    return Error(ErrorKind::network, std::format("{}: it ended after {} of {}", uri_.display(), format_size(received_), format_size(size_)))
        .advise("the server broke off; look into its log, and whether the file is complete");
  }

  CURLcode attempt(char* detail) {
    const Easy easy(curl_easy_init());
    if (!easy) return CURLE_OUT_OF_MEMORY;
    set_up(easy.get(), uri_, options_, bundle_, detail);
    curl_easy_setopt(
        easy.get(), CURLOPT_WRITEFUNCTION,
        +[](char* data, std::size_t, std::size_t size, void* self) { return static_cast<Stream*>(self)->on_body(data, size); });
    curl_easy_setopt(easy.get(), CURLOPT_WRITEDATA, this);
    curl_easy_setopt(
        easy.get(), CURLOPT_HEADERFUNCTION,
        +[](char* data, std::size_t, std::size_t size, void* self) { return static_cast<Stream*>(self)->on_header({data, size}); });
    curl_easy_setopt(easy.get(), CURLOPT_HEADERDATA, this);
    curl_easy_setopt(easy.get(), CURLOPT_NOPROGRESS, 0L);
    curl_easy_setopt(
        easy.get(), CURLOPT_XFERINFOFUNCTION,
        +[](void* self, curl_off_t, curl_off_t, curl_off_t, curl_off_t) { return static_cast<Stream*>(self)->cancelled() ? 1 : 0; });
    curl_easy_setopt(easy.get(), CURLOPT_XFERINFODATA, this);

    easy_ = easy.get();
    status_ = 0;
    body_checked_ = false;
    resumed_at_ = received_;
    curl_slist* headers = nullptr;
    std::string range;
    if (received_ > 0) {
      // RFC 9110 §13.1.5: the part is sent only if the file is still the same one.
      if (uri_.scheme == "file") {
        curl_easy_setopt(easy.get(), CURLOPT_RESUME_FROM_LARGE, static_cast<curl_off_t>(received_));
      } else {
        range = std::format("{}-", received_);
        curl_easy_setopt(easy.get(), CURLOPT_RANGE, range.c_str());
        if (!validator_.empty()) headers = curl_slist_append(nullptr, ("If-Range: " + validator_).c_str());
      }
    }
    curl_easy_setopt(easy.get(), CURLOPT_HTTPHEADER, headers);
    const CURLcode code = curl_easy_perform(easy.get());
    if (headers) curl_slist_free_all(headers);
    if (status_ == 0) curl_easy_getinfo(easy.get(), CURLINFO_RESPONSE_CODE, &status_);
    easy_ = nullptr;
    return code;
  }

  std::size_t on_header(std::string_view line) {
    if (line.starts_with("HTTP/")) new_validator_.clear();
    const auto colon = line.find(':');
    if (colon != std::string_view::npos) {
      const auto name = to_lower(line.substr(0, colon));
      const auto value = std::string(trim(line.substr(colon + 1)));
      // A strong entity tag names these very bytes; a date is the next best.
      if (name == "etag" && !value.starts_with("W/")) new_validator_ = value;
      if (name == "last-modified" && new_validator_.empty()) new_validator_ = value;
    }
    return line.size();
  }

  // Once for each attempt, when its first byte is here: is it what was asked for?
  bool check_body() {
    body_checked_ = true;
    if (uri_.scheme == "http" || uri_.scheme == "https") {
      curl_easy_getinfo(easy_, CURLINFO_RESPONSE_CODE, &status_);
      if (status_ >= 400) return true;
      if (resumed_at_ > 0 && status_ != 206) {
        fatal_ = Error(ErrorKind::network,
                       std::format("{}: the connection broke after {}, and the server cannot go on from there ({})", uri_.display(),
                                   format_size(received_),
                                   validator_.empty() ? "it knows no ranges" : "it knows no ranges, or the file has changed meanwhile"))
                     .advise("install again; serve images with a server that knows byte ranges, such as nginx");
        return false;
      }
    }
    if (resumed_at_ == 0) validator_ = new_validator_;
    curl_off_t length = -1;
    curl_easy_getinfo(easy_, CURLINFO_CONTENT_LENGTH_DOWNLOAD_T, &length);
    if (length >= 0 && resumed_at_ == 0) size_ = static_cast<std::uint64_t>(length);
    if (length >= 0 && resumed_at_ > 0 && size_ != unknown && resumed_at_ + static_cast<std::uint64_t>(length) != size_) {
      fatal_ = Error(ErrorKind::network, std::format("{}: the file on the server has changed its size during the download", uri_.display()))
                   .advise("install again");
      return false;
    }
    return true;
  }

  std::size_t on_body(const char* data, std::size_t size) {
    if (!body_checked_ && !check_body()) return CURL_WRITEFUNC_ERROR;
    if (status_ >= 400) return size;  // an error page is no image
    if (!queue_.put(std::as_bytes(std::span(data, size)))) return CURL_WRITEFUNC_ERROR;
    received_ += size;
    return size;
  }

  bool cancelled() {
    const std::scoped_lock lock(mutex_);
    return cancelled_;
  }

  Uri uri_;
  FetchOptions options_;
  std::string bundle_;
  ByteQueue queue_;
  std::mutex mutex_;
  std::condition_variable wake_;
  bool cancelled_ = false;
  // Of the worker thread alone, but for size_.
  CURL* easy_ = nullptr;
  std::uint64_t received_ = 0, resumed_at_ = 0;
  std::atomic<std::uint64_t> size_ = unknown;
  long status_ = 0;
  bool body_checked_ = false;
  std::string validator_, new_validator_;
  std::optional<Error> fatal_;
  std::thread worker_;
};

}  // namespace

Result<std::unique_ptr<ByteSource>> open_source(const Uri& uri, const FetchOptions& options) {
  initialize();
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
  initialize();
  const auto bundle = ca_bundle(options);
  for (unsigned failures = 1;; ++failures) {
    const Easy easy(curl_easy_init());
    char detail[CURL_ERROR_SIZE] = "";
    set_up(easy.get(), uri, options, bundle, detail);
    curl_easy_setopt(easy.get(), CURLOPT_NOBODY, 1L);
    const CURLcode code = curl_easy_perform(easy.get());
    long status = 0;
    curl_easy_getinfo(easy.get(), CURLINFO_RESPONSE_CODE, &status);
    if (code == CURLE_OK && status < 400) {
      curl_off_t length = -1;
      curl_easy_getinfo(easy.get(), CURLINFO_CONTENT_LENGTH_DOWNLOAD_T, &length);
      return length >= 0 ? Availability{static_cast<std::uint64_t>(length)} : Availability{};
    }
    auto error = to_error(uri, code, status, detail, bundle);
    if (failures >= options.attempts || !is_passing(code, status)) return std::unexpected(std::move(error));
    const auto pause = std::chrono::seconds(1U << std::min(failures - 1, 4U));
    if (options.on_retry)
      options.on_retry(std::format("{}; trying again in {} s ({} of {})", error.message(), pause.count(), failures + 1, options.attempts));
    std::this_thread::sleep_for(pause);
  }
}

}  // namespace signet
