// One maker for each kind; make_filesystem() has checked size and type.
#pragma once

#include "base/result.h"
#include "filesystem/filesystem.h"

namespace signet {

Result<> make_ext(const FormatRequest& request);
Result<> make_vfat(const FormatRequest& request);
Result<> make_swap(const FormatRequest& request);

/// The 16 bytes of a UUID in text; fresh ones if the text is empty.
Result<std::array<unsigned char, 16>> uuid_bytes(const std::string& text);

/// Geometry of a FAT file system (Microsoft, FAT: General Overview of On-Disk Format, "fatgen103").
struct FatLayout {
  unsigned bits = 0;  // 16 or 32
  std::uint32_t sector_size = 512;
  std::uint32_t sectors = 0;
  std::uint32_t sectors_per_cluster = 1;
  std::uint32_t reserved_sectors = 1;
  std::uint32_t root_entries = 0;  // FAT16 only
  std::uint32_t sectors_per_fat = 0;
  std::uint32_t clusters = 0;
};
Result<FatLayout> lay_out_fat(std::uint64_t size, std::uint32_t sector_size);

}  // namespace signet
