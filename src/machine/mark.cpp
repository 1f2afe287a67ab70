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
constexpr std::size_t at_layout = 8, at_state = 12, at_time = 16, at_version = 24, at_host = 56, at_table = 312, at_checksum = 508;
constexpr std::size_t version_size = 32, host_size = 256, table_size = 64;

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
  return {text, ::strnlen(text, size)};
}

}  // namespace

std::array<std::byte, mark_size> encode_mark(const Mark& mark) {
  std::array<std::byte, mark_size> block{};
  std::memcpy(block.data(), magic.data(), magic.size());
  put(block, at_layout, layout_version);
  put(block, at_state, std::uint32_t{mark.complete});
  put(block, at_time, mark.time);
  put_text(block, at_version, version_size, mark.version);
  put_text(block, at_host, host_size, mark.host);
  put_text(block, at_table, table_size, to_lower(mark.table.starts_with("0x") ? std::string_view(mark.table).substr(2) : mark.table));
  put(block, at_checksum, crc32c(std::span(block).first(at_checksum)));
  return block;
}

std::optional<Mark> decode_mark(std::span<const std::byte> block) {
  if (block.size() < mark_size || std::memcmp(block.data(), magic.data(), magic.size()) != 0) return std::nullopt;
  if (get<std::uint32_t>(block, at_checksum) != crc32c(block.first(at_checksum)) || get<std::uint32_t>(block, at_layout) != layout_version)
    return std::nullopt;
  const auto host = HostName::parse(get_text(block, at_host, host_size));
  return Mark{
      .version = get_text(block, at_version, version_size),
      .host = host ? host->text() : std::string(),
      .table = get_text(block, at_table, table_size),
      .time = get<std::int64_t>(block, at_time),
      .complete = get<std::uint32_t>(block, at_state) == 1,
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
  TRY_WITHIN(write_all_at(fd.get(), encode_mark(mark), mark_offset), "write Signet's mark to " + disk);
  if (::fdatasync(fd.get()) != 0) return fail_errno("sync {}", disk);
  return {};
}

}  // namespace signet
