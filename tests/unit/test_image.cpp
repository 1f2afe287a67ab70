#include <doctest/doctest.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <filesystem>
#include <format>

#include "base/fd.h"
#include "image/image.h"
#include "image/tree_writer.h"

using namespace signet;

namespace {

// Bytes that are handed out in small pieces, and an error at the end if one is wanted.
class Bytes : public ByteSource {
 public:
  explicit Bytes(std::string bytes, std::optional<Error> error = {}) : bytes_(std::move(bytes)), error_(std::move(error)) {}
  Result<std::size_t> read(std::span<std::byte> buffer) override {
    const auto count = std::min({buffer.size(), bytes_.size() - at_, std::size_t{1000}});
    if (count == 0 && error_) return std::unexpected(*error_);
    std::copy_n(reinterpret_cast<const std::byte*>(bytes_.data()) + at_, count, buffer.data());
    at_ += count;
    return count;
  }

 private:
  std::string bytes_;
  std::optional<Error> error_;
  std::size_t at_ = 0;
};

// POSIX.1-1988 "ustar" type flags.
enum class Kind : char { file = '0', hard_link = '1', soft_link = '2', directory = '5' };

struct TarMember {
  std::string path;
  Kind kind = Kind::file;
  std::string data = {};  // or the target of a link
  unsigned mode = 0;      // 0: 0755 for a directory, 0640 for all else
  std::string uid = "0000000";
};

// A tar archive, written by hand: what is hostile about some could not be written by a well-behaved library.
std::string tar(const std::vector<TarMember>& members) {
  std::string out;
  for (const auto& member : members) {
    std::string header(512, '\0');
    const auto put = [&](std::size_t at, std::string_view text) { header.replace(at, text.size(), text); };
    const bool file = member.kind == Kind::file;
    put(0, member.path);
    const unsigned usual = member.kind == Kind::directory ? 0755 : 0640;
    put(100, std::format("{:07o}", member.mode ? member.mode : usual));
    put(108, member.uid);
    put(116, "0000000");
    put(124, std::format("{:011o}", file ? member.data.size() : 0));
    put(136, std::format("{:011o}", 1'600'000'000));
    put(148, "        ");
    header[156] = static_cast<char>(member.kind);
    if (!file) put(157, member.data);
    put(257, std::string_view("ustar\00000", 8));
    unsigned sum = 0;
    for (const char c : header) sum += static_cast<unsigned char>(c);
    put(148, std::format("{:06o}", sum) + std::string("\0 ", 2));
    out += header;
    if (file) out += member.data + std::string((512 - member.data.size() % 512) % 512, '\0');
  }
  return out + std::string(1024, '\0');
}

struct Target {
  std::string outer, root;
  Target() {
    char name[] = "/tmp/signet-test-XXXXXX";
    outer = ::mkdtemp(name);
    root = outer + "/root";
    std::filesystem::create_directory(root);
    REQUIRE(write_file(outer + "/victim", "untouched"));
  }
  ~Target() { std::filesystem::remove_all(outer); }
  Result<TreeStatistics> write(std::string bytes, std::optional<Error> error = {}) const {
    return write_tree(std::make_unique<Bytes>(std::move(bytes), std::move(error)), root, {.keep_owner = false});
  }
  unsigned mode(const std::string& name) const {
    struct stat status{};
    REQUIRE(::lstat((root + "/" + name).c_str(), &status) == 0);
    return status.st_mode;
  }
};

// An archive, and then zeros without end.
class Endless : public Bytes {
 public:
  using Bytes::Bytes;
  Result<std::size_t> read(std::span<std::byte> buffer) override {
    const auto got = Bytes::read(buffer);
    if (!got || *got > 0) return got;
    std::ranges::fill(buffer, std::byte{0});
    return buffer.size();
  }
};

}  // namespace

TEST_CASE("a tree is written with its links, modes and times") {
  Target target;
  const auto statistics = target.write(tar({{"./", Kind::directory},
                                            {"./a/", Kind::directory},
                                            {"./a/file", Kind::file, "text"},
                                            {"./a/hard", Kind::hard_link, "./a/file"},
                                            {"./a/soft", Kind::soft_link, "/nowhere"}}));
  REQUIRE(statistics);
  CHECK(statistics->members == 5);
  CHECK(statistics->files == 1);
  CHECK(read_file(target.root + "/a/file") == "text");
  struct stat file{}, hard{}, directory{};
  REQUIRE(::stat((target.root + "/a/file").c_str(), &file) == 0);
  REQUIRE(::stat((target.root + "/a/hard").c_str(), &hard) == 0);
  REQUIRE(::stat((target.root + "/a").c_str(), &directory) == 0);
  CHECK(file.st_ino == hard.st_ino);
  CHECK((file.st_mode & 07777) == 0640);
  CHECK(file.st_mtime == 1'600'000'000);
  CHECK(directory.st_mtime == 1'600'000'000);
}

TEST_CASE("no member leaves the target") {
  const std::vector<std::pair<const char*, std::vector<TarMember>>> attacks = {
      {"`..`", {{"../victim", Kind::file, "x"}}},
      {"`..`", {{"a/../../victim", Kind::file, "x"}}},
      {"absolute name", {{"/tmp/signet-absolute", Kind::file, "x"}}},
      {"symbolic link", {{"link", Kind::soft_link, ".."}, {"link/victim", Kind::file, "x"}}},
      {"symbolic link", {{"a/", Kind::directory}, {"a/link", Kind::soft_link, "/"}, {"a/link/tmp/signet-through", Kind::file, "x"}}},
      {"symbolic link", {{"link", Kind::soft_link, "../victim"}, {"b", Kind::hard_link, "link/x"}}},
      {"`..`", {{"b", Kind::hard_link, "../victim"}}},
  };
  for (const auto& [reason, members] : attacks) {
    Target target;
    const auto result = target.write(tar(members));
    CAPTURE(members.back().path);
    REQUIRE_FALSE(result);
    CHECK(result.error().kind() == ErrorKind::invalid);
    CHECK(result.error().message().contains(reason));
    CHECK(read_file(target.outer + "/victim") == "untouched");
  }
  CHECK_FALSE(std::filesystem::exists("/tmp/signet-absolute"));
  CHECK_FALSE(std::filesystem::exists("/tmp/signet-through"));
}

TEST_CASE("a link is replaced, not written through") {
  Target target;
  REQUIRE(target.write(tar({{"file", Kind::soft_link, "../victim"}, {"file", Kind::file, "new"}})));
  CHECK(read_file(target.root + "/file") == "new");
  CHECK(read_file(target.outer + "/victim") == "untouched");
}

TEST_CASE("what is no whole tar archive is said to be none") {
  Target target;
  const auto whole = tar({{"a", Kind::file, std::string(5000, 'x')}, {"b", Kind::file, "y"}});
  CHECK(target.write("").error().message() == "the image has no members: it is empty");
  CHECK(target.write("<html><body>Not found</body></html>" + std::string(2000, ' ')).error().message().contains("it is a web page"));
  CHECK(target.write(whole.substr(0, 3000)).error().kind() == ErrorKind::invalid);
  CHECK(target.write(std::string(4096, 'z')).error().kind() == ErrorKind::invalid);
}

TEST_CASE("an archive that ends between two members is cut off") {
  const auto whole = tar({{"a", Kind::file, "x"}, {"b", Kind::file, "y"}});
  for (const std::size_t members : {1UZ, 2UZ}) {
    Target target;
    const auto result = target.write(whole.substr(0, members * 1024));
    REQUIRE_FALSE(result);
    CHECK(result.error().kind() == ErrorKind::invalid);
    CHECK(result.error().message().contains(members == 1 ? "cut off after member a" : "cut off after member b"));
  }
  Target target;
  CHECK(target.write(whole.substr(0, 2 * 1024 + 512)));  // one block of zeros is what some writers leave it at
  CHECK(target.write(whole + std::string(700, 'x')));    // and what comes behind the end is nobody's
}

TEST_CASE("of members that come twice the last one counts") {
  Target target;
  REQUIRE(target.write(tar({{"d/", Kind::directory, "", 0700},
                            {"d/file", Kind::file, "old"},
                            {"d/", Kind::directory, "", 0711},
                            {"d/file", Kind::file, "new"},
                            {"gone/", Kind::directory},
                            {"gone", Kind::soft_link, "d"},
                            {"was/", Kind::directory},
                            {"was", Kind::file, "a file now"},
                            {"back", Kind::file, "x"},
                            {"back/", Kind::directory, "", 0750}})));
  CHECK((target.mode("d") & 07777) == 0711);
  CHECK(read_file(target.root + "/d/file") == "new");
  CHECK(S_ISLNK(target.mode("gone")));
  CHECK(S_ISREG(target.mode("was")));
  CHECK(target.mode("back") == (S_IFDIR | 0750));
}

TEST_CASE("an owner that Linux cannot have is refused") {
  // GNU's base-256 numbers: 2^32 - 1 would tell chown(2) to leave the owner as it is, and 2^32 would become root.
  for (const std::string& uid : {std::string("\x80\0\0\0\xff\xff\xff\xff", 8), std::string("\x80\0\0\x01\0\0\0\0", 8)}) {
    Target target;
    const auto result = target.write(tar({{"a", Kind::file, "x", 0, uid}}));
    REQUIRE_FALSE(result);
    CHECK(result.error().message().contains("member a: its owner"));
  }
}

TEST_CASE("what the target refuses ends the pull at once") {
  Target target;
  std::filesystem::create_directories(target.root + "/full/x");
  const auto result = write_tree(std::make_unique<Endless>(tar({{"full", Kind::file, "x"}})), target.root, {.keep_owner = false});
  REQUIRE_FALSE(result);
  CHECK(result.error().message() == "member full: replace full: Directory not empty");
}

TEST_CASE("the cause is told, not what the decoder made of it") {
  Target target;
  const Error checksum(ErrorKind::verification, "its SHA-256 is wrong");
  CHECK(target.write(std::string(4096, 'z'), checksum).error().kind() == ErrorKind::verification);
  CHECK(target.write(tar({{"a", Kind::file, "x"}}), checksum).error().kind() == ErrorKind::verification);
  CHECK(target.write(tar({{"a", Kind::file, std::string(5000, 'x')}}).substr(0, 2000), Error(ErrorKind::network, "gone")).error().message() ==
        "gone");
}

TEST_CASE("member names are taken apart") {
  CHECK(member_components("./usr//bin/./sh").value() == std::vector<std::string>{"usr", "bin", "sh"});
  CHECK(member_components("./")->empty());
  for (const std::string& bad : {std::string(), std::string("/"), std::string(".."), std::string("a/.."), std::string(256, 'x')})
    CHECK_FALSE(member_components(bad));
}
