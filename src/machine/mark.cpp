#include "machine/mark.h"

#include <fcntl.h>
#include <unistd.h>

#include <algorithm>
#include <cstring>

#include "base/fd.h"
#include "base/host_name.h"
#include "base/text.h"

namespace signet {
namespace {

constexpr std::string_view magic = "SIGNETMK";
constexpr std::uint32_t layout_version = 1;
constexpr std::size_t at_layout = 8, at_state = 12, at_time = 16, at_version = 24, at_host = 56, at_table = 312, at_profile = 376, at_image = 408,
                      at_flags = 440, at_before = 444, at_checksum = 508;
constexpr std::size_t version_size = 32, host_size = 256, table_size = 64, digest_size = 32;
constexpr std::uint32_t keeps_data_bit = 1;
constexpr std::uint32_t state_begun = 0, state_complete = 1, state_bios = 2, state_efi = 3;

// RFC 3720 §12.1: the Castagnoli polynomial, reflected. One block at a time needs no table.
std::uint32_t crc32c(std::span<const std::byte> bytes) {
  std::uint32_t crc = ~0U;
  for (const std::byte byte : bytes) {
    crc ^= std::to_integer<std::uint32_t>(byte);
    for (int bit = 0; bit < 8; ++bit) crc = (crc >> 1) ^ ((crc & 1) ? 0x82f63b78U : 0);
  }
  return ~crc;
}

template <class Integer>
void put(std::span<std::byte> block, std::size_t at, Integer value) {
  for (std::size_t i = 0; i < sizeof value; ++i) block[at + i] = static_cast<std::byte>(static_cast<std::uint64_t>(value) >> (8 * i));
}

template <class Integer>
Integer get(std::span<const std::byte> block, std::size_t at) {
  std::uint64_t value = 0;
  for (std::size_t i = 0; i < sizeof(Integer); ++i) value |= std::to_integer<std::uint64_t>(block[at + i]) << (8 * i);
  return static_cast<Integer>(value);
}

void put_text(std::span<std::byte> block, std::size_t at, std::size_t size, std::string_view text) {
  text = text.substr(0, size - 1);
  std::memcpy(block.data() + at, text.data(), text.size());
}

std::string get_text(std::span<const std::byte> block, std::size_t at, std::size_t size) {
  const auto* text = reinterpret_cast<const char*>(block.data() + at);
  return printable({text, ::strnlen(text, size)});
}

// 64 hex digits as 32 bytes; anything else leaves zeros.
void put_digest(std::span<std::byte> block, std::size_t at, std::string_view hex) {
  const auto digit = [](char c) {
    return c >= '0' && c <= '9' ? c - '0' : c >= 'a' && c <= 'f' ? c - 'a' + 10 : c >= 'A' && c <= 'F' ? c - 'A' + 10 : -1;
  };
  if (hex.size() != 2 * digest_size || std::ranges::any_of(hex, [&](char c) { return digit(c) < 0; })) return;
  for (std::size_t i = 0; i < digest_size; ++i) block[at + i] = static_cast<std::byte>(digit(hex[2 * i]) << 4 | digit(hex[2 * i + 1]));
}

std::string get_digest(std::span<const std::byte> block, std::size_t at) {
  const auto bytes = block.subspan(at, digest_size);
  if (std::ranges::all_of(bytes, [](std::byte byte) { return byte == std::byte{0}; })) return {};
  return to_hex({reinterpret_cast<const unsigned char*>(bytes.data()), bytes.size()});
}

std::string plain_id(std::string_view id) { return to_lower(id.starts_with("0x") ? id.substr(2) : id); }

}  // namespace

std::array<std::byte, mark_size> encode_mark(const Mark& mark) {
  std::array<std::byte, mark_size> block{};
  std::memcpy(block.data(), magic.data(), magic.size());
  put(block, at_layout, layout_version);
  put(block, at_state,
      mark.complete                   ? state_complete
      : mark.opening == Opening::bios ? state_bios
      : mark.opening == Opening::efi  ? state_efi
                                      : state_begun);
  put(block, at_time, mark.time);
  put_text(block, at_version, version_size, mark.version);
  put_text(block, at_host, host_size, mark.host);
  put_text(block, at_table, table_size, plain_id(mark.table));
  put_digest(block, at_profile, mark.profile_sha256);
  put_digest(block, at_image, mark.image_sha256);
  put(block, at_flags, mark.keeps_data ? keeps_data_bit : 0U);
  put_text(block, at_before, table_size, plain_id(mark.before));
  put(block, at_checksum, crc32c(std::span(block).first(at_checksum)));
  return block;
}

std::optional<Mark> decode_mark(std::span<const std::byte> block) {
  if (block.size() < mark_size || std::memcmp(block.data(), magic.data(), magic.size()) != 0) return std::nullopt;
  if (get<std::uint32_t>(block, at_checksum) != crc32c(block.first(at_checksum)) || get<std::uint32_t>(block, at_layout) != layout_version)
    return std::nullopt;
  const auto host = HostName::parse(get_text(block, at_host, host_size));
  const auto state = get<std::uint32_t>(block, at_state);
  return Mark{
      .version = get_text(block, at_version, version_size),
      .host = host ? host->text() : std::string(),
      .table = get_text(block, at_table, table_size),
      .time = get<std::int64_t>(block, at_time),
      .complete = state == state_complete,
      .profile_sha256 = get_digest(block, at_profile),
      .image_sha256 = get_digest(block, at_image),
      .keeps_data = (get<std::uint32_t>(block, at_flags) & keeps_data_bit) != 0,
      .opening = state == state_bios  ? Opening::bios
                 : state == state_efi ? Opening::efi
                                      : Opening::no,
      .before = get_text(block, at_before, table_size),
  };
}

Result<std::optional<Mark>> read_mark(const std::string& disk) {
  const Fd fd = TRY(open_file(disk, O_RDONLY));
  std::array<std::byte, mark_size> block{};
  const auto got = TRY_WITHIN(read_full_at(fd.get(), block, mark_offset), disk);
  if (got < block.size()) return std::nullopt;
  return decode_mark(block);
}

Result<> write_mark(const std::string& disk, const Mark& mark) {
  const Fd fd = TRY(open_file(disk, O_WRONLY));
  TRY_WITHIN(write_mark(fd.get(), mark), disk);
  return {};
}

Result<> write_mark(int fd, const Mark& mark) {
  TRY_WITHIN(write_all_at(fd, encode_mark(mark), mark_offset), "write Signet's mark");
  if (::fdatasync(fd) != 0) return fail_errno("sync Signet's mark");
  return {};
}

}  // namespace signet
