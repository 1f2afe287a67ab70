#include "machine/content.h"

#include <blkid/blkid.h>
#include <fcntl.h>

#include <algorithm>
#include <cstddef>
#include <cstring>
#include <format>
#include <memory>
#include <set>
#include <span>

#include "base/fd.h"
#include "base/sha256.h"
#include "base/size.h"
#include "base/text.h"
#include "machine/boot_code.h"
#include "machine/mark.h"

namespace signet {
namespace {

using Probe = std::unique_ptr<blkid_struct_probe, decltype(&blkid_free_probe)>;

std::string value(blkid_probe probe, const char* name) {
  const char* data = nullptr;
  return blkid_probe_lookup_value(probe, name, &data, nullptr) == 0 && data ? printable(data) : std::string();
}

Result<Probe> make_probe(int fd, std::uint64_t offset, std::uint64_t size, std::uint32_t sector_size) {
  Probe probe(blkid_new_probe(), blkid_free_probe);
  if (!probe || blkid_probe_set_device(probe.get(), fd, static_cast<blkid_loff_t>(offset), static_cast<blkid_loff_t>(size)) != 0)
    return fail(ErrorKind::io, "look for signatures at {}: libblkid cannot open it", format_size(offset));
  blkid_probe_set_sectorsize(probe.get(), sector_size);
  return probe;
}

// blkid_do_probe(): 0 something, 1 nothing, less an error.
Result<bool> found_something(blkid_probe probe, std::uint64_t offset) {
  const int code = blkid_do_probe(probe);
  if (code < 0) return fail(ErrorKind::io, "look for signatures at {}: libblkid cannot read it", format_size(offset));
  return code == 0;
}

// Every superblock that libblkid finds in a range: more than one where a later format left an older one standing.
Result<std::vector<std::string>> superblocks(int fd, std::uint64_t offset, std::uint64_t size, std::uint32_t sector_size) {
  std::vector<std::string> found;
  const auto probe = TRY(make_probe(fd, offset, size, sector_size));
  blkid_probe_enable_superblocks(probe.get(), 1);
  blkid_probe_set_superblocks_flags(probe.get(), BLKID_SUBLKS_TYPE | BLKID_SUBLKS_LABEL | BLKID_SUBLKS_BADCSUM);
  while (found.size() < 8 && TRY(found_something(probe.get(), offset))) {
    const auto type = value(probe.get(), "TYPE");
    const auto label = value(probe.get(), "LABEL");
    if (!type.empty()) found.push_back(label.empty() ? type : std::format("{} \"{}\"", type, label));
  }
  return found;
}

Result<> find_table(int fd, std::uint64_t size, std::uint32_t sector_size, Findings& findings) {
  const auto probe = TRY(make_probe(fd, 0, size, sector_size));
  blkid_probe_enable_partitions(probe.get(), 1);
  blkid_probe_set_partitions_flags(probe.get(), BLKID_PARTS_FORCE_GPT);
  if (!TRY(found_something(probe.get(), 0))) return {};
  blkid_partlist list = blkid_probe_get_partitions(probe.get());
  blkid_parttable table = list ? blkid_partlist_get_table(list) : nullptr;
  // A protective MBR without a GPT, as a wipe that was cut may leave it, has no table of its own.
  if (!table) return {};
  const int count = blkid_partlist_numof_partitions(list);
  // Our first sector without partition entries is no table either.
  if (findings.closed && count == 0 && std::string_view(blkid_parttable_get_type(table)) == "dos") return {};
  constexpr int shown = 8;
  for (int i = 0; i < std::min(count, shown); ++i) {
    blkid_partition part = blkid_partlist_get_partition(list, i);
    const auto offset = static_cast<std::uint64_t>(blkid_partition_get_start(part)) * 512;
    const auto length = static_cast<std::uint64_t>(blkid_partition_get_size(part)) * 512;
    if (offset >= size || length == 0) continue;
    const auto in = TRY(superblocks(fd, offset, std::min(length, size - offset), sector_size));
    if (!in.empty()) findings.inside.push_back(std::format("{}: {}", blkid_partition_get_partno(part), join(in, " + ")));
  }
  findings.table = std::format("{} table with {} partition{}", blkid_parttable_get_type(table), count, count == 1 ? "" : "s");
  if (const char* id = blkid_parttable_get_id(table)) findings.table_id = to_lower(id);
  return {};
}

bool all_zero(std::span<const std::byte> bytes) {
  // Each byte equals the one before it, and the first is zero.
  return bytes.empty() || (bytes[0] == std::byte{0} && std::memcmp(bytes.data(), bytes.data() + 1, bytes.size() - 1) == 0);
}

constexpr std::size_t block = 4096;

// Blocks of 4 KiB where a disk that was in use is likely not zero, sorted. A file system begins at the disk's start or at a partition's, which lies
// at 63 sectors, 1 MiB or 4 MiB mostly; there, and behind it: ext's backups in groups 1, 3, 5, 7, 9, 25, 27 and 49 of 128 MiB (and group 1 of 8 MiB
// with blocks of 1 KiB), btrfs's mirrors at 64 MiB and 256 GiB, XFS's second allocation group at a quarter of the disk, VMFS at 1 MiB, and 32 places
// in even steps.
std::set<std::uint64_t> places(std::uint64_t size) {
  std::set<std::uint64_t> found;
  const auto add = [&](std::uint64_t at) {
    at = round_down(at, block);
    if (at >= MiB && size > 2 * MiB && at < size - MiB) found.insert(at);
  };
  for (const std::uint64_t start : {std::uint64_t{0}, std::uint64_t{63 * 512}, 1 * MiB, 2 * MiB, 4 * MiB}) {
    for (const std::uint64_t behind : {std::uint64_t{0}, std::uint64_t{4096}, 64 * KiB, 1 * MiB, 8 * MiB + 1 * KiB, 64 * MiB, 256 * GiB})
      add(start + behind);
    for (const std::uint64_t group : {1UL, 3UL, 5UL, 7UL, 9UL, 25UL, 27UL, 49UL}) add(start + group * 128 * MiB);
  }
  constexpr std::uint64_t steps = 32;
  for (std::uint64_t step = 1; step < steps; ++step) add(size / steps * step);
  return found;
}

// Where the disk is not zero; empty if it is wherever we look.
Result<std::string> find_data(int fd, std::uint64_t size, std::span<const std::byte> first, std::span<const std::byte> last, bool closed) {
  constexpr auto text = [](std::uint64_t at) { return std::format("data at {} that no signature explains", format_size(at)); };
  // Of our own first sector only what lies between code and 0x55 0xAA may say anything.
  if (closed ? !all_zero(first.subspan(boot_code_size, 510 - boot_code_size)) || !all_zero(first.subspan(512)) : !all_zero(first)) return text(0);
  if (!all_zero(last)) return text(size - last.size());
  const auto where = places(size);
  // Asked for in advance, a spinning disk reads them in one sweep.
  for (const auto at : where) ::posix_fadvise(fd, static_cast<off_t>(at), block, POSIX_FADV_WILLNEED);
  std::vector<std::byte> bytes(block);
  for (const auto at : where) {
    const auto got = TRY(read_full_at(fd, bytes, at));
    if (!all_zero(std::span(bytes).first(got))) return text(at);
  }
  return std::string();
}

}  // namespace

Result<DiskState> read_content(int fd, std::uint64_t size, std::uint32_t sector_size) {
  const auto edge = static_cast<std::size_t>(std::min<std::uint64_t>(size, MiB));
  if (edge < 512) return fail(ErrorKind::io, "{} are not a disk", format_size(size));
  const auto buffer = std::make_unique_for_overwrite<std::byte[]>(2 * edge);
  const std::span first(buffer.get(), edge), last(buffer.get() + edge, edge);
  if (TRY(read_full_at(fd, first, 0)) < edge || TRY(read_full_at(fd, last, size - edge)) < edge)
    return fail(ErrorKind::io, "it ends before {}", format_size(size));

  Findings findings;
  findings.closed = is_closed(first);
  if (size >= mark_offset + mark_size) findings.mark = decode_mark(first.subspan(mark_offset, mark_size));
  // Closed, a BIOS has never started it. What UEFI sees would have to be mounted; whole as it is, it is not given up.
  if (findings.mark && findings.mark->opening != Opening::no) findings.mark->complete = findings.mark->opening == Opening::efi || !findings.closed;
  TRY(find_table(fd, size, sector_size, findings));
  findings.superblocks = TRY(superblocks(fd, 0, size, sector_size));
  if (!findings.mark && findings.table.empty() && findings.superblocks.empty())
    findings.data = TRY(find_data(fd, size, first, last, findings.closed));

  DiskState state{judge(findings), findings.closed, findings.table_id, {}};
  Sha256 digest;
  digest.update(first);
  digest.update(last);
  digest.update(std::as_bytes(std::span(state.content.description)));
  state.digest = digest.finish();
  return state;
}

}  // namespace signet
