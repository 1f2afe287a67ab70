// Servers that drip, lie, flood or fall silent: each ends with one error, within its limits. What the limits are by default is measured in
// tests/faults/hostile_servers.py; here they are short.
#include <doctest/doctest.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <chrono>
#include <format>
#include <memory>
#include <span>

#include "base/fd.h"
#include "fetch/content_range.h"
#include "fetch/fetch.h"
#include "fetch/retry.h"
#include "http_server.h"
#include "image/image.h"

using namespace signet;
using namespace std::chrono_literals;

namespace {

using After = Response::After;

FetchOptions brisk() { return {.connect_timeout = 2s, .stall_timeout = 3s, .attempts = 2, .text_time = 3s, .lowest_rate = 1000, .rate_window = 2s}; }

// Machines may be busy; a limit of 3 s that is not kept would still be missed by minutes.
constexpr auto margin = 25s;

struct Ended {
  Error error{ErrorKind::usage, "it did not fail"};
  std::chrono::steady_clock::duration took{};
};

template <class Get>
Ended end_of(Get get) {
  const auto start = std::chrono::steady_clock::now();
  auto got = get();
  Ended ended;
  ended.took = std::chrono::steady_clock::now() - start;
  if (!got) ended.error = got.error();
  return ended;
}

Result<std::string> read_stream(const Uri& uri, const FetchOptions& options) {
  auto source = TRY(open_source(uri, options));
  std::string text;
  std::vector<std::byte> buffer(100'000);
  for (;;) {
    const auto got = TRY(source->read(buffer));
    if (got == 0) return text;
    text.append(reinterpret_cast<const char*>(buffer.data()), got);
  }
}

const std::string ok_head = "HTTP/1.1 200 OK\r\n";

}  // namespace

TEST_CASE("a hostile server ends a text with one error in bounded time") {
  struct Case {
    const char* name;
    const char* message;
    Response response;
  };
  const std::string chunk = std::format("{:x}\r\n{}\r\n", 0x10000 - 8, std::string(0x10000 - 8, '#'));
  const std::vector<Case> cases = {
      {"drips the body", "not complete within 3 s", {http_response("200 OK", std::string(5000, 'x')), After::keep, 20ms}},
      {"drips the headers", "not complete within 3 s", {ok_head + "X: " + std::string(5000, 'x'), After::keep, 20ms}},
      {"says nothing", "", {"", After::hang}},
      {"sends headers without end", "", {ok_head + "X: " + std::string(65000, 'x') + "\r\n", After::repeat}},
      {"sends a body without end", "too large for a text", {ok_head + "Transfer-Encoding: chunked\r\n\r\n" + chunk, After::repeat}},
      {"announces more than it sends", "", {ok_head + "Content-Length: 5000\r\n\r\nschema = 1\n", After::close}},
      {"ends a text of unknown length", "does not tell how long it is", {"HTTP/1.0 200 OK\r\n\r\nschema = 1\n", After::close}},
      {"ends an empty text of unknown length", "does not tell how long it is", {"HTTP/1.0 200 OK\r\n\r\n", After::close}},
      {"breaks its chunks off", "", {ok_head + "Transfer-Encoding: chunked\r\n\r\nb\r\nschema = 1\n\r\n", After::close}},
      {"sends a part", "a part of it (HTTP 206)", {http_response("206 Partial Content", "schema", "Content-Range: bytes 0-5/11\r\n")}},
      {"compresses", "Content-Encoding: gzip", {http_response("200 OK", "\x1f\x8b", "Content-Encoding: gzip\r\n")}},
      {"redirects for ever", "more than 8 redirects", {http_response("302 Found", "", "Location: /again\r\n")}},
      {"redirects to a file", "not allowed", {http_response("302 Found", "", "Location: file:///etc/passwd\r\n")}},
      {"redirects with a body without end",
       "not complete within 3 s",
       {"HTTP/1.1 302 Found\r\nLocation: /x\r\nTransfer-Encoding: chunked\r\n\r\n" + chunk, After::repeat}},
      {"has an error page without end", "HTTP 404", {"HTTP/1.1 404 Not Found\r\nTransfer-Encoding: chunked\r\n\r\n" + chunk, After::repeat}},
      {"resets", "", {ok_head + "Content-Length: 50\r\n\r\nschema = 1\n", After::reset}},
      {"is not HTTP", "", {"SSH-2.0-OpenSSH_9.2\r\n", After::close}},
  };
  for (const auto& each : cases) {
    INFO(std::string(each.name));
    HttpServer server([&](const Request&) { return each.response; });
    const auto ended = end_of([&] { return fetch_text(server.uri(), brisk()); });
    CHECK_MESSAGE(ended.error.message().contains(each.message), ended.error.message());
    CHECK(ended.error.kind() != ErrorKind::usage);
    CHECK_FALSE(ended.error.message().contains('\n'));
    CHECK(ended.took < 3s + margin);
  }
}

TEST_CASE("a hostile server ends a stream with one error in bounded time") {
  struct Case {
    const char* name;
    const char* message;
    Response response;
    std::optional<std::uint64_t> announced = {};
  };
  const std::string chunk = std::format("{:x}\r\n{}\r\n", 0x10000 - 8, std::string(0x10000 - 8, '#'));
  const std::vector<Case> cases = {
      {"drips the body", "sent less than 1000 B a second for 2 s", {http_response("200 OK", std::string(100'000, 'x')), After::keep, 10ms}},
      {"drips the headers", "sent less than 1000 B a second for 2 s", {ok_head + "X: " + std::string(5000, 'x'), After::keep, 20ms}},
      {"sends more than the plan knows",
       "more than the 20 KiB that it announced",
       {ok_head + "Transfer-Encoding: chunked\r\n\r\n" + chunk, After::repeat},
       20 << 10},
      {"sends more than the plan knows, HTTP/1.0",
       "more than the 20 KiB",
       {"HTTP/1.0 200 OK\r\n\r\n" + std::string(65536, 'x'), After::repeat},
       20 << 10},
      {"sends less than the plan knows", "it ended after 2 B of 20 KiB", {"HTTP/1.0 200 OK\r\n\r\nxx", After::close}, 20 << 10},
      {"announces another size than the plan knows", "it has 9 B, but 20 KiB were announced", {http_response("200 OK", "different")}, 20 << 10},
      {"sends a part", "a part of it (HTTP 206)", {http_response("206 Partial Content", "xx", "Content-Range: bytes 0-1/11\r\n")}},
      {"compresses", "Content-Encoding: br", {http_response("200 OK", "xx", "Content-Encoding: br\r\n")}},
  };
  for (const auto& each : cases) {
    INFO(std::string(each.name));
    HttpServer server([&](const Request&) { return each.response; });
    auto options = brisk();
    options.announced = each.announced;
    const auto ended = end_of([&] { return read_stream(server.uri(), options); });
    CHECK_MESSAGE(ended.error.message().contains(each.message), ended.error.message());
    CHECK(ended.took < 10s + margin);
    CHECK(server.sent() < 64 << 20);
  }
  // What servers call a file's own compression stays as it is.
  HttpServer apache([&](const Request&) { return Response{http_response("200 OK", "\x1f\x8b", "Content-Encoding: x-gzip\r\n")}; });
  CHECK(read_stream(apache.uri("/image.tar.gz"), brisk()) == "\x1f\x8b");
}

TEST_CASE("an image without end that the decoder refuses is not read for ever") {
  class Endless : public ByteSource {
   public:
    explicit Endless(std::uint64_t& read) : read_(read) {}
    Result<std::size_t> read(std::span<std::byte> buffer) override {
      std::ranges::fill(buffer, std::byte{'#'});
      read_ += buffer.size();
      return buffer.size();
    }

   private:
    std::uint64_t& read_;
  };
  char name[] = "/tmp/signet-test-XXXXXX";
  REQUIRE(::mkdtemp(name));
  std::uint64_t read = 0;
  const auto written = write_tree(std::make_unique<Endless>(read), name, {.keep_owner = false});
  REQUIRE_FALSE(written);
  CHECK(written.error().kind() == ErrorKind::invalid);
  CHECK(read < 256 << 20);
  ::rmdir(name);
}

TEST_CASE("TLS that never answers, a name that does not exist: one error in bounded time") {
  HttpServer silent([](const Request&) { return Response{"", After::hang}; });
  auto uri = silent.uri();
  uri.scheme = "https";
  const auto stalled = end_of([&] { return fetch_text(uri, brisk()); });
  CHECK(stalled.error.kind() == ErrorKind::network);
  CHECK(stalled.took < 3s + margin);
  const auto nameless = end_of([&] { return fetch_text(parse_uri("http://no-such-host.invalid/x").value(), brisk()); });
  CHECK(nameless.error.kind() == ErrorKind::network);
  CHECK(nameless.took < 3s + margin);
}

TEST_CASE("a HEAD that drips or says nothing ends") {
  for (const auto& response : {Response{ok_head + "X: " + std::string(5000, 'x'), After::keep, 20ms}, Response{"", After::hang}}) {
    HttpServer server([&](const Request&) { return response; });
    const auto ended = end_of([&] { return probe(server.uri(), brisk()); });
    CHECK(ended.error.kind() == ErrorKind::network);
    CHECK(ended.took < 3s + margin);
  }
}

TEST_CASE("a FIFO, a directory, a device without end: no source") {
  char name[] = "/tmp/signet-test-XXXXXX";
  REQUIRE(::mkdtemp(name));
  const auto fifo = std::string(name) + "/fifo";
  REQUIRE(::mkfifo(fifo.c_str(), 0600) == 0);
  for (const auto& path : {fifo, std::string(name), std::string("/dev/zero")}) {
    const auto uri = parse_uri(path).value();
    CHECK(fetch_text(uri, brisk()).error().kind() == ErrorKind::invalid);
    CHECK(probe(uri, brisk()).error().kind() == ErrorKind::invalid);
  }
  ::unlink(fifo.c_str());
  ::rmdir(name);
}

TEST_CASE("errors of a transfer hide what its URI hides") {
  HttpServer server([](const Request& request) {
    if (request.head.starts_with("GET /moved"))
      return Response{http_response("302 Found", "", "Location: gopher://deploy:S3cret@127.0.0.1/?token=S3cret\r\n")};
    if (request.head.starts_with("GET /part")) return Response{http_response("206 Partial Content", "x")};
    return Response{http_response("404 Not Found", "S3cret")};
  });
  for (const char* path : {"/gone", "/moved", "/part"}) {
    auto uri = server.uri(path);
    uri.user_info = "deploy:S3cret";
    uri.query = "token=S3cret";
    auto options = brisk();
    std::string told;
    options.on_retry = [&](std::string_view why) { told += why; };
    const auto got = fetch_text(uri, options);
    REQUIRE_FALSE(got);
    CHECK_FALSE((got.error().message() + got.error().advice() + told).contains("S3cret"));
    CHECK(got.error().message().contains("?token=…"));
  }
  // The server itself gets them.
  CHECK(server.heads()[0].contains("GET /gone?token=S3cret"));
  CHECK(server.heads()[0].contains("Authorization: Basic"));
}

TEST_CASE("attempts end: after so many without progress, at the deadline, and when the whole comes too slowly") {
  const FetchOptions options;
  const auto start = Retry::Clock::now();
  Retry without_progress(options);
  unsigned pauses = 0;
  while (without_progress.pause(0, {}, start)) ++pauses;
  CHECK(pauses + 1 == options.attempts);

  // 64 KiB and a break, for ever: a server that plays for time within the rules of a single attempt.
  Retry playing(options);
  auto now = start;
  std::uint64_t received = 0;
  for (;;) {
    received += 64 << 10;
    now += 59s;
    if (!playing.pause(received, {}, now)) break;
  }
  CHECK(now - start < 10min);
  // The same pace is fine if it is the reader who takes the time.
  Retry patient(options);
  CHECK(patient.pause(64 << 10, 1h, start + 1h));

  Retry bounded(options, start + 30s);
  CHECK(bounded.pause(0, {}, start + 10s));
  CHECK_FALSE(bounded.pause(0, {}, start + 29s));
}

TEST_CASE("Content-Range as RFC 9110 §14.4 has it") {
  const auto range = parse_content_range("bytes 500-999/1000");
  REQUIRE(range);
  CHECK(range->first == 500);
  CHECK(range->last == 999);
  CHECK(range->whole == 1000);
  CHECK(parse_content_range("Bytes 0-0/*"));
  CHECK_FALSE(parse_content_range("Bytes 0-0/*")->whole);
  for (const char* bad : {"", "bytes", "bytes */1000", "bytes 5-4/10", "bytes 0-10/10", "bytes 0/10-4", "items 0-1/2", "bytes -1-2/3", "bytes 0-1/",
                          "bytes 0-1/x", "bytes 99999999999999999999-99999999999999999999/*"}) {
    CAPTURE(bad);
    CHECK_FALSE(parse_content_range(bad));
  }
}
