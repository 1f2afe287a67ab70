#include "machine/systems.h"

#include <doctest/doctest.h>
#include <fcntl.h>
#include <unistd.h>

#include <array>
#include <cstring>
#include <format>

#include "base/fd.h"
#include "base/size.h"
#include "filesystem/filesystem.h"

namespace signet {
namespace {

struct ImageFile {
  std::string path = std::format("/tmp/signet-systems-{}.img", ::getpid());
  Fd fd = open_file(path, O_RDWR | O_CREAT | O_TRUNC).value();
  explicit ImageFile(std::uint64_t size) { REQUIRE(::ftruncate(fd.get(), static_cast<off_t>(size)) == 0); }
  ~ImageFile() { ::unlink(path.c_str()); }
};

TEST_CASE("a file system is looked into without a write, a member of an array not at all") {
  constexpr std::uint64_t size = 64 * MiB;
  const ImageFile file(size);
  CHECK(look_into(file.path).error().kind() == ErrorKind::not_found);

  FormatRequest request;
  request.path = file.path;
  request.size = size;
  REQUIRE(make_filesystem(request));
  const auto system = look_into(file.path);
  REQUIRE(system);
  CHECK(system->type == "ext4");
  CHECK(system->options == "ro,noload");

  // The same bytes as half of a RAID 1 with metadata 0.90, whose superblock lies at the end (md(4), linux/raid/md_p.h).
  std::array<std::uint32_t, 1024> superblock{};
  superblock[0] = 0xa92b4efc;
  superblock[2] = 90;
  superblock[7] = 1;                         // RAID 1
  superblock[8] = (size - 64 * KiB) / 1024;  // KiB of each member
  superblock[9] = superblock[10] = 2;        // disks
  REQUIRE(write_all_at(file.fd.get(), std::as_bytes(std::span(superblock)), size - 64 * KiB));
  const auto member = look_into(file.path);
  REQUIRE_FALSE(member);
  CHECK(member.error().kind() == ErrorKind::refused);
  CHECK(member.error().message().contains("it holds linux_raid_member"));
}

TEST_CASE("a physical volume and an encrypted disk are left alone") {
  const ImageFile file(8 * MiB);
  // LUKS1: magic and version (LUKS On-Disk Format Specification 1.2, §2.2).
  constexpr std::string_view luks("LUKS\xba\xbe\0\1", 8);
  REQUIRE(write_all_at(file.fd.get(), std::as_bytes(std::span(luks)), 0));
  const auto found = look_into(file.path);
  REQUIRE_FALSE(found);
  CHECK(found.error().kind() == ErrorKind::refused);
}

}  // namespace
}  // namespace signet
