// fetch/: a URI becomes a byte stream (libcurl: http, https, tftp, file).
//
// A stream that breaks is taken up where it broke (Range + If-Range, RFC 9110 §14), and every error says which URI, what happened and what to look
// at. Every wait and every amount has a limit, whatever a server does:
//   a text, a HEAD   text_time in all, attempts and pauses included (30 s); a text has at most its limit (4 MiB)
//   a stream         each attempt ends after stall_timeout without a byte (30 s), or in a rate_window (60 s) with less than lowest_rate (16 KiB/s);
//                    all attempts end after 5 minutes and the time that what came takes at lowest_rate; the reader's own time does not count
//   a body           is never longer than the size that was announced for it: by Content-Length, or before (HEAD, the plan)
//   headers          300 KiB, 8 redirects (never from https to http, never to files)
#pragma once

#include <chrono>
#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include "base/result.h"
#include "base/uri.h"

namespace signet {

struct FetchOptions {
  std::chrono::seconds connect_timeout{10};             // name, TCP and TLS of one attempt
  std::chrono::seconds stall_timeout{30};               // no byte for so long: the connection is dropped and tried again
  unsigned attempts = 4;                                // in all, without 64 KiB of progress between them; waits 1, 2, 4 … s between
  std::chrono::seconds text_time{30};                   // for a whole text or HEAD; texts that may have more than 4 MiB get 1 s more for each 256 KiB
  std::uint64_t lowest_rate = 16 << 10;                 // bytes a second, of a stream …
  std::chrono::seconds rate_window{60};                 // … in each such time
  std::optional<std::uint64_t> announced = {};          // the size that was told before: another one is an error
  std::string ca_bundle = {};                           // PEM file; empty: $SSL_CERT_FILE, else /etc/ssl/certs/ca-certificates.crt
  std::size_t buffer = 4 << 20;                         // bytes that may wait between the network and the reader
  std::vector<std::string> headers = {};                // "Name: value", sent with every HTTP request
  std::function<void(std::string_view)> on_retry = {};  // told why, before each new attempt; may be called from another thread
};

/// Bytes in order, once. Reads come from one thread.
class ByteSource {
 public:
  virtual ~ByteSource() = default;
  /// At least one byte, or 0 at the end. Blocks; every wait inside is bounded.
  virtual Result<std::size_t> read(std::span<std::byte> buffer) = 0;
  /// Bytes in all, if known.
  virtual std::optional<std::uint64_t> size() const { return std::nullopt; }
};

/// Starts the transfer in a thread of its own and returns when its first byte or its failure is known. 404 and its like give not_found at once;
/// 5xx, refused connections, stalls and early ends are tried again; certificate failures give verification at once, with the reason and the names.
Result<std::unique_ptr<ByteSource>> open_source(const Uri& uri, const FetchOptions& options = {});

/// The whole of a small text (profile, script); more than `limit` bytes is an error. Over HTTP the server must say where it ends (Content-Length, or
/// chunks): a text that ends with its connection (HTTP/1.0) may have been cut, so it is refused.
Result<std::string> fetch_text(const Uri& uri, const FetchOptions& options = {}, std::size_t limit = 4 << 20);

/// What a HEAD request (or stat, for file:) says.
struct Availability {
  std::optional<std::uint64_t> size;  // bytes
};
/// not_found if the server answers that it does not exist.
Result<Availability> probe(const Uri& uri, const FetchOptions& options = {});

/// One POST of a small body, answered with 2xx within `limit` or an error; not tried again. http and https only.
Result<> post(const Uri& uri, std::string_view content_type, std::string_view body, std::chrono::seconds limit, const FetchOptions& options = {});

/// Passes bytes on and hashes them in a thread of its own (mbedTLS). After the end, read() fails with verification if the digest is not `expected`.
std::unique_ptr<ByteSource> verify_sha256(std::unique_ptr<ByteSource> source, std::string expected, std::string name);

/// Counts bytes as they pass; `on_bytes` gets the running total (at most every 64 KiB, and at the end).
std::unique_ptr<ByteSource> count_bytes(std::unique_ptr<ByteSource> source, std::function<void(std::uint64_t)> on_bytes);

/// SHA-256 of a file in lower-case hex.
Result<std::string> sha256_file(const std::string& path);
std::string sha256_text(std::string_view text);

}  // namespace signet
