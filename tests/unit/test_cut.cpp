// An install that is cut while it partitions: every state that the writes and syncs of partition_disk() can leave is a disk that no BIOS hangs on,
// that no firmware starts half of, and that the same wipe rule lets be installed again.
#include <doctest/doctest.h>
#include <fcntl.h>
#include <stdlib.h>
#include <unistd.h>

#include <algorithm>
#include <filesystem>
#include <span>

#include "base/fd.h"
#include "base/size.h"
#include "disk/disk.h"
#include "disk/first_sector.h"
#include "plan/wipe.h"
#include "record_writes.h"

using namespace signet;

namespace {

constexpr std::uint64_t disk_size = 6 * MiB;
const std::vector<std::string> this_host = {"node01"};

bool closed(std::string_view sector) { return is_closed(std::as_bytes(std::span(sector))); }

struct Scratch {
  std::string directory, path;
  Scratch() {
    char name[] = "/tmp/signet-test-XXXXXX";
    directory = ::mkdtemp(name);
    path = directory + "/disk.img";
  }
  ~Scratch() { std::filesystem::remove_all(directory); }

  void put(const DiskImage& image) const {
    const Fd fd(open_file(path, O_RDWR | O_CREAT | O_TRUNC).value());
    REQUIRE(::ftruncate(fd.get(), disk_size) == 0);
    // Holes stay holes.
    constexpr std::size_t block = 64 * KiB;
    for (std::size_t at = 0; at < image.size(); at += block) {
      const auto part = std::string_view(image).substr(at, block);
      static const std::string zeros(block, '\0');
      if (part != std::string_view(zeros).substr(0, part.size())) REQUIRE(write_all_at(fd.get(), std::as_bytes(std::span(part)), at));
    }
  }
  DiskImage get() const {
    DiskImage image(disk_size, '\0');
    const Fd fd(open_file(path, O_RDONLY).value());
    REQUIRE(read_full_at(fd.get(), std::as_writable_bytes(std::span(image)), 0).value() == disk_size);
    return image;
  }
};

PlannedDisk planned_for(const std::string& path, TableType table, const char* id) {
  PlannedDisk planned;
  planned.disk = describe_disk(path).value();
  planned.id = "system";
  planned.table = table;
  planned.table_uuid = id;
  for (unsigned number = 1; number <= 2; ++number) {
    PlannedPartition partition;
    partition.number = number;
    partition.name = number == 1 ? "esp" : "root";
    partition.type = number == 1 ? PartitionType::esp : PartitionType::linux;
    partition.start = (number == 1 ? 1 : 2) * MiB;
    partition.size = (number == 1 ? 1 : 3) * MiB;
    partition.mount = number == 1 ? "/boot/efi" : "/";
    partition.device = path;
    partition.in_file = true;
    planned.partitions.push_back(partition);
  }
  return planned;
}

constexpr const char* gpt_ids[] = {"11111111-1111-4111-8111-111111111111", "22222222-2222-4222-8222-222222222222"};
constexpr const char* mbr_ids[] = {"0x11111111", "0x22222222"};

// What a system leaves: boot code, and something at the head of each partition.
void fill(const Scratch& scratch, bool bootable) {
  const Fd fd(open_file(scratch.path, O_RDWR).value());
  for (const auto at : {1 * MiB, 2 * MiB, 2 * MiB - 512, 5 * MiB - 512}) {
    const std::vector<std::byte> system(512, std::byte{0xa5});
    REQUIRE(write_all_at(fd.get(), system, at));
  }
  if (!bootable) return;
  BootCode code;
  code.fill(std::byte{0x90});
  REQUIRE(write_boot_code(fd.get(), code));
}

struct Before {
  const char* name;
  TableType table;
  WipeRule rule;
  bool complete, bootable;
};

// The first and last bytes of both partitions of `image`, which is what a boot loader would go through.
bool system_is_whole(const DiskImage& image) {
  for (const auto at : {1 * MiB, 2 * MiB, 2 * MiB - 512, 5 * MiB - 512})
    if (image[at] != '\xa5' || image[at + 511] != '\xa5') return false;
  return true;
}

// UEFI 2.10 §5.2.3: firmware takes a GPT behind a protective MBR only, the backup if the primary is broken.
bool firmware_sees_gpt(const DiskImage& image) {
  const auto signature = [&](std::size_t at) { return image.compare(at, 8, "EFI PART") == 0; };
  const bool protective = image[450] == '\xee' && image.compare(510, 2, "\x55\xaa") == 0;
  return protective && (signature(512) || signature(disk_size - 512));
}

void judge_state(const Scratch& scratch, const DiskImage& before, const DiskImage& state, WipeRule rule, std::string_view new_id) {
  const bool old_code = before.compare(0, boot_code_size, state, 0, boot_code_size) == 0;
  const bool was_bootable = before[0] != '\0' && !closed(before);
  if (old_code && was_bootable)
    CHECK_MESSAGE(state == before, "boot code over a disk on which something has changed");
  else if (state.compare(510, 2, "\x55\xaa") == 0)
    CHECK_MESSAGE(closed(state), "a first sector that a BIOS would run and hang on");

  scratch.put(state);
  const auto disk = describe_disk(scratch.path);
  REQUIRE(disk);
  INFO(disk->found);
  CHECK(why_not_wiped(rule, *disk, this_host).empty());
  if (firmware_sees_gpt(state) && !disk->table_id.empty() && disk->table_id != new_id)
    CHECK_MESSAGE(system_is_whole(state), "UEFI would start a system that was half wiped");
}

}  // namespace

TEST_CASE("a cut while a disk is partitioned leaves nothing that starts by half, and nothing that is refused") {
  const Before befores[] = {
      {"blank", TableType::gpt, WipeRule::blank, false, false},
      {"blank, MBR", TableType::mbr, WipeRule::blank, false, false},
      {"installed by BIOS, GPT", TableType::gpt, WipeRule::signet, true, true},
      {"installed by UEFI", TableType::gpt, WipeRule::signet, true, false},
      {"installed by BIOS, MBR", TableType::mbr, WipeRule::signet, true, true},
      {"begun, GPT", TableType::gpt, WipeRule::blank, false, false},
      {"begun, MBR", TableType::mbr, WipeRule::blank, false, false},
      {"anything", TableType::gpt, WipeRule::any, false, true},
  };
  std::mt19937_64 random(8);
  Report report;
  std::size_t states = 0;
  for (const auto& before : befores) {
    CAPTURE(before.name);
    for (const auto next : {TableType::gpt, TableType::mbr}) {
      const Scratch scratch;
      scratch.put({});
      const bool gpt = before.table == TableType::gpt;
      const std::string old_id = (gpt ? gpt_ids : mbr_ids)[0];
      if (!std::string_view(before.name).starts_with("blank")) {
        REQUIRE(partition_disk(planned_for(scratch.path, before.table, old_id.c_str()), report, "node01"));
        fill(scratch, before.bootable);
        if (before.complete) REQUIRE(write_mark(scratch.path, {.version = "0.1.0", .host = "node01", .table = old_id, .complete = true}));
        if (before.rule == WipeRule::any) REQUIRE(write_mark(scratch.path, {.version = "0.1.0", .host = "other", .table = "ffff", .complete = true}));
      }
      const auto image = scratch.get();
      const std::string new_id = (next == TableType::gpt ? gpt_ids : mbr_ids)[1];
      const auto planned = planned_for(scratch.path, next, new_id.c_str());
      REQUIRE(why_not_wiped(before.rule, planned.disk, this_host).empty());

      std::vector<RecordedWrite> writes;
      {
        RecordWrites record(scratch.path);
        REQUIRE(partition_disk(planned, report, "node01"));
        writes = record.take();
      }
      const auto syncs = static_cast<std::size_t>(std::ranges::count(writes, true, &RecordedWrite::sync));
      CAPTURE(syncs);
      REQUIRE(syncs >= 5);
      CHECK(after_cut(image, writes, syncs, nullptr) == scratch.get());  // nothing was written past the record, or after the last sync
      const auto plain_id = new_id.starts_with("0x") ? new_id.substr(2) : new_id;
      for (std::size_t at = 0; at <= syncs; ++at) {
        CAPTURE(at);
        judge_state(scratch, image, after_cut(image, writes, at, nullptr), before.rule, plain_id);
        for (int dropped = 0; dropped < 3; ++dropped, ++states)
          judge_state(scratch, image, after_cut(image, writes, at, &random), before.rule, plain_id);
      }
      CHECK(closed(scratch.get()));
    }
  }
  MESSAGE("states with dropped writes: ", states);
}

TEST_CASE("a disk that is not the one that was planned is not written, whatever has happened to its path") {
  const auto write_to_it = [](const Scratch& scratch) {
    const Fd fd(open_file(scratch.path, O_RDWR).value());
    REQUIRE(write_all_at(fd.get(), std::as_bytes(std::span("x", 1)), 100));
  };
  const auto exchange = [](const Scratch& scratch) {  // by another file with the same content
    const auto other = scratch.path + ".other";
    std::filesystem::copy_file(scratch.path, other);
    std::filesystem::rename(other, scratch.path);
  };
  struct Change {
    void (*make)(const Scratch&);
    bool same_disk;  // for later stages, which do not compare what is on it: an install changes that
  };
  const Change changes[] = {
      {write_to_it, true},
      {exchange, false},
      {[](const Scratch& scratch) { std::filesystem::resize_file(scratch.path, disk_size + 1 * MiB); }, false},
      {[](const Scratch& scratch) { std::filesystem::resize_file(scratch.path, disk_size - 1 * MiB); }, false},
  };
  for (const auto& change : changes) {
    const Scratch scratch;
    scratch.put({});
    const auto planned = planned_for(scratch.path, TableType::gpt, gpt_ids[0]);
    change.make(scratch);
    const auto bytes = read_file(scratch.path, 2 * disk_size).value();
    Report report;
    const auto done = partition_disk(planned, report, "node01");
    REQUIRE_FALSE(done);
    CHECK(done.error().kind() == ErrorKind::refused);
    CHECK(done.error().message().contains("is not the disk that was planned"));
    CHECK(read_file(scratch.path, 2 * disk_size).value() == bytes);
    CHECK(open_planned(planned).has_value() == change.same_disk);
  }
}

TEST_CASE("the first write of all closes the disk, and is synced before the second") {
  const Scratch scratch;
  scratch.put({});
  const auto planned = planned_for(scratch.path, TableType::gpt, gpt_ids[0]);
  Report report;
  RecordWrites record(scratch.path);
  REQUIRE(partition_disk(planned, report, "node01"));
  const auto writes = record.take();
  REQUIRE(writes.size() > 4);
  CHECK(writes[0].offset == 0);
  CHECK(closed(writes[0].bytes));
  CHECK(writes[1].sync);
  CHECK(writes[2].offset == mark_offset);
  CHECK(writes[3].sync);
}
