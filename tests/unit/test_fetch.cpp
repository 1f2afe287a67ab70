#include <doctest/doctest.h>
#include <stdlib.h>
#include <unistd.h>

#include <atomic>
#include <chrono>
#include <format>
#include <thread>

#include "base/fd.h"
#include "base/sha256.h"
#include "base/text.h"
#include "fetch/fetch.h"
#include "fetch/signature.h"
#include "http_server.h"

using namespace signet;
using namespace std::chrono_literals;

namespace {

using After = Response::After;

// Few attempts and short patience; what is waited for between attempts is a second.
FetchOptions brisk() { return {.connect_timeout = 2s, .stall_timeout = 2s, .attempts = 2}; }

std::string big_body() {
  std::string body(3'000'000, '\0');
  std::uint32_t state = 1;
  for (auto& c : body) c = static_cast<char>((state = state * 1664525 + 1013904223) >> 24);
  return body;
}

Result<std::string> read_all(ByteSource& source) {
  std::string text;
  std::vector<std::byte> buffer(100'000);
  for (;;) {
    const auto got = TRY(source.read(buffer));
    if (got == 0) return text;
    text.append(reinterpret_cast<const char*>(buffer.data()), got);
  }
}

Result<std::string> get(const Uri& uri, const FetchOptions& options = brisk()) {
  auto source = TRY(open_source(uri, options));
  return read_all(*source);
}

std::optional<std::size_t> range_start(const std::string& head) {
  const auto at = head.find("Range: bytes=");
  if (at == std::string::npos) return std::nullopt;
  const auto from = at + 13;
  return parse_unsigned(std::string_view(head).substr(from, head.find('-', from) - from));
}

// Serves a file as a good server does, but the first answer breaks off in the middle; `change` makes what the second answer is.
struct Breaking {
  std::string body = big_body();
  std::function<Response(const std::string& body, std::size_t from)> second;
  Response operator()(const Request& request) const {
    if (request.number == 1) {
      auto whole = http_response("200 OK", body, "ETag: \"one\"\r\n");
      whole.resize(whole.size() - body.size() / 2);
      return {whole, After::close};
    }
    return second(body, range_start(request.head).value_or(0));
  }
};

std::string part(const std::string& body, std::size_t from, std::size_t said_from, std::size_t whole) {
  return http_response("206 Partial Content", std::string_view(body).substr(from),
                       std::format("ETag: \"one\"\r\nContent-Range: bytes {}-{}/{}\r\n", said_from, whole - 1, whole));
}

}  // namespace

TEST_CASE("a body comes as it is, with its size") {
  const auto body = big_body();
  HttpServer server([&](const Request&) { return Response{http_response("200 OK", body)}; });
  auto source = open_source(server.uri(), brisk());
  REQUIRE(source);
  CHECK((*source)->size() == body.size());
  CHECK(read_all(**source) == body);
  CHECK(server.heads()[0].contains("User-Agent: signet/"));
}

TEST_CASE("a transfer that breaks goes on where it broke") {
  const Breaking breaking{.second = [](const std::string& body, std::size_t from) { return Response{part(body, from, from, body.size())}; }};
  HttpServer server(breaking);
  auto options = brisk();
  std::string told;
  options.on_retry = [&](std::string_view why) { told = why; };
  CHECK(get(server.uri(), options) == breaking.body);
  CHECK(told.contains("trying again in 1 s (2 of 2)"));
  const auto heads = server.heads();
  REQUIRE(heads.size() == 2);
  CHECK(range_start(heads[1]) == 1'500'000);
  CHECK(heads[1].contains("If-Range: \"one\""));
}

TEST_CASE("a file that is another one after the break is an error") {
  struct Case {
    const char* message;
    std::function<Response(const std::string&, std::size_t)> second;
  };
  const std::vector<Case> cases = {
      {"the server cannot go on from there", [](const std::string& body, std::size_t) { return Response{http_response("200 OK", body)}; }},
      {"has changed during", [](const std::string& body, std::size_t from) { return Response{part(body, from + 7, from, body.size())}; }},
      {"has changed during", [](const std::string& body, std::size_t from) { return Response{part(body, from, from - 5, body.size())}; }},
      {"has changed during", [](const std::string& body, std::size_t from) { return Response{part(body, from, from, body.size() + 1)}; }},
      {"has changed during", [](const std::string&, std::size_t) { return Response{http_response("416 Range Not Satisfiable", "no")}; }},
  };
  for (const auto& each : cases) {
    HttpServer server(Breaking{.second = each.second});
    const auto result = get(server.uri());
    REQUIRE_FALSE(result);
    CHECK(result.error().kind() == ErrorKind::network);
    CHECK(result.error().message().contains(each.message));
  }
}

TEST_CASE("a server that breaks off again and again is given up, and the bytes are told") {
  const auto body = std::string(1 << 20, 'x');
  HttpServer server([&](const Request& request) {
    auto whole =
        request.number == 1 ? http_response("200 OK", body, "ETag: \"one\"\r\n") : part(body, *range_start(request.head), 512 << 10, 1 << 20);
    whole.resize(whole.size() - (512 << 10));
    return Response{whole, After::close};
  });
  const auto result = get(server.uri());
  REQUIRE_FALSE(result);
  CHECK(result.error().kind() == ErrorKind::network);
  CHECK(result.error().message().contains("after 512 KiB of 1 MiB"));
}

TEST_CASE("a silent server is given up after a bounded time") {
  for (const auto& said :
       {std::string(), http_response("200 OK", "half").substr(0, 40), std::string("HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nhalf")}) {
    HttpServer server([&](const Request&) { return Response{said, After::hang}; });
    auto options = brisk();
    options.attempts = 1;
    const auto started = std::chrono::steady_clock::now();
    const auto result = get(server.uri(), options);
    REQUIRE_FALSE(result);
    CHECK(result.error().kind() == ErrorKind::network);
    CHECK(result.error().message().contains("the server sent nothing for 2 s"));
    CHECK(std::chrono::steady_clock::now() - started < 10s);
  }
}

TEST_CASE("a slow reader is no stalled server") {
  const auto body = big_body();
  HttpServer server([&](const Request&) { return Response{http_response("200 OK", body)}; });
  auto options = brisk();
  options.stall_timeout = 1s;
  options.attempts = 1;
  options.buffer = 64 << 10;
  auto source = open_source(server.uri(), options);
  REQUIRE(source);
  std::this_thread::sleep_for(3s);
  CHECK(read_all(**source) == body);
}

TEST_CASE("what passes is tried again, what does not is told at once") {
  HttpServer busy([](const Request& request) {
    return Response{request.number == 1 ? http_response("503 Service Unavailable", "busy") : http_response("200 OK", "here")};
  });
  CHECK(fetch_text(busy.uri(), brisk()) == "here");
  HttpServer empty([](const Request&) { return Response{http_response("404 Not Found", "no")}; });
  const auto missing = fetch_text(empty.uri(), brisk());
  REQUIRE_FALSE(missing);
  CHECK(missing.error().kind() == ErrorKind::not_found);
  CHECK(empty.heads().size() == 1);
  HttpServer closed([](const Request&) { return Response{http_response("403 Forbidden", "no")}; });
  CHECK(fetch_text(closed.uri(), brisk()).error().message().contains("HTTP 403"));
  CHECK(closed.heads().size() == 1);
}

TEST_CASE("many small requests share a connection") {
  HttpServer server(
      [](const Request& request) { return Response{request.number < 12 ? http_response("404 Not Found", "no") : http_response("200 OK", "yes")}; });
  for (int i = 0; i < 11; ++i) CHECK_FALSE(fetch_text(server.uri(), brisk()));
  CHECK(fetch_text(server.uri(), brisk()) == "yes");
  CHECK(server.connections() == 1);
}

TEST_CASE("redirects are followed, but not for ever and not to files") {
  HttpServer server([](const Request& request) {
    if (request.head.starts_with("GET /loop")) return Response{http_response("302 Found", "", "Location: /loop\r\n")};
    if (request.head.starts_with("GET /file")) return Response{http_response("302 Found", "", "Location: file:///etc/passwd\r\n")};
    if (request.head.starts_with("GET /old")) return Response{http_response("301 Moved", "", "Location: /new\r\n")};
    return Response{http_response("200 OK", "new")};
  });
  CHECK(fetch_text(server.uri("/old"), brisk()) == "new");
  CHECK(fetch_text(server.uri("/loop"), brisk()).error().message().contains("more than 8 redirects"));
  const auto file = fetch_text(server.uri("/file"), brisk());
  REQUIRE_FALSE(file);
  CHECK(file.error().kind() == ErrorKind::invalid);
  CHECK(file.error().message().contains("a protocol that is not allowed"));
}

TEST_CASE("a source that is not wanted any more ends at once") {
  HttpServer server([](const Request&) { return Response{"HTTP/1.1 200 OK\r\nContent-Length: 999999\r\n\r\nfirst", After::hang}; });
  auto options = brisk();
  options.stall_timeout = 60s;
  auto source = open_source(server.uri(), options);
  REQUIRE(source);
  const auto started = std::chrono::steady_clock::now();
  source->reset();
  CHECK(std::chrono::steady_clock::now() - started < 3s);
}

TEST_CASE("a probe tells the size, or that there is none") {
  HttpServer server([](const Request& request) {
    if (request.head.starts_with("HEAD /there")) return Response{"HTTP/1.1 200 OK\r\nContent-Length: 123456\r\n\r\n"};
    if (request.head.starts_with("HEAD /shy")) return Response{"HTTP/1.1 405 Method Not Allowed\r\nContent-Length: 0\r\n\r\n"};
    return Response{"HTTP/1.1 404 Not Found\r\nContent-Length: 0\r\n\r\n"};
  });
  CHECK(probe(server.uri("/there"), brisk())->size == 123456);
  CHECK_FALSE(probe(server.uri("/shy"), brisk())->size);
  CHECK(probe(server.uri("/gone"), brisk()).error().kind() == ErrorKind::not_found);
}

TEST_CASE("a text has a limit") {
  HttpServer server([](const Request&) { return Response{http_response("200 OK", std::string(5000, 'x'))}; });
  CHECK(fetch_text(server.uri(), brisk(), 5000));
  CHECK(fetch_text(server.uri(), brisk(), 4999).error().kind() == ErrorKind::invalid);
}

TEST_CASE("nobody listening") {
  Uri uri;
  {
    HttpServer server([](const Request&) { return Response{}; });
    uri = server.uri();
  }
  auto options = brisk();
  options.attempts = 1;
  const auto result = fetch_text(uri, options);
  REQUIRE_FALSE(result);
  CHECK(result.error().kind() == ErrorKind::network);
  CHECK_FALSE(result.error().advice().empty());
}

TEST_CASE("files: read, hashed, missing") {
  char name[] = "/tmp/signet-test-XXXXXX";
  REQUIRE(Fd(::mkstemp(name)));
  const std::string path = name;
  const auto body = big_body();
  REQUIRE(write_file(path, body));
  const Uri uri{"file", "", path, "", ""};
  CHECK(get(uri) == body);
  CHECK(probe(uri)->size == body.size());
  const auto digest = sha256_text(body);
  CHECK(sha256_file(path) == digest);
  auto good = verify_sha256(*open_source(uri), digest, "it");
  CHECK(read_all(*good) == body);
  auto bad = verify_sha256(*open_source(uri), sha256_text(""), "it");
  const auto result = read_all(*bad);
  REQUIRE_FALSE(result);
  CHECK(result.error().kind() == ErrorKind::verification);
  CHECK(result.error().message().contains(digest));
  ::unlink(name);
  CHECK(get(uri).error().kind() == ErrorKind::not_found);
}

TEST_CASE("SHA-256 of FIPS 180-4's examples") {
  CHECK(sha256_text("abc") == "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad");
  CHECK(sha256_text("") == "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855");
}

TEST_CASE("both engines of SHA-256 agree, whatever the pieces") {
  if (!has_sha_instructions()) MESSAGE("this CPU has no SHA instructions: mbedTLS is compared with itself");
  const auto body = big_body();
  const auto all = std::as_bytes(std::span(body));
  for (std::size_t length = 0; length < 300; ++length) {
    Sha256 fast, portable(Sha256::Engine::portable);
    fast.update(all.first(length));
    portable.update(all.first(length));
    CAPTURE(length);
    CHECK(fast.finish() == portable.finish());
  }
  for (const std::size_t piece : {1UZ, 63UZ, 64UZ, 65UZ, 1000UZ, 262'144UZ}) {
    Sha256 fast, portable(Sha256::Engine::portable);
    const auto some = all.first(std::min(all.size(), piece * 5000));
    for (std::size_t at = 0; at < some.size(); at += piece) fast.update(some.subspan(at, std::min(piece, some.size() - at)));
    portable.update(some);
    CAPTURE(piece);
    CHECK(fast.finish() == portable.finish());
  }
}

TEST_CASE("bytes are counted as they pass") {
  const auto body = big_body();
  HttpServer server([&](const Request&) { return Response{http_response("200 OK", body)}; });
  std::uint64_t last = 0;
  unsigned calls = 0;
  auto counting = count_bytes(*open_source(server.uri(), brisk()), [&](std::uint64_t bytes) {
    CHECK(bytes >= last);
    last = bytes;
    ++calls;
  });
  CHECK(read_all(*counting) == body);
  CHECK(last == body.size());
  CHECK(calls <= body.size() / (64 << 10) + 2);
}

TEST_CASE("signatures by trusted keys") {
  // Made with openssl ecparam -name prime256v1 -genkey and openssl dgst -sha256 -sign.
  constexpr auto pem =
      "-----BEGIN PUBLIC "
      "KEY-----\nMFkwEwYHKoZIzj0CAQYIKoZIzj0DAQcDQgAEfvb35p1NLHep14RveRsShj3esX5N\nZlgmlqobjz12OInrPMM1+LJ1IMsLcbDG9i/"
      "bHU1MQwwdgGoDFnNEU+nnkg==\n-----END PUBLIC KEY-----\n";
  constexpr auto signature = "MEQCIFpfElkM4e62kchDqZVmdudVHjDSv3GJtqchViKcYhUsAiBtpiK2/53OOkY1LW4gGmSiTLqv8t6HjCxjDWaH9oRziA==";
  TrustedKeys keys;
  CHECK(keys.empty());
  CHECK(!keys.verify("schema = 1\n", signature, "p.toml"));
  REQUIRE(keys.add(std::string("# a comment\n") + pem, "trust.pem"));
  CHECK(keys.verify("schema = 1\n", signature, "p.toml"));
  CHECK(keys.verify("schema = 1\n", std::string("\n") + signature + "\n", "p.toml"));
  CHECK(keys.verify("schema = 2\n", signature, "p.toml").error().kind() == ErrorKind::verification);
  std::string cut = signature;
  while (!cut.empty()) {
    cut.pop_back();
    CHECK(!keys.verify("schema = 1\n", cut, "p.toml"));
  }
  std::string der(72, '\x30');
  CHECK(!keys.verify("schema = 1\n", der, "p.toml"));
  std::string damaged = pem;
  damaged[60] = damaged[60] == 'A' ? 'B' : 'A';
  CHECK(!TrustedKeys().add(damaged.substr(0, 100), "trust.pem"));
  CHECK(TrustedKeys().add("", "trust.pem").error().message() == "trust.pem: there is no public key (PEM) in it");
}
