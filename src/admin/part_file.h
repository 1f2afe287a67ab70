// The built parts that media are made of, read with care: --parts may name a directory that somebody else can write to.
#pragma once

#include <cstddef>
#include <string>
#include <vector>

#include "base/result.h"

namespace signet {

inline constexpr std::size_t largest_loader = 16 << 20, largest_image = 512 << 20;  // bytes

/// The whole of a file that the admin named: a regular file of at most `limit` bytes. Links are followed; a FIFO or device is refused and never
/// opened for longer than it takes to see what it is.
Result<std::string> read_regular_file(const std::string& path, std::size_t limit);

/// PARTS/NAME, where neither a symbolic link nor `..` leads out of PARTS: links are refused (openat2(2), RESOLVE_BENEATH and RESOLVE_NO_SYMLINKS).
Result<std::string> read_part(const std::string& parts, const std::string& name, std::size_t limit);

/// The names in the directory PARTS/NAME, sorted; empty if there is no such directory. More than 1000 are refused.
Result<std::vector<std::string>> list_part(const std::string& parts, const std::string& name);

}  // namespace signet
