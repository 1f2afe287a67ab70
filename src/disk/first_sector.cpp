#include "disk/first_sector.h"

#include <fcntl.h>
#include <unistd.h>

#include <algorithm>

#include "base/fd.h"

namespace signet {
namespace {

constexpr std::size_t sector_size = 512;

Result<std::array<std::byte, sector_size>> read_first_sector(int fd) {
  std::array<std::byte, sector_size> sector{};
  if (TRY_WITHIN(read_full_at(fd, sector, 0), "read the first sector") < sector.size())
    return fail(ErrorKind::io, "read the first sector: the disk ends before its end");
  return sector;
}

}  // namespace

Result<BootCode> read_boot_code(int fd) {
  const auto sector = TRY(read_first_sector(fd));
  BootCode code;
  std::copy_n(sector.begin(), code.size(), code.begin());
  return code;
}

Result<> write_boot_code(int fd, const BootCode& code) {
  auto sector = TRY(read_first_sector(fd));
  constexpr std::byte signature[] = {std::byte{0x55}, std::byte{0xaa}};
  // Without a signature what follows the code is not a table.
  if (!std::equal(std::begin(signature), std::end(signature), sector.end() - 2)) sector.fill(std::byte{0});
  std::ranges::copy(code, sector.begin());
  std::ranges::copy(signature, sector.end() - 2);
  TRY_WITHIN(write_all_at(fd, sector, 0), "write the first sector");
  if (::fsync(fd) != 0) return fail_errno("sync the first sector");
  return {};
}

Result<> close_first_sector(int fd) { return write_boot_code(fd, closed_boot_code()); }

Result<> close_first_sector(const std::string& disk) {
  const Fd fd = TRY(open_file(disk, O_RDWR));
  TRY_WITHIN(close_first_sector(fd.get()), disk);
  return {};
}

}  // namespace signet
