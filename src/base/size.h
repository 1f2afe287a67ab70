// Sizes as people write them ("512MiB", "2 GiB", "1.5TB") and as they read them ("1.2 GiB").
#pragma once

#include <cstdint>
#include <string>
#include <string_view>

#include "base/result.h"

namespace signet {

inline constexpr std::uint64_t KiB = 1024;
inline constexpr std::uint64_t MiB = 1024 * KiB;
inline constexpr std::uint64_t GiB = 1024 * MiB;

/// Bytes of a size such as "4096", "512MiB", "1.5 TB" or "64K". IEC units (KiB … PiB, and K M G T P for short) are powers of 1024, SI units
/// (kB … PB) of 1000 (IEC 80000-13). Fractions are rounded down to a byte. Fails with ErrorKind::invalid on anything else or past 2^64 - 1.
Result<std::uint64_t> parse_size(std::string_view text);

/// Three significant digits and an IEC unit: "512 MiB", "1.46 GiB", "17 B".
std::string format_size(std::uint64_t bytes);

/// The shortest exact spelling that parse_size() reads back: "512MiB", "1000B".
std::string format_exact_size(std::uint64_t bytes);

constexpr std::uint64_t round_up(std::uint64_t value, std::uint64_t multiple) { return (value + multiple - 1) / multiple * multiple; }
constexpr std::uint64_t round_down(std::uint64_t value, std::uint64_t multiple) { return value / multiple * multiple; }

}  // namespace signet
