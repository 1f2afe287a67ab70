#include "machine/content.h"

#include <blkid/blkid.h>
#include <fcntl.h>
#include <time.h>

#include <algorithm>
#include <cstddef>
#include <format>
#include <memory>
#include <span>
#include <vector>

#include "base/fd.h"
#include "base/size.h"
#include "base/text.h"
#include "machine/mark.h"

namespace signet {
namespace {

using Probe = std::unique_ptr<blkid_struct_probe, decltype(&blkid_free_probe)>;

std::string value(blkid_probe probe, const char* name) {
  const char* data = nullptr;
  return blkid_probe_lookup_value(probe, name, &data, nullptr) == 0 && data ? printable(data) : std::string();
}

// Every superblock that libblkid finds in a range: more than one where a later format left an older one standing.
std::vector<std::string> superblocks(int fd, std::uint64_t offset, std::uint64_t size, std::uint32_t sector_size) {
  std::vector<std::string> found;
  const Probe probe(blkid_new_probe(), blkid_free_probe);
  if (!probe || blkid_probe_set_device(probe.get(), fd, static_cast<blkid_loff_t>(offset), static_cast<blkid_loff_t>(size)) != 0) return found;
  blkid_probe_set_sectorsize(probe.get(), sector_size);
  blkid_probe_enable_superblocks(probe.get(), 1);
  blkid_probe_set_superblocks_flags(probe.get(), BLKID_SUBLKS_TYPE | BLKID_SUBLKS_LABEL | BLKID_SUBLKS_BADCSUM);
  while (found.size() < 8 && blkid_do_probe(probe.get()) == 0) {
    const auto type = value(probe.get(), "TYPE");
    const auto label = value(probe.get(), "LABEL");
    if (!type.empty()) found.push_back(label.empty() ? type : std::format("{} \"{}\"", type, label));
  }
  return found;
}

struct Table {
  std::string description;          // empty: there is none
  std::string id;                   // lower case
  std::vector<std::string> inside;  // "1: ext4 "data"", for each partition that holds something known
};

Table partition_table(int fd, std::uint64_t size, std::uint32_t sector_size) {
  Table found;
  const Probe probe(blkid_new_probe(), blkid_free_probe);
  if (!probe || blkid_probe_set_device(probe.get(), fd, 0, static_cast<blkid_loff_t>(size)) != 0) return found;
  blkid_probe_set_sectorsize(probe.get(), sector_size);
  blkid_probe_enable_partitions(probe.get(), 1);
  blkid_probe_set_partitions_flags(probe.get(), BLKID_PARTS_FORCE_GPT);
  blkid_partlist list = blkid_probe_get_partitions(probe.get());
  if (!list) return found;
  blkid_parttable table = blkid_partlist_get_table(list);
  if (!table) return found;
  const int count = blkid_partlist_numof_partitions(list);
  constexpr int shown = 8;
  for (int i = 0; i < std::min(count, shown); ++i) {
    blkid_partition part = blkid_partlist_get_partition(list, i);
    const auto offset = static_cast<std::uint64_t>(blkid_partition_get_start(part)) * 512;
    const auto length = static_cast<std::uint64_t>(blkid_partition_get_size(part)) * 512;
    if (offset >= size || length == 0) continue;
    const auto in = superblocks(fd, offset, std::min(length, size - offset), sector_size);
    if (!in.empty()) found.inside.push_back(std::format("{}: {}", blkid_partition_get_partno(part), join(in, " + ")));
  }
  found.description = std::format("{} table with {} partition{}", blkid_parttable_get_type(table), count, count == 1 ? "" : "s");
  if (const char* id = blkid_parttable_get_id(table)) found.id = to_lower(id);
  return found;
}

bool all_zero(std::span<const std::byte> bytes) {
  return std::ranges::all_of(bytes, [](std::byte byte) { return byte == std::byte{0}; });
}

std::string date(std::int64_t seconds) {
  const time_t when = static_cast<time_t>(seconds);
  tm parts{};
  char text[16] = "";
  if (::gmtime_r(&when, &parts)) ::strftime(text, sizeof text, "%Y-%m-%d", &parts);
  return text;
}

}  // namespace

Result<Content> read_content(const std::string& path, std::uint64_t size, std::uint32_t sector_size) {
  const Fd fd = TRY(open_file(path, O_RDONLY));
  const auto edge = static_cast<std::size_t>(std::min<std::uint64_t>(size, MiB));
  std::vector<std::byte> first(edge), last(edge);
  TRY(read_full_at(fd.get(), first, 0));
  TRY(read_full_at(fd.get(), last, size - edge));

  const Table table = partition_table(fd.get(), size, sector_size);
  const auto whole_disk = superblocks(fd.get(), 0, size, sector_size);
  std::vector<std::string> found;
  if (!table.description.empty()) found.push_back(table.description);
  std::ranges::copy(whole_disk, std::back_inserter(found));
  std::ranges::copy(table.inside, std::back_inserter(found));

  if (size >= mark_offset + mark_size) {
    if (const auto mark = decode_mark(std::span(first).subspan(mark_offset, mark_size))) {
      const auto who = std::format("installed by Signet {} as {} on {}{}", printable(mark->version), mark->host.empty() ? "?" : printable(mark->host),
                                   date(mark->time), mark->complete ? "" : ", not finished");
      // An install that died before it wrote its table leaves a mark and nothing else.
      const bool still_ours = table.description.empty() ? !mark->complete && whole_disk.empty() : table.id == mark->table;
      if (still_ours) return Content{DiskContent::signet, who};
      return Content{DiskContent::foreign,
                     std::format("{}; changed since then: {}", who, found.empty() ? "its partition table is gone" : join(found, ", "))};
    }
  }
  if (!found.empty()) return Content{DiskContent::foreign, join(found, ", ")};
  if (all_zero(first) && all_zero(last)) return Content{DiskContent::blank, "nothing"};
  return Content{DiskContent::foreign, "data that no signature explains"};
}

}  // namespace signet
