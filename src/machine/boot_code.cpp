#include "machine/boot_code.h"

#include <algorithm>
#include <cstdint>
#include <string_view>

namespace signet {
namespace {

// 16-bit code. A BIOS loads the sector to 0x7c00 and jumps there, with CS:IP as it likes: jumps are relative, data are reached by DS = 0.
constexpr std::uint8_t instructions[] = {
    0x31, 0xc0,        //  0:       xor  ax, ax
    0x8e, 0xd8,        //  2:       mov  ds, ax
    0xfa,              //  4:       cli
    0x8e, 0xd0,        //  5:       mov  ss, ax
    0xbc, 0x00, 0x7c,  //  7:       mov  sp, 0x7c00
    0xfb,              // 10:       sti
    0xfc,              // 11:       cld
    0xbe, 0x27, 0x7c,  // 12:       mov  si, 0x7c00 + 39
    0xac,              // 15: next: lodsb
    0x84, 0xc0,        // 16:       test al, al
    0x74, 0x0b,        // 18:       jz   31
    0xbb, 0x07, 0x00,  // 20:       mov  bx, 7            page 0, light grey
    0xb4, 0x0e,        // 23:       mov  ah, 0x0e         teletype output
    0x56,              // 25:       push si               some BIOSes do not keep it
    0xcd, 0x10,        // 26:       int  0x10
    0x5e,              // 28:       pop  si
    0xeb, 0xf0,        // 29:       jmp  next
    0xcd, 0x18,        // 31:       int  0x18             on to the next boot device
    0xfb,              // 33: halt: sti                   a BIOS without a next device may return here
    0xf4,              // 34:       hlt
    0xeb, 0xfc,        // 35:       jmp  halt
    0x90, 0x90,        // 37:       nop, nop
};
constexpr std::size_t message_at = 39;
static_assert(sizeof instructions == message_at);
constexpr std::string_view message = "\r\nSignet: installation not finished\r\n";
static_assert(message_at + message.size() < boot_code_size);

constexpr BootCode make() {
  BootCode code{};
  std::ranges::transform(instructions, code.begin(), [](std::uint8_t byte) { return std::byte{byte}; });
  std::ranges::transform(message, code.begin() + message_at, [](char c) { return static_cast<std::byte>(c); });
  return code;
}
constexpr BootCode closed = make();

}  // namespace

const BootCode& closed_boot_code() { return closed; }

bool is_closed(std::span<const std::byte> sector) {
  return sector.size() >= closed.size() && std::ranges::equal(sector.first(closed.size()), closed);
}

}  // namespace signet
