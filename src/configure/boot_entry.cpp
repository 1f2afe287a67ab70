#include "configure/boot_entry.h"

#include <algorithm>
#include <charconv>
#include <format>

namespace signet {
namespace {

void put(Bytes& out, std::uint64_t value, unsigned bytes) {
  for (unsigned i = 0; i < bytes; ++i) out.push_back(static_cast<unsigned char>(value >> (8 * i)));
}

// UCS-2 with a closing zero; what is not ASCII becomes '?', which every firmware can show.
void put_text(Bytes& out, std::string_view text) {
  for (const char c : text) put(out, c > 0 ? static_cast<unsigned char>(c) : '?', 2);
  put(out, 0, 2);
}

// The first three fields are little-endian in memory (UEFI 2.10, appendix A).
Result<Bytes> guid_bytes(std::string_view text) {
  Bytes digits;
  std::string hex(text);
  std::erase(hex, '-');
  for (std::size_t at = 0; at + 2 <= hex.size(); at += 2) {
    unsigned char byte = 0;
    if (std::from_chars(hex.data() + at, hex.data() + at + 2, byte, 16).ptr != hex.data() + at + 2) break;
    digits.push_back(byte);
  }
  if (digits.size() != 16 || hex.size() != 32) return fail(ErrorKind::invalid, "`{}` is not a GUID", text);
  std::reverse(digits.begin(), digits.begin() + 4);
  std::reverse(digits.begin() + 4, digits.begin() + 6);
  std::reverse(digits.begin() + 6, digits.begin() + 8);
  return digits;
}

std::size_t number_at(std::span<const unsigned char> bytes, std::size_t at) { return bytes[at] | std::size_t{bytes[at + 1]} << 8; }

std::string guid_text(std::span<const unsigned char> bytes) {
  constexpr unsigned order[] = {3, 2, 1, 0, 5, 4, 7, 6, 8, 9, 10, 11, 12, 13, 14, 15};
  std::string text;
  for (std::size_t i = 0; i < std::size(order); ++i) {
    if (i == 4 || i == 6 || i == 8 || i == 10) text += '-';
    text += std::format("{:02x}", bytes[order[i]]);
  }
  return text;
}

// Of UCS-2 that ends with a zero or with the bytes; '?' for what is not ASCII.
std::string text_of(std::span<const unsigned char> bytes) {
  std::string text;
  for (std::size_t at = 0; at + 2 <= bytes.size(); at += 2) {
    const auto unit = bytes[at] | bytes[at + 1] << 8;
    if (unit == 0) break;
    text += unit < 0x80 ? static_cast<char>(unit) : '?';
  }
  return text;
}

}  // namespace

Result<Bytes> load_option(std::string_view description, const BootPartition& partition, std::string_view path) {
  Bytes nodes;
  put(nodes, 0x0104, 2);  // media device path, hard drive
  put(nodes, 42, 2);      // its length
  put(nodes, partition.number, 4);
  put(nodes, partition.start, 8);
  put(nodes, partition.size, 8);
  nodes.append_range(TRY(guid_bytes(partition.guid)));
  put(nodes, 0x0202, 2);  // GPT, and the signature is a GUID

  std::string file(path);
  std::ranges::replace(file, '/', '\\');
  put(nodes, 0x0404, 2);  // media device path, file path
  put(nodes, 4 + 2 * (file.size() + 1), 2);
  put_text(nodes, file);
  put(nodes, 0xff7f, 2);  // end of the whole path
  put(nodes, 4, 2);

  Bytes option;
  put(option, 1, 4);  // LOAD_OPTION_ACTIVE
  put(option, nodes.size(), 2);
  put_text(option, description);
  option.append_range(nodes);
  return option;
}

BootTarget load_option_target(std::span<const unsigned char> option) {
  BootTarget found;
  std::size_t at = 6;  // behind attributes and the length of the paths
  while (at + 2 <= option.size() && (option[at] | option[at + 1]) != 0) at += 2;
  if (at + 2 > option.size()) return {};
  at += 2;
  const auto paths = option.subspan(at, std::min<std::size_t>(option.size() - at, number_at(option, 4)));
  for (at = 0; at + 4 <= paths.size();) {
    const unsigned type = paths[at], subtype = paths[at + 1];
    const std::size_t length = number_at(paths, at + 2);
    if (length < 4 || at + length > paths.size()) break;
    const auto node = paths.subspan(at, length);
    constexpr std::size_t drive_size = 42, at_signature = 24, at_signature_type = 41;
    constexpr unsigned char signature_is_guid = 2;
    if (type == 4 && subtype == 1 && length == drive_size && node[at_signature_type] == signature_is_guid && found.partition.empty())
      found.partition = guid_text(node.subspan(at_signature, 16));
    if (type == 4 && subtype == 4 && found.file.empty()) found.file = text_of(node.subspan(4));
    if (type == 0x7f) break;
    at += length;
  }
  std::ranges::replace(found.file, '\\', '/');
  return found;
}

std::vector<std::uint16_t> with_entry(std::span<const std::uint16_t> order, std::uint16_t number, bool first) {
  std::vector<std::uint16_t> made(order.begin(), order.end());
  if (first) {
    std::erase(made, number);
    made.insert(made.begin(), number);
  } else if (std::ranges::find(made, number) == made.end()) {
    made.push_back(number);
  }
  return made;
}

}  // namespace signet
