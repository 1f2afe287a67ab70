// Streams, texts and probes by libcurl: what each is and how long it may take.
#include <sys/stat.h>

#include <array>
#include <format>

#include "base/size.h"
#include "base/stop.h"
#include "fetch/fetch.h"
#include "fetch/retry.h"
#include "fetch/stream.h"
#include "fetch/transfer.h"

namespace signet {
namespace {

constexpr std::size_t usual_text = 4 << 20;            // bytes that options.text_time is meant for
constexpr std::uint64_t large_text_rate = 256 * 1024;  // bytes a second for what a text may have beyond that
constexpr std::size_t text_buffer = 64 * 1024;

Result<struct stat> status_of(const Uri& uri) {
  struct stat status{};
  if (::stat(uri.file_path().c_str(), &status) != 0) return fail_errno("{}", uri);
  // A FIFO may never say a word.
  if (!S_ISREG(status.st_mode) && !S_ISBLK(status.st_mode)) return fail(ErrorKind::invalid, "{}: it is not a regular file", uri);
  return status;
}

Result<std::unique_ptr<ByteSource>> open_stream(const Uri& uri, FetchOptions options, std::optional<Stream::Clock::time_point> deadline) {
  if (uri.scheme == "file") TRY(status_of(uri));
  auto stream = std::make_unique<Stream>(uri, std::move(options), deadline);
  TRY(stream->wait_for_first());
  return stream;
}

}  // namespace

Result<std::unique_ptr<ByteSource>> open_source(const Uri& uri, const FetchOptions& options) { return open_stream(uri, options, std::nullopt); }

Result<std::string> fetch_text(const Uri& uri, const FetchOptions& options, std::size_t limit) {
  auto text_options = options;
  text_options.buffer = std::min(options.buffer, text_buffer);
  if (limit > usual_text) text_options.text_time += std::chrono::seconds((limit - usual_text) / large_text_rate);
  const auto deadline = Stream::Clock::now() + text_options.text_time;
  auto source = TRY(open_stream(uri, std::move(text_options), deadline));
  std::string text;
  std::array<std::byte, 16384> chunk;
  for (;;) {
    const auto got = TRY(source->read(chunk));
    if (got == 0) return text;
    text.append(reinterpret_cast<const char*>(chunk.data()), got);
    if (text.size() > limit) return fail(ErrorKind::invalid, "{}: more than {}, too large for a text", uri, format_size(limit));
  }
}

Result<Availability> probe(const Uri& uri, const FetchOptions& options) {
  if (uri.scheme == "file") {
    const auto status = TRY(status_of(uri));
    return S_ISREG(status.st_mode) ? Availability{static_cast<std::uint64_t>(status.st_size)} : Availability{};
  }
  if (uri.scheme == "tftp") return Availability{};  // RFC 1350 has no way to ask but to fetch
  Retry retry(options, Retry::Clock::now() + options.text_time);
  for (;;) {
    Transfer head(uri, options);
    curl_easy_setopt(head.handle(), CURLOPT_NOBODY, 1L);
    curl_easy_setopt(head.handle(), CURLOPT_TIMEOUT_MS, retry.milliseconds_left());
    const bool answered = head.perform() == CURLE_OK;
    if (answered && head.status() < 400) return Availability{head.length()};
    // A server that serves files but knows no HEAD says so with these.
    if (answered && (head.status() == 405 || head.status() == 501)) return Availability{};
    const auto pause = head.is_passing() ? retry.pause(0) : std::nullopt;
    if (!pause) return std::unexpected(head.error());
    retry.announce(head.error(), 0, *pause);
    TRY(sleep_unless_stopped(*pause));
  }
}

}  // namespace signet
