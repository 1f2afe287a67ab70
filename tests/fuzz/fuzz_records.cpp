// Any bytes are records or an error, in bounded memory; what a member may not have does not come out.
#include <algorithm>
#include <cstring>

#include "hold.h"
#include "image/records.h"

using namespace signet;

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  std::size_t at = 0;
  RecordReader reader([&](std::span<std::byte> buffer) -> Result<std::size_t> {
    const auto count = std::min(buffer.size(), size - at);
    if (count > 0) std::memcpy(buffer.data(), data + at, count);
    at += count;
    return count;
  });
  for (;;) {
    const auto member = reader.next_member();
    if (!member) {
      hold(!member.error().message().empty() && member.error().message().size() < 5 * limit::text);
      return 0;
    }
    if (!*member) return 0;
    const auto& got = **member;
    hold(!got.path.empty() && got.path.size() <= limit::path && !got.path.contains('\0') && !got.target.contains('\0'));
    hold(got.mode <= 07777 && got.uid != UINT32_MAX && got.gid != UINT32_MAX && got.attributes.size() <= limit::attributes);
    std::uint64_t end = 0;
    for (;;) {
      const auto block = reader.next_block();
      if (!block || !*block) break;
      hold((*block)->offset >= end && got.type == MemberType::file);
      end = (*block)->offset + (*block)->data.size();
      hold(end <= got.size);
    }
  }
}
