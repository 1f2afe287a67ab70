#include "admin/unified_kernel.h"

#include <array>
#include <cstdint>
#include <cstring>

namespace signet {
namespace {

// Offsets by Microsoft's "PE Format": from the start of the PE signature, of the optional header (PE32+), of a section header.
constexpr std::size_t pe_offset_at = 0x3c, machine_at = 4, sections_at = 6, optional_size_at = 20, optional_at = 24;
constexpr std::size_t initialized_size_at = 8, section_alignment_at = 32, file_alignment_at = 36, image_size_at = 56, headers_size_at = 60,
                      checksum_at = 64;
constexpr std::size_t section_header_size = 40;
constexpr std::uint32_t x86_64 = 0x8664, pe32_plus = 0x20b;
constexpr std::uint32_t readable_data = 0x40000040;  // IMAGE_SCN_CNT_INITIALIZED_DATA | IMAGE_SCN_MEM_READ
constexpr std::uint32_t page = 4096;                 // sections that the stub hands on start on one of their own

std::uint32_t get(std::string_view bytes, std::size_t at, unsigned width) {
  std::uint32_t value = 0;
  for (unsigned i = 0; i < width; ++i) value |= static_cast<std::uint32_t>(static_cast<unsigned char>(bytes[at + i])) << (8 * i);
  return value;
}

void put(std::string& bytes, std::size_t at, std::uint64_t value, unsigned width) {
  for (unsigned i = 0; i < width; ++i) bytes[at + i] = static_cast<char>(value >> (8 * i));
}

constexpr std::uint64_t align(std::uint64_t value, std::uint64_t to) { return (value + to - 1) / to * to; }

}  // namespace

Result<std::string> make_unified_kernel(const UnifiedKernelParts& parts) {
  std::string out(parts.stub);
  const auto broken = [](std::string_view why) { return fail(ErrorKind::invalid, "the boot stub is not a UEFI program for x86-64: {}", why); };
  if (out.size() < pe_offset_at + 4 || !out.starts_with("MZ")) return broken("no MZ header");
  const std::size_t pe = get(out, pe_offset_at, 4);
  const std::size_t optional = pe + optional_at;
  if (pe > out.size() || out.size() - pe < optional_at + 112 || std::string_view(out).substr(pe, 4) != std::string_view("PE\0\0", 4))
    return broken("no PE header");
  if (get(out, pe + machine_at, 2) != x86_64 || get(out, optional, 2) != pe32_plus) return broken("another machine or another format");
  const auto file_alignment = get(out, optional + file_alignment_at, 4), section_alignment = get(out, optional + section_alignment_at, 4);
  if (file_alignment == 0 || section_alignment == 0) return broken("no alignment");
  const auto headers_end = get(out, optional + headers_size_at, 4);
  const std::size_t table = optional + get(out, pe + optional_size_at, 2);
  auto count = get(out, pe + sections_at, 2);

  const std::array<std::pair<const char*, std::string_view>, 4> added = {
      {{".osrel", parts.os_release}, {".cmdline", parts.command_line}, {".initrd", parts.initrd}, {".linux", parts.kernel}}};
  if (table + (count + added.size()) * section_header_size > headers_end || headers_end > out.size())
    return fail(ErrorKind::unsupported, "the boot stub has no room in its header for {} more sections", added.size());
  std::uint64_t address = 0;
  for (std::uint32_t i = 0; i < count; ++i) {
    const auto header = table + i * section_header_size;
    const std::string name(out.c_str() + header, ::strnlen(out.c_str() + header, 8));
    for (const auto& [ours, content] : added)
      if (name == ours) return fail(ErrorKind::invalid, "the boot stub has a section {} already", name);
    address = std::max<std::uint64_t>(address, std::uint64_t{get(out, header + 12, 4)} + get(out, header + 8, 4));
  }

  std::uint64_t data_size = get(out, optional + initialized_size_at, 4);
  for (const auto& [name, content] : added) {
    if (content.size() > UINT32_MAX / 4) return fail(ErrorKind::invalid, "{} is too large for a UEFI program", name);
    out.resize(align(out.size(), file_alignment), '\0');
    address = align(address, page);
    const auto header = table + count++ * section_header_size;
    std::memset(out.data() + header, 0, section_header_size);
    std::memcpy(out.data() + header, name, std::strlen(name));
    put(out, header + 8, content.size(), 4);                          // VirtualSize
    put(out, header + 12, address, 4);                                // VirtualAddress
    put(out, header + 16, align(content.size(), file_alignment), 4);  // SizeOfRawData
    put(out, header + 20, out.size(), 4);                             // PointerToRawData
    put(out, header + 36, readable_data, 4);
    out += content;
    out.resize(align(out.size(), file_alignment), '\0');
    address += content.size();
    data_size += align(content.size(), file_alignment);
  }
  put(out, pe + sections_at, count, 2);
  put(out, optional + initialized_size_at, data_size, 4);
  put(out, optional + image_size_at, align(address, section_alignment), 4);
  put(out, optional + checksum_at, 0, 4);
  return out;
}

}  // namespace signet
