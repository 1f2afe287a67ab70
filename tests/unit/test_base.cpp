#include <doctest/doctest.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#include <array>
#include <chrono>
#include <filesystem>
#include <thread>

#include "base/process.h"
#include "base/regular_file.h"
#include "base/size.h"
#include "base/text.h"
#include "base/uri.h"

using namespace signet;

TEST_CASE("sizes are read with IEC and SI units and refused with a reason") {
  CHECK(parse_size("4096") == 4096);
  CHECK(parse_size("512MiB") == 512 * MiB);
  CHECK(parse_size(" 2 GiB ") == 2 * GiB);
  CHECK(parse_size("1.5TB") == 1'500'000'000'000);
  CHECK(parse_size("64K") == 64 * KiB);
  CHECK(parse_size("0.5MiB") == 512 * KiB);
  for (const char* bad : {"", "MiB", "-1", "1.5", "12 parsecs", "1..5GiB", "99999999999999999999", "20000PiB", "1.0000000001GiB", "1e9"}) {
    CAPTURE(bad);
    CHECK_FALSE(parse_size(bad));
  }
}

TEST_CASE("sizes are written short for people and exact for files") {
  CHECK(format_size(0) == "0 B");
  CHECK(format_size(1023) == "1023 B");
  CHECK(format_size(1536) == "1.5 KiB");
  CHECK(format_size(98 * MiB + 819 * KiB) == "98.7 MiB");
  CHECK(format_size(UINT64_MAX) == "15.9 EiB");
  for (const std::uint64_t bytes : {std::uint64_t{1}, 1000 * KiB, 3 * GiB, 3 * GiB + 1, UINT64_MAX}) {
    CAPTURE(bytes);
    CHECK(parse_size(format_exact_size(bytes)) == bytes);
  }
}

TEST_CASE("references resolve as RFC 3986 has it") {
  const auto base = parse_uri("http://server:8080/signet/hosts/node01.toml?x=1").value();
  CHECK(resolve_uri(base, "../images/a.tar.zst")->secret_text() == "http://server:8080/signet/images/a.tar.zst");
  CHECK(resolve_uri(base, "/images/a")->secret_text() == "http://server:8080/images/a");
  CHECK(resolve_uri(base, "https://other/x")->secret_text() == "https://other/x");
  CHECK(resolve_uri(base, "../../../../x")->secret_text() == "http://server:8080/x");
  CHECK(resolve_uri(base, "//other/y?q")->secret_text() == "http://other/y?q");
  const auto file = parse_uri("/srv/a b/hosts/x.toml").value();
  CHECK(file.scheme == "file");
  CHECK(resolve_uri(file, "../i%c.tar")->file_path() == "/srv/a b/i%c.tar");
  for (const char* bad : {"", "image.tar", "ftp://host/x", "http:/x", "http://", "http://host/a b", "file://elsewhere/x", "http://host/\\x"}) {
    CAPTURE(bad);
    CHECK_FALSE(parse_uri(bad));
  }
}

TEST_CASE("a URI that is printed hides user, password and the values of its query") {
  const auto uri = parse_uri("https://deploy:S3cret@host:8443/x?token=S3cret&S3cret").value();
  CHECK(uri.display() == "https://host:8443/x?token=…&…");
  CHECK(std::format("{}", uri) == uri.display());
  CHECK(uri.host() == "host");
  CHECK(uri.secret_text() == "https://deploy:S3cret@host:8443/x?token=S3cret&S3cret");
  CHECK(resolve_uri(uri, "y")->secret_text() == "https://deploy:S3cret@host:8443/y");
  CHECK(resolve_uri(uri, "//other/y")->secret_text() == "https://other/y");
  for (const char* bad :
       {"ftp://deploy:S3cret@host/x", "http://deploy:S3cret@/x?S3cret", "http://deploy:S3cret@host/\\x?token=S3cret",
        "http://deploy:S3/S3cret@host/x", "http://deploy:S?S3cret@host/", "http://de@S3cret:S3cret@host/", "file://S3cret@host/x", "://a:S3cret@x"}) {
    CAPTURE(bad);
    const auto parsed = parse_uri(bad);
    REQUIRE_FALSE(parsed);
    CHECK_FALSE(parsed.error().message().contains("S3cret"));
  }
  CHECK(parse_uri("http://host/" + std::string(9000, 'x')).error().message().size() < 300);
  CHECK(hide_secrets("pull: \"http://a:S3cret@host/x?k=S3cret\": broke, http://b/y?z (and more)") ==
        "pull: \"http://host/x?k=…\": broke, http://b/y?… (and more)");
  CHECK(hide_secrets("http://[::1]:80/x mail@host 50% of ://") == "http://[::1]:80/x mail@host 50% of ://");
}

TEST_CASE("a text that is too long is cut between characters, and what is missing is counted") {
  CHECK(shorten("abc", 3) == "abc");
  CHECK(shorten("abcdef", 3) == "abc… (3 bytes more)");
  CHECK(shorten("aäöü", 4) == "aä… (4 bytes more)");
}

TEST_CASE("the nearest known word is offered only for a slip of the fingers") {
  constexpr std::array<std::string_view, 3> known = {"format", "mount", "size"};
  CHECK(nearest("fromat", known) == "format");
  CHECK(nearest("mont", known) == "mount");
  CHECK_FALSE(nearest("partition", known));
}

TEST_CASE("what goes to a console is printable") {
  CHECK(printable("a\x1b[31m\n") == "a\\x1b[31m\\x0a");
  CHECK(printable("gr\xc3\xbc\xc3\x9f") == "gr\xc3\xbc\xc3\x9f");
  CHECK(printable("\xff\xc3") == "\\xff\\xc3");
  CHECK(printable("\xed\xa0\x80") == "\\xed\\xa0\\x80");  // a surrogate is not UTF-8
}

TEST_CASE("words are quoted for a shell") {
  CHECK(shell_quote("a-b_c/1.2") == "a-b_c/1.2");
  CHECK(shell_quote("it's") == "'it'\\''s'");
  CHECK(shell_quote("") == "''");
}

TEST_CASE("a child's output, status and time are its caller's") {
  const auto both = run({.arguments = {"sh", "-c", "echo out; echo err >&2; exit 3"}}).value();
  CHECK(both.status == 3);
  CHECK(both.output == "out\nerr\n");
  CHECK(run({.arguments = {"cat"}, .input = std::string(200'000, 'x')})->output.size() == 200'000);
  CHECK(run({.arguments = {"sh", "-c", "kill -9 $$"}})->status == 128 + 9);
  const auto missing = run({.arguments = {"/no/such/program"}});
  REQUIRE_FALSE(missing);
  CHECK(missing.error().kind() == ErrorKind::not_found);
  const auto slow = run({.arguments = {"sleep", "60"}, .time_limit = std::chrono::seconds(1)});
  REQUIRE_FALSE(slow);
  CHECK(slow.error().message().contains("timed out after 1 s"));
  const auto failed = run_checked({.arguments = {"sh", "-c", "echo no space; exit 1"}});
  REQUIRE_FALSE(failed);
  CHECK(failed.error().message().contains("exit status 1: no space"));
}

TEST_CASE("a child that never stops printing meets its time limit") {
  const auto started = std::chrono::steady_clock::now();
  std::size_t lines = 0;
  const auto slow = [&](std::string_view) {
    if (++lines % 100 == 0) std::this_thread::sleep_for(std::chrono::milliseconds(1));
  };
  const auto done = run({.arguments = {"sh", "-c", "while :; do echo line; done"}, .time_limit = std::chrono::seconds(1), .on_line = slow});
  REQUIRE_FALSE(done);
  CHECK(done.error().message().contains("timed out after 1 s"));
  CHECK(std::chrono::steady_clock::now() - started < std::chrono::seconds(60));
  // Nor does what a child leaves behind.
  const auto left = run({.arguments = {"sh", "-c", "yes & exit 0"}, .end_group = true, .on_line = slow});
  REQUIRE(left);
  CHECK(left->status == 0);
}

TEST_CASE("only a regular file below a directory is read") {
  char pattern[] = "/tmp/signet-test-XXXXXX";
  const std::string place = ::mkdtemp(pattern);
  REQUIRE(write_file(place + "/file", "text"));
  REQUIRE(::symlink("/etc/passwd", (place + "/link").c_str()) == 0);
  REQUIRE(::symlink(".", (place + "/around").c_str()) == 0);
  REQUIRE(::mkfifo((place + "/fifo").c_str(), 0600) == 0);
  const auto read = [&](const std::string& path, std::size_t limit = 100) {
    return open_beneath(place, path).and_then([&](const Fd& fd) { return read_regular(fd, path, limit); });
  };
  CHECK(read("file").value() == "text");
  for (const char* refused : {"link", "around/file", "fifo"}) CHECK(read(refused).error().kind() == ErrorKind::refused);
  CHECK_FALSE(read("../etc/passwd"));
  CHECK_FALSE(read("/etc/passwd"));
  CHECK(read("none").error().kind() == ErrorKind::not_found);
  CHECK(read("file", 3).error().message() == "file has 4 B; at most 3 B are read");
  std::filesystem::remove_all(place);
}

TEST_CASE("a child's own child does not hold us up") {
  // It keeps the pipe open for a minute; what was waited for is gone at once.
  const auto done = run({.arguments = {"sh", "-c", "sleep 60 & echo started $!"}, .time_limit = std::chrono::seconds(20)});
  REQUIRE(done);
  const auto pid = parse_unsigned(trim(std::string_view(done->output).substr(8)));
  REQUIRE(pid);
  [[maybe_unused]] const auto ended = run({.arguments = {"kill", std::to_string(*pid)}});
}
