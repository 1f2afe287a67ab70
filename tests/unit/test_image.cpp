#include <archive.h>
#include <archive_entry.h>
#include <doctest/doctest.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#include <filesystem>
#include <functional>

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

struct Member {
  std::string path;
  mode_t type = AE_IFREG;
  std::string data = {};  // or the target of a link
  bool hard_link = false;
};

std::string tar(const std::vector<Member>& members) {
  std::string out(1 << 20, '\0');
  std::size_t used = 0;
  archive* writer = archive_write_new();
  archive_write_set_format_pax_restricted(writer);
  REQUIRE(archive_write_open_memory(writer, out.data(), out.size(), &used) == ARCHIVE_OK);
  for (const auto& member : members) {
    archive_entry* entry = archive_entry_new();
    archive_entry_set_pathname(entry, member.path.c_str());
    archive_entry_set_filetype(entry, member.type);
    archive_entry_set_perm(entry, member.type == AE_IFDIR ? 0755 : 0640);
    archive_entry_set_mtime(entry, 1'600'000'000, 0);
    if (member.hard_link)
      archive_entry_set_hardlink(entry, member.data.c_str());
    else if (member.type == AE_IFLNK)
      archive_entry_set_symlink(entry, member.data.c_str());
    else
      archive_entry_set_size(entry, static_cast<la_int64_t>(member.data.size()));
    REQUIRE(archive_write_header(writer, entry) == ARCHIVE_OK);
    if (member.type == AE_IFREG && !member.hard_link) archive_write_data(writer, member.data.data(), member.data.size());
    archive_entry_free(entry);
  }
  archive_write_free(writer);
  out.resize(used);
  return out;
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
};

}  // namespace

TEST_CASE("a tree is written with its links, modes and times") {
  Target target;
  const auto statistics = target.write(tar({{"./", AE_IFDIR}, {"./a/", AE_IFDIR}, {"./a/file", AE_IFREG, "text"}, {"./a/hard", AE_IFREG, "./a/file", true}, {"./a/soft", AE_IFLNK, "/nowhere"}}));
  REQUIRE(statistics);
  CHECK(statistics->members == 5);
  CHECK(statistics->files == 1);
  CHECK(read_file(target.root + "/a/file") == "text");
  struct stat file {}, hard {}, directory {};
  REQUIRE(::stat((target.root + "/a/file").c_str(), &file) == 0);
  REQUIRE(::stat((target.root + "/a/hard").c_str(), &hard) == 0);
  REQUIRE(::stat((target.root + "/a").c_str(), &directory) == 0);
  CHECK(file.st_ino == hard.st_ino);
  CHECK((file.st_mode & 07777) == 0640);
  CHECK(file.st_mtime == 1'600'000'000);
  CHECK(directory.st_mtime == 1'600'000'000);
}

TEST_CASE("no member leaves the target") {
  const std::vector<std::pair<const char*, std::vector<Member>>> attacks = {
      {"`..`", {{"../victim", AE_IFREG, "x"}}},
      {"`..`", {{"a/../../victim", AE_IFREG, "x"}}},
      {"absolute name", {{"/tmp/signet-absolute", AE_IFREG, "x"}}},
      {"symbolic link", {{"link", AE_IFLNK, ".."}, {"link/victim", AE_IFREG, "x"}}},
      {"symbolic link", {{"a/", AE_IFDIR}, {"a/link", AE_IFLNK, "/"}, {"a/link/tmp/signet-through", AE_IFREG, "x"}}},
      {"symbolic link", {{"link", AE_IFLNK, "../victim"}, {"b", AE_IFREG, "link/x", true}}},
      {"`..`", {{"b", AE_IFREG, "../victim", true}}},
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
  REQUIRE(target.write(tar({{"file", AE_IFLNK, "../victim"}, {"file", AE_IFREG, "new"}})));
  CHECK(read_file(target.root + "/file") == "new");
  CHECK(read_file(target.outer + "/victim") == "untouched");
}

TEST_CASE("what is no whole tar archive is said to be none") {
  Target target;
  const auto whole = tar({{"a", AE_IFREG, std::string(5000, 'x')}, {"b", AE_IFREG, "y"}});
  CHECK(target.write("").error().message().contains("it is empty"));
  CHECK(target.write("<html><body>Not found</body></html>" + std::string(2000, ' ')).error().message().contains("it is a web page"));
  CHECK(target.write(whole.substr(0, 3000)).error().kind() == ErrorKind::invalid);
  CHECK(target.write(std::string(4096, 'z')).error().kind() == ErrorKind::invalid);
}

TEST_CASE("the cause is told, not what the decoder made of it") {
  Target target;
  const Error checksum(ErrorKind::verification, "its SHA-256 is wrong");
  CHECK(target.write(std::string(4096, 'z'), checksum).error().kind() == ErrorKind::verification);
  CHECK(target.write(tar({{"a", AE_IFREG, "x"}}), checksum).error().kind() == ErrorKind::verification);
  CHECK(target.write(tar({{"a", AE_IFREG, std::string(5000, 'x')}}).substr(0, 2000), Error(ErrorKind::network, "gone")).error().message() == "gone");
}

TEST_CASE("member names are taken apart") {
  CHECK(member_components("./usr//bin/./sh").value() == std::vector<std::string>{"usr", "bin", "sh"});
  CHECK(member_components("./")->empty());
  for (const std::string bad : {std::string(), std::string("/"), std::string(".."), std::string("a/.."), std::string(256, 'x')}) CHECK_FALSE(member_components(bad));
}
