// Swap areas as mkswap(8) makes them: version 1, for pages of 4 KiB (include/linux/swap.h, union swap_header).
#include <fcntl.h>
#include <unistd.h>

#include <array>
#include <cstring>
#include <vector>

#include "base/fd.h"
#include "base/size.h"
#include "filesystem/makers.h"

namespace signet {

Result<> make_swap(const FormatRequest& request) {
  constexpr std::size_t page = 4096;
  constexpr std::size_t at_version = 1024, at_last_page = 1028, at_uuid = 1036, at_label = 1052, label_size = 16;
  constexpr std::string_view signature = "SWAPSPACE2";
  const auto last_page = static_cast<std::uint32_t>(std::min<std::uint64_t>(request.size / page - 1, UINT32_MAX));
  const auto uuid = TRY(uuid_bytes(request.uuid));

  std::vector<std::byte> header(page);
  const std::uint32_t version = 1;
  std::memcpy(header.data() + at_version, &version, sizeof version);
  std::memcpy(header.data() + at_last_page, &last_page, sizeof last_page);
  std::memcpy(header.data() + at_uuid, uuid.data(), uuid.size());
  std::memcpy(header.data() + at_label, request.label.data(), std::min(request.label.size(), label_size - 1));
  std::memcpy(header.data() + page - signature.size(), signature.data(), signature.size());

  const Fd fd = TRY(open_file(request.path, O_WRONLY));
  TRY(write_all_at(fd.get(), header, request.offset));
  if (::fsync(fd.get()) != 0) return fail_errno("sync");
  return {};
}

}  // namespace signet
