#include "configure/grub_core.h"

#include <algorithm>
#include <format>

#include "base/size.h"
#include "machine/mark.h"

namespace signet {
namespace {

constexpr std::size_t sector = 512;  // INT 13h's; a disk with larger ones does not start by BIOS

// boot.img: where it loads the core image to, the sector that it loads, the drive that it loads from (0xff: the one that the BIOS names in DL), and a
// jump over the work-around for BIOSes that name a floppy when they start from a hard disk.
constexpr std::size_t at_address = 0x5a, at_sector = 0x5c, at_drive = 0x64, at_drive_check = 0x66;
constexpr std::uint64_t load_address = 0x8000;
// The core image's first sector ends with a list of blocks, the first entry last: sector (8 bytes), number of sectors (2), segment to load to (2).
constexpr std::size_t block_size = 12, at_block = sector - block_size;
constexpr std::uint64_t rest_segment = (load_address + sector) / 16;

void put(std::string& bytes, std::size_t at, std::uint64_t value, unsigned size) {
  for (unsigned i = 0; i < size; ++i) bytes[at + i] = static_cast<char>(value >> (8 * i));
}

std::uint64_t get(std::string_view bytes, std::size_t at, unsigned size) {
  std::uint64_t value = 0;
  for (unsigned i = 0; i < size; ++i) value |= std::uint64_t{static_cast<unsigned char>(bytes[at + i])} << (8 * i);
  return value;
}

}  // namespace

Result<GrubRoom> grub_room(const PlannedDisk& planned) {
  if (planned.disk.sector_size != sector)
    return fail(ErrorKind::unsupported, "{}: a BIOS does not start from a disk with sectors of {} bytes", planned.disk.path,
                planned.disk.sector_size);
  if (planned.table == TableType::gpt) {
    const auto bios = std::ranges::find(planned.partitions, PartitionType::bios, &PlannedPartition::type);
    if (bios == planned.partitions.end()) return fail(ErrorKind::invalid, "{}: the plan has no partition of type \"bios\"", planned.disk.path);
    return GrubRoom{bios->start, bios->size};
  }
  auto end = mark_offset;
  for (const auto& partition : planned.partitions) end = std::min(end, partition.start);
  return GrubRoom{sector, end - sector};
}

Result<GrubCore> place_grub(std::string_view boot_image, std::string_view core_image, const GrubRoom& room) {
  if (boot_image.size() != sector || get(boot_image, sector - 2, 2) != 0xaa55 || get(boot_image, at_address, 2) != load_address)
    return fail(ErrorKind::invalid, "boot.img is not the boot sector of GRUB 2");
  if (core_image.size() < 2 * sector || get(core_image, at_block + 10, 2) != rest_segment || get(core_image, at_block - 4, 2) != 0)
    return fail(ErrorKind::invalid, "core.img is not a core image of GRUB 2");
  const auto sectors = (core_image.size() + sector - 1) / sector;
  if (sectors * sector > room.size || sectors > UINT16_MAX)
    return fail(ErrorKind::no_space, "GRUB's core image is {}, but the disk has {} for it", format_size(core_image.size()), format_size(room.size));

  GrubCore grub{.offset = room.start, .core = std::string(core_image)};
  grub.core.resize(sectors * sector);
  const auto first = room.start / sector;
  put(grub.core, at_block, first + 1, 8);
  put(grub.core, at_block + 8, sectors - 1, 2);
  std::string boot(boot_image);
  put(boot, at_sector, first, 8);
  put(boot, at_drive, 0xff, 1);
  put(boot, at_drive_check, 0x9090, 2);
  std::ranges::transform(std::string_view(boot).substr(0, grub.code.size()), grub.code.begin(), [](char c) { return static_cast<std::byte>(c); });
  return grub;
}

}  // namespace signet
