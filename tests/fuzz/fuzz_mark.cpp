// Any bytes of a disk's mark and of a UEFI boot entry are one or are none; what a mark says is what is written for it.
#include <cstring>

#include "configure/boot_entry.h"
#include "hold.h"
#include "machine/mark.h"

using namespace signet;

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  std::array<std::byte, mark_size> block{};
  if (size > 0) std::memcpy(block.data(), data, std::min(size, block.size()));
  (void)decode_mark(std::as_bytes(std::span(data, size)));
  // A checksum that fits lets the rest be read.
  std::uint32_t sum = 0xffffffff;
  for (std::size_t i = 0; i < mark_size - 4; ++i) {
    sum ^= std::to_integer<std::uint32_t>(block[i]);
    for (int bit = 0; bit < 8; ++bit) sum = sum >> 1 ^ (sum & 1 ? 0x82f63b78 : 0);
  }
  sum = ~sum;
  for (std::size_t i = 0; i < 4; ++i) block[mark_size - 4 + i] = static_cast<std::byte>(sum >> (8 * i) & 0xff);
  if (const auto mark = decode_mark(block)) {
    const auto again = decode_mark(encode_mark(*mark));
    hold(again.has_value());
    hold(again->host == mark->host && again->time == mark->time && again->complete == mark->complete);
    hold(again->profile_sha256 == mark->profile_sha256 && again->image_sha256 == mark->image_sha256);
    hold(again->opening == mark->opening && again->keeps_data == mark->keeps_data);
    for (const auto* text : {&mark->version, &mark->host, &mark->table, &mark->before})
      for (const char each : *text) hold(static_cast<unsigned char>(each) >= ' ');
  }
  const auto target = load_option_target({data, size});
  hold(target.partition.empty() || target.partition.size() == 36);
  return 0;
}
