#include <doctest/doctest.h>
#include <fcntl.h>
#include <stdlib.h>
#include <unistd.h>

#include <algorithm>
#include <filesystem>
#include <vector>

#include "base/fd.h"
#include "base/size.h"
#include "disk/first_sector.h"

using namespace signet;

namespace {

// An image file that goes with the test.
struct Image {
  std::string directory, path;
  Fd fd;
  explicit Image(std::uint64_t size) {
    char name[] = "/tmp/signet-test-XXXXXX";
    directory = ::mkdtemp(name);
    path = directory + "/disk.img";
    fd = open_file(path, O_RDWR | O_CREAT).value();
    REQUIRE(::ftruncate(fd.get(), static_cast<off_t>(size)) == 0);
  }
  ~Image() { std::filesystem::remove_all(directory); }

  std::vector<std::byte> read(std::uint64_t offset, std::size_t size) const {
    std::vector<std::byte> bytes(size);
    REQUIRE(read_full_at(fd.get(), bytes, offset).value() == size);
    return bytes;
  }
  void write(std::uint64_t offset, std::span<const std::byte> bytes) const { REQUIRE(write_all_at(fd.get(), bytes, offset)); }
};

}  // namespace

TEST_CASE("the code of a closed disk ends with INT 18h and a halt, not with what follows it") {
  const auto& code = closed_boot_code();
  // cd 18: int 0x18; fb f4 eb fc: sti, hlt, jmp to the sti.
  const std::byte end[] = {std::byte{0xcd}, std::byte{0x18}, std::byte{0xfb}, std::byte{0xf4}, std::byte{0xeb}, std::byte{0xfc}};
  CHECK(std::ranges::search(code, end).begin() - code.begin() == 31);
  CHECK(is_closed(code));
  auto other = code;
  other[200] = std::byte{1};
  CHECK_FALSE(is_closed(other));
  CHECK_FALSE(is_closed(std::span(code).first(100)));
}

TEST_CASE("closing a disk keeps its partition entries, and opening it again gives back the code that it had") {
  const Image image(1 * MiB);
  std::vector<std::byte> sector(512, std::byte{0x5a});
  sector[510] = std::byte{0x55};
  sector[511] = std::byte{0xaa};
  image.write(0, sector);
  const auto before = read_boot_code(image.fd.get());
  REQUIRE(before);
  REQUIRE(close_first_sector(image.path));
  const auto closed = image.read(0, 512);
  CHECK(is_closed(closed));
  CHECK(std::equal(closed.begin() + 440, closed.end(), sector.begin() + 440));
  REQUIRE(write_boot_code(image.fd.get(), *before));
  CHECK(image.read(0, 512) == sector);
  CHECK(image.read(512, 512) == std::vector<std::byte>(512));
}

TEST_CASE("closing a disk without a table leaves no partition entry in it") {
  const Image image(1 * MiB);
  image.write(0, std::vector<std::byte>(512, std::byte{0x5a}));
  REQUIRE(close_first_sector(image.fd.get()));
  const auto closed = image.read(0, 512);
  CHECK(is_closed(closed));
  CHECK(std::ranges::all_of(closed.begin() + 440, closed.begin() + 510, [](std::byte byte) { return byte == std::byte{0}; }));
  CHECK(closed[510] == std::byte{0x55});
  CHECK(closed[511] == std::byte{0xaa});
  CHECK_FALSE(close_first_sector(Image(100).path));
}
