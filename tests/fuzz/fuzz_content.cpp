// Any bytes are a disk's beginning, its mark and its end: what is on it is judged or is an error, and nothing but zeros is blank.
#include <sys/mman.h>
#include <unistd.h>

#include <algorithm>

#include "base/fd.h"
#include "hold.h"
#include "machine/content.h"

using namespace signet;

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  constexpr std::uint64_t disk = 4 << 20;
  constexpr std::size_t part = 16 << 10;
  if (size < 1) return 0;
  const auto sector_size = (data[0] & 1) != 0 ? 4096U : 512U;
  const std::span<const std::uint8_t> bytes(data + 1, size - 1);
  const Fd fd(::memfd_create("disk", MFD_CLOEXEC));
  hold(fd && ::ftruncate(fd.get(), disk) == 0);
  const auto write_at = [&](std::span<const std::uint8_t> some, std::uint64_t at) {
    some = some.first(std::min<std::size_t>(some.size(), disk - at));
    hold(::pwrite(fd.get(), some.data(), some.size(), static_cast<off_t>(at)) == static_cast<ssize_t>(some.size()));
  };
  const auto head = bytes.first(std::min(bytes.size(), part)), rest = bytes.subspan(head.size());
  const auto mark = rest.first(std::min(rest.size(), mark_size)), tail = rest.subspan(mark.size());
  write_at(head, 0);
  write_at(mark, mark_offset);
  write_at(tail.first(std::min(tail.size(), part)), disk - part);
  const auto found = read_content(fd.get(), disk, sector_size);
  if (!found) {
    hold(!found.error().message().empty());
    return 0;
  }
  const bool zeros = std::ranges::all_of(bytes.first(std::min(bytes.size(), 2 * part + mark_size)), [](auto each) { return each == 0; });
  hold((found->content.kind == DiskContent::blank) == zeros);
  hold(found->digest.size() == 64);
  return 0;
}
