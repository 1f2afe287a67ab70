// FAT file systems in files, made by mtools(1): it puts files in without a mount, so a plain user can make media.
#pragma once

#include <cstdint>
#include <string>
#include <utility>
#include <vector>

#include "base/result.h"

namespace signet {

/// A FAT file system of `size` bytes in the file `image`. `files` are pairs of a path in it ("/EFI/BOOT/BOOTX64.EFI") and the file to copy there.
Result<> make_fat(const std::string& image, std::uint64_t size, const std::string& label,
                  const std::vector<std::pair<std::string, std::string>>& files);

}  // namespace signet
