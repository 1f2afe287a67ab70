// FAT16 and FAT32 by Microsoft's "FAT: General Overview of On-Disk Format" (fatgen103), as UEFI 2.10 §13.3 wants an EFI system partition.
#include <fcntl.h>
#include <unistd.h>

#include <array>
#include <cstring>
#include <ctime>
#include <format>
#include <vector>

#include "base/fd.h"
#include "base/size.h"
#include "base/text.h"
#include "filesystem/makers.h"

namespace signet {
namespace {

constexpr std::uint8_t media = 0xf8;  // fixed disk
constexpr std::uint64_t fat32_from = 512 * MiB;
constexpr std::uint32_t smallest_fat16 = 4085, smallest_fat32 = 65525;  // clusters; fewer is FAT12, FAT16
constexpr std::uint32_t info_sector = 1, backup_sector = 6;             // FAT32

void put(std::vector<std::byte>& sector, std::size_t at, std::uint64_t value, unsigned bytes) {
  for (unsigned i = 0; i < bytes; ++i) sector[at + i] = static_cast<std::byte>(value >> (8 * i));
}

void put_text(std::vector<std::byte>& sector, std::size_t at, std::string_view text) { std::memcpy(sector.data() + at, text.data(), text.size()); }

// Eleven bytes in capitals, padded with blanks.
std::string padded_label(const std::string& label) {
  std::string text = label.empty() ? "NO NAME" : label;
  for (char& c : text)
    if (c >= 'a' && c <= 'z') c = static_cast<char>(c - 'a' + 'A');
  text.resize(11, ' ');
  return text;
}

// "1A2B-3C4D", or a serial number of the time.
Result<std::uint32_t> volume_id(const std::string& text) {
  if (text.empty()) return static_cast<std::uint32_t>(std::time(nullptr));
  std::uint32_t id = 0;
  unsigned digits = 0;
  for (const char c : text) {
    if (c == '-') continue;
    const int lower = c | 0x20;
    const int digit = c >= '0' && c <= '9' ? c - '0' : lower >= 'a' && lower <= 'f' ? lower - 'a' + 10 : -1;
    if (digit < 0 || ++digits > 8) return fail(ErrorKind::invalid, "`{}` is not the id of a FAT file system such as 1A2B-3C4D", printable(text));
    id = id << 4 | static_cast<std::uint32_t>(digit);
  }
  return id;
}

std::vector<std::byte> boot_sector(const FormatRequest& request, const FatLayout& fat, std::uint32_t id) {
  std::vector<std::byte> sector(fat.sector_size);
  const bool wide = fat.bits == 32;
  put(sector, 0, wide ? 0x9058eb : 0x903ceb, 3);  // jmp over the parameters
  put_text(sector, 3, "SIGNET  ");
  put(sector, 11, fat.sector_size, 2);
  put(sector, 13, fat.sectors_per_cluster, 1);
  put(sector, 14, fat.reserved_sectors, 2);
  put(sector, 16, 2, 1);  // FATs
  put(sector, 17, fat.root_entries, 2);
  if (!wide && fat.sectors < 65536) put(sector, 19, fat.sectors, 2);
  put(sector, 21, media, 1);
  if (!wide) put(sector, 22, fat.sectors_per_fat, 2);
  put(sector, 24, 63, 2);   // sectors a track and
  put(sector, 26, 255, 2);  // heads, for INT 13h
  put(sector, 28, request.offset / fat.sector_size, 4);
  if (wide || fat.sectors >= 65536) put(sector, 32, fat.sectors, 4);
  if (wide) {
    put(sector, 36, fat.sectors_per_fat, 4);
    put(sector, 44, 2, 4);  // the root directory's first cluster
    put(sector, 48, info_sector, 2);
    put(sector, 50, backup_sector, 2);
  }
  const std::size_t tail = wide ? 64 : 36;
  put(sector, tail, 0x80, 1);
  put(sector, tail + 2, 0x29, 1);
  put(sector, tail + 3, id, 4);
  put_text(sector, tail + 7, padded_label(request.label));
  put_text(sector, tail + 18, wide ? "FAT32   " : "FAT16   ");
  put(sector, tail + 26, 0xfeeb, 2);  // nothing to boot here: a loop that stands still
  put(sector, 510, 0xaa55, 2);
  return sector;
}

std::vector<std::byte> info(const FatLayout& fat) {
  std::vector<std::byte> sector(fat.sector_size);
  put(sector, 0, 0x41615252, 4);
  put(sector, 484, 0x61417272, 4);
  put(sector, 488, fat.clusters - 1, 4);  // free: all but the root directory's
  put(sector, 492, 2, 4);                 // the last that was taken
  put(sector, 508, 0xaa550000, 4);
  return sector;
}

class Writer {
 public:
  Writer(Fd fd, const FormatRequest& request, const FatLayout& fat) : fd_(std::move(fd)), request_(request), fat_(fat) {}

  Result<> sector(std::uint64_t number, std::span<const std::byte> data) {
    return write_all_at(fd_.get(), data, request_.offset + number * fat_.sector_size);
  }

  Result<> zeros(std::uint64_t first, std::uint64_t count) {
    static const std::vector<std::byte> empty(256 * KiB);
    for (std::uint64_t left = count * fat_.sector_size, at = request_.offset + first * fat_.sector_size; left > 0;) {
      const auto part = std::min<std::uint64_t>(left, empty.size());
      TRY(write_all_at(fd_.get(), std::span(empty).first(part), at));
      at += part;
      left -= part;
    }
    return {};
  }

  Result<> sync() {
    if (::fsync(fd_.get()) != 0) return fail_errno("sync");
    return {};
  }

 private:
  Fd fd_;
  const FormatRequest& request_;
  const FatLayout& fat_;
};

}  // namespace

Result<FatLayout> lay_out_fat(std::uint64_t size, std::uint32_t sector_size) {
  FatLayout fat;
  fat.sector_size = sector_size;
  fat.sectors = static_cast<std::uint32_t>(std::min<std::uint64_t>(size / sector_size, UINT32_MAX));
  fat.bits = size >= fat32_from ? 32 : 16;
  const bool wide = fat.bits == 32;
  fat.reserved_sectors = wide ? 32 : 1;
  fat.root_entries = wide ? 0 : 512;
  const std::uint32_t root_sectors = fat.root_entries * 32 / sector_size;
  const std::uint32_t entry_bytes = fat.bits / 8;

  // The cluster sizes that FAT32 volumes of a size have by custom; for FAT16 the smallest that its 16 bits can count.
  std::uint32_t cluster = sector_size;
  if (wide) cluster = size <= 8 * GiB ? 4096 : size <= 16 * GiB ? 8192 : size <= 32 * GiB ? 16384 : 32768;
  for (; cluster <= 64 * KiB; cluster *= 2) {
    if (cluster < sector_size) continue;
    fat.sectors_per_cluster = cluster / sector_size;
    const std::uint64_t overhead = fat.reserved_sectors + root_sectors;
    if (fat.sectors <= overhead) break;
    // Each cluster costs its sectors and an entry in both FATs.
    const std::uint64_t room = std::uint64_t{fat.sectors - overhead} * sector_size + std::uint64_t{4} * entry_bytes;
    const std::uint64_t clusters = room / (std::uint64_t{cluster} + 2 * entry_bytes);
    fat.sectors_per_fat = static_cast<std::uint32_t>(round_up((clusters + 2) * entry_bytes, sector_size) / sector_size);
    const std::uint64_t data = fat.sectors - overhead - std::uint64_t{2} * fat.sectors_per_fat;
    fat.clusters = static_cast<std::uint32_t>(data / fat.sectors_per_cluster);
    const bool fits =
        wide ? fat.clusters >= smallest_fat32 && fat.clusters < 0x0ffffff5 : fat.clusters >= smallest_fat16 && fat.clusters < smallest_fat32;
    if (fits) return fat;
    if (fat.clusters < smallest_fat16) break;
  }
  return fail(ErrorKind::no_space, "{} is not a size for a FAT file system; give it 8 MiB to 2 TiB", format_size(size));
}

Result<> make_vfat(const FormatRequest& request) {
  const auto fat = TRY(lay_out_fat(request.size, request.sector_size));
  const auto id = TRY(volume_id(request.uuid));
  Writer writer(TRY(open_file(request.path, O_WRONLY)), request, fat);
  const bool wide = fat.bits == 32;

  // Everything up to the first data cluster is zeros but for a few sectors; the root directory of FAT32 is the first cluster.
  const std::uint64_t fats = fat.reserved_sectors;
  const std::uint64_t root = fats + 2ULL * fat.sectors_per_fat;
  const std::uint64_t root_sectors = wide ? fat.sectors_per_cluster : fat.root_entries * 32 / fat.sector_size;
  TRY(writer.zeros(0, root + root_sectors));

  const auto boot = boot_sector(request, fat, id);
  TRY(writer.sector(0, boot));
  if (wide) {
    TRY(writer.sector(info_sector, info(fat)));
    TRY(writer.sector(backup_sector, boot));
    TRY(writer.sector(backup_sector + info_sector, info(fat)));
  }
  std::vector<std::byte> first_entries(fat.sector_size);
  if (wide) {
    put(first_entries, 0, 0x0fffff00 | media, 4);
    put(first_entries, 4, 0x0fffffff, 4);  // the volume is clean
    put(first_entries, 8, 0x0fffffff, 4);  // the root directory ends with its first cluster
  } else {
    put(first_entries, 0, 0xff00 | media, 2);
    put(first_entries, 2, 0xffff, 2);
  }
  TRY(writer.sector(fats, first_entries));
  TRY(writer.sector(fats + fat.sectors_per_fat, first_entries));
  if (!request.label.empty()) {
    std::vector<std::byte> entry(fat.sector_size);
    put_text(entry, 0, padded_label(request.label));
    put(entry, 11, 0x08, 1);                             // ATTR_VOLUME_ID
    put(entry, 24, (2000 - 1980) << 9 | 1 << 5 | 1, 2);  // a date must be valid; this one means nothing
    TRY(writer.sector(root, entry));
  }
  return writer.sync();
}

}  // namespace signet
