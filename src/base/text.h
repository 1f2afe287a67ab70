// Small text operations that the standard library lacks.
#pragma once

#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

namespace signet {

std::string_view trim(std::string_view text);
std::vector<std::string_view> split(std::string_view text, char separator);
std::string join(std::span<const std::string> parts, std::string_view separator);
std::string to_lower(std::string_view text);

/// A whole unsigned decimal number, nothing before or after it.
std::optional<std::uint64_t> parse_unsigned(std::string_view text);

/// Of `known`, the word nearest to `word` by Damerau-Levenshtein distance, if it is near enough to be a slip of the fingers.
std::optional<std::string> nearest(std::string_view word, std::span<const std::string_view> known);

/// Printable: control characters and bytes that are not UTF-8 become \xHH. For names from disks, images and networks on a console.
std::string printable(std::string_view text);

/// At most `limit` bytes of text, cut between characters, and how much is missing: "abc… (997 bytes more)".
std::string shorten(std::string_view text, std::size_t limit);

/// Lower-case hexadecimal.
std::string to_hex(std::span<const unsigned char> bytes);

/// "'it'\''s'": one word for a POSIX shell.
std::string shell_quote(std::string_view text);

}  // namespace signet
