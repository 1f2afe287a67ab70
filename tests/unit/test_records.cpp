#include <doctest/doctest.h>

#include <algorithm>
#include <cstring>
#include <format>
#include <random>

#include "image/directory_log.h"
#include "image/records.h"

using namespace signet;

namespace {

std::string bytes_of(const std::function<void(RecordWriter&)>& fill) {
  std::string out;
  RecordWriter writer([&](std::span<const std::byte> bytes) {
    out.append(reinterpret_cast<const char*>(bytes.data()), bytes.size());
    return true;
  });
  fill(writer);
  return out;
}

RecordReader reader_of(const std::string& bytes, std::size_t piece = 7) {
  return RecordReader([&bytes, piece, at = std::size_t{0}](std::span<std::byte> buffer) mutable -> Result<std::size_t> {
    const auto count = std::min({buffer.size(), bytes.size() - at, piece});
    std::memcpy(buffer.data(), bytes.data() + at, count);
    at += count;
    return count;
  });
}

// What happens when all of it is read.
Result<> read_all(const std::string& bytes) {
  auto reader = reader_of(bytes, 1 << 20);
  while (TRY(reader.next_member()))
    while (TRY(reader.next_block())) {
    }
  return {};
}

Member file(std::string path, std::uint64_t size = 0) {
  Member member;
  member.path = std::move(path);
  member.size = size;
  member.mode = 0640;
  return member;
}

std::string with(const Member& member) {
  return bytes_of([&](RecordWriter& writer) {
    writer.hello(true);
    writer.member(member);
    writer.end(1);
  });
}

std::span<const std::byte> bytes(std::string_view text) { return std::as_bytes(std::span(text)); }

}  // namespace

TEST_CASE("records come out as they went in") {
  Member sent = file("usr/bin/tool", 1000);
  sent.uid = 4'000'000'000;
  sent.gid = 7;
  sent.seconds = -5;
  sent.nanoseconds = 123'456'789;
  sent.attributes = {{"user.a", {std::byte{1}, std::byte{0}}}, {"user.empty", {}}};
  Member link;
  link.type = MemberType::symbolic_link;
  link.path = "link";
  link.target = "../x";
  const auto stream = bytes_of([&](RecordWriter& writer) {
    writer.hello(false);
    writer.member(sent);
    writer.data(10, bytes("abc"));
    writer.data(900, bytes(std::string(100, 'z')));
    writer.member(link);
    writer.end(2);
  });
  auto reader = reader_of(stream);
  const auto got = reader.next_member();
  REQUIRE(got);
  REQUIRE(*got);
  CHECK((*got)->path == sent.path);
  CHECK((*got)->uid == sent.uid);
  CHECK((*got)->seconds == -5);
  CHECK((*got)->nanoseconds == sent.nanoseconds);
  REQUIRE((*got)->attributes.size() == 2);
  CHECK((*got)->attributes[0].value == sent.attributes[0].value);
  CHECK_FALSE(reader.filtered());
  const auto block = reader.next_block();
  REQUIRE(block);
  CHECK((*block)->offset == 10);
  CHECK((*block)->data.size() == 3);
  // The second block is passed over.
  const auto second = reader.next_member();
  REQUIRE(second);
  CHECK((*second)->target == "../x");
  CHECK(reader.next_member().value() == std::nullopt);
}

TEST_CASE("the decoder's error arrives bounded and printable, and only as an error of an image") {
  const auto stream = bytes_of([](RecordWriter& writer) {
    writer.hello(true);
    writer.error(Error(ErrorKind::invalid, "bad \x1b[31m" + std::string(5000, 'x')).advise("make it again"));
  });
  auto reader = reader_of(stream);
  const auto got = reader.next_member();
  REQUIRE_FALSE(got);
  CHECK(got.error().kind() == ErrorKind::invalid);
  CHECK(got.error().message().starts_with("bad \\x1b[31mx"));
  CHECK(got.error().message().size() < 1100);
  CHECK(got.error().advice() == "make it again");
  // What only the network or the checksum can say, a decoder cannot.
  const auto claimed = read_all(bytes_of([](RecordWriter& writer) {
    writer.hello(true);
    writer.error(Error(ErrorKind::verification, "wrong"));
  }));
  CHECK(claimed.error().message().contains("an error of an unknown kind"));
  const auto silent = read_all(bytes_of([](RecordWriter& writer) {
    writer.hello(true);
    writer.error(Error(ErrorKind::invalid, ""));
  }));
  CHECK(silent.error().message().contains("an error without a text"));
}

TEST_CASE("what no decoder may say is refused") {
  struct Case {
    const char* reason;
    std::function<void(Member&)> change;
  };
  const Case cases[] = {
      {"permission bits", [](Member& member) { member.mode = 0100644; }},
      {"does not exist", [](Member& member) { member.uid = UINT32_MAX; }},
      {"nanoseconds", [](Member& member) { member.nanoseconds = 1'000'000'000; }},
      {"a path that cannot be", [](Member& member) { member.path = std::string("a\0b", 3); }},
      {"a path that cannot be", [](Member& member) { member.path.clear(); }},
      {"a path that cannot be", [](Member& member) { member.path = std::string(4097, 'x'); }},
      {"target that cannot be", [](Member& member) { member.target = "x"; }},
      {"target that cannot be", [](Member& member) { member.type = MemberType::hard_link; }},
      {"a size that cannot be", [](Member& member) { member.size = 1ULL << 63; }},
      {"a size that cannot be", [](Member& member) { member.type = MemberType::fifo, member.size = 1; }},
      {"device numbers", [](Member& member) { member.major = 8; }},
      {"unknown type", [](Member& member) { member.type = static_cast<MemberType>(9); }},
      {"name that cannot be", [](Member& member) { member.attributes = {{"", {}}}; }},
      {"too long", [](Member& member) { member.attributes = {{"user.a", std::vector<std::byte>((64 << 10) + 1)}}; }},
      {"too many extended attributes", [](Member& member) { member.attributes.resize(65, {"user.a", {}}); }},
  };
  for (const auto& each : cases) {
    Member member = file("a");
    each.change(member);
    const auto result = read_all(with(member));
    CAPTURE(each.reason);
    REQUIRE_FALSE(result);
    CHECK(result.error().kind() == ErrorKind::invalid);
    CHECK(result.error().message().contains(each.reason));
  }
}

TEST_CASE("data stays inside its file and rises") {
  const auto stream = [](std::uint64_t size, std::uint64_t first, std::uint64_t second) {
    return bytes_of([&](RecordWriter& writer) {
      writer.hello(true);
      writer.member(file("a", size));
      writer.data(first, bytes("xx"));
      writer.data(second, bytes("yy"));
      writer.end(1);
    });
  };
  CHECK(read_all(stream(4, 0, 2)));
  CHECK_FALSE(read_all(stream(4, 0, 3)));
  CHECK_FALSE(read_all(stream(4, 2, 0)));
  CHECK_FALSE(read_all(stream(4, 0, 1)));
  CHECK_FALSE(read_all(stream(4, 0, UINT64_MAX)));
}

TEST_CASE("a stream that ends without an end has broken off, one with a wrong count is refused") {
  const auto whole = with(file("a"));
  for (std::size_t length = 0; length < whole.size(); ++length) {
    const auto cut = whole.substr(0, length);
    auto reader = reader_of(cut);
    Result<std::optional<Member>> got = Member{};
    while (got && *got) got = reader.next_member();
    CHECK_FALSE(got);
    CHECK(reader.broken_off());
  }
  CHECK(read_all(bytes_of([](RecordWriter& writer) { writer.hello(true), writer.end(1); })).error().message().contains("number of members"));
  CHECK_FALSE(read_all(bytes_of([](RecordWriter& writer) { writer.end(0); })));
}

TEST_CASE("a bent stream is an error or a stream, never more") {
  const auto whole = bytes_of([](RecordWriter& writer) {
    writer.hello(true);
    Member member = file("dir/file", 64);
    member.attributes = {{"user.a", std::vector<std::byte>(20)}};
    writer.member(member);
    writer.data(0, bytes(std::string(64, 'd')));
    writer.end(1);
  });
  REQUIRE(read_all(whole));
  std::mt19937 random(1);
  int refused = 0;
  for (int i = 0; i < 500; ++i) {
    auto bent = whole;
    bent[random() % bent.size()] = static_cast<char>(random());
    refused += !read_all(bent);
  }
  CHECK(refused > 100);
}

TEST_CASE("directories are kept packed, in order, up to a limit") {
  DirectoryLog log;
  for (int i = 0; i < 1000; ++i) {
    Member member = file(std::format("usr/share/doc/package-{}", i));
    member.type = MemberType::directory;
    member.mode = static_cast<unsigned>(i) & 0777;
    if (i % 10 == 0) member.attributes = {{"user.number", {std::byte(i)}}};
    REQUIRE(log.add(member));
  }
  int next = 0;
  REQUIRE(log.replay([&](const Member& member) -> Result<> {
    CHECK(member.path == std::format("usr/share/doc/package-{}", next));
    CHECK(member.mode == (static_cast<unsigned>(next) & 0777));
    CHECK(member.attributes.size() == (next % 10 == 0 ? 1 : 0));
    ++next;
    return {};
  }));
  CHECK(next == 1000);
  // 200,000 of a usual length fit, long names without end do not.
  DirectoryLog usual, hostile;
  Member member;
  member.type = MemberType::directory;
  for (int i = 0; i < 200'000; ++i) {
    member.path = std::format("home/user{}/some/where/deep/in/the/tree/{}", i % 1000, i);
    REQUIRE(usual.add(member));
  }
  Result<> last;
  for (int i = 0; i < 200'000 && last; ++i) {
    member.path = std::format("{}{}", i, std::string(250, 'x'));
    last = hostile.add(member);
  }
  REQUIRE_FALSE(last);
  CHECK(last.error().message().contains("too many directories"));
}
