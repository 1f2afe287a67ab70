// UEFI boot entries as bytes (UEFI 2.10 §3.1.3 and §10.3); no I/O.
#pragma once

#include <cstdint>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "base/result.h"

namespace signet {

using Bytes = std::vector<unsigned char>;

/// The partition that an entry's file lies on.
struct BootPartition {
  std::uint32_t number = 0;
  std::uint64_t start = 0, size = 0;  // logical blocks
  std::string guid;                   // the GPT entry's unique GUID, in text
};

/// EFI_LOAD_OPTION: active, `description`, HD(partition)/File(path). The path is written with backslashes.
Result<Bytes> load_option(std::string_view description, const BootPartition& partition, std::string_view path);

/// What an entry starts.
struct BootTarget {
  std::string partition;  // the GPT partition's unique GUID in text, lower case; empty: no such partition is named
  std::string file;       // with slashes; empty: none is named
};
/// The first HD() node of a GPT and the first file path of an EFI_LOAD_OPTION; empty where there are none, or the bytes are not one.
BootTarget load_option_target(std::span<const unsigned char> option);

/// BootOrder with `number` once: at its head, or where it stands already, or at the end.
std::vector<std::uint16_t> with_entry(std::span<const std::uint16_t> order, std::uint16_t number, bool first);

}  // namespace signet
