// 500 generated machines whose disks change between the plan and the first write: what is written is the disk that was planned, with what was judged
// on it, or nothing. The disks here are truth; the planner sees of them only what a kernel shows.
#include <doctest/doctest.h>

#include <algorithm>
#include <array>
#include <format>
#include <random>

#include "base/size.h"
#include "plan/again.h"

using namespace signet;

namespace {

// One disk as it is, whatever name it has at the moment.
struct Truth {
  int identity = 0;
  std::uint64_t content = 0;  // of what the wipe rule judges: equal numbers are equal bytes
  Disk seen;                  // what a scan shows: path and device are filled in by show()
};

struct World {
  std::mt19937_64 random;
  std::vector<Truth> disks;  // by their place: sda, sdb, …

  explicit World(std::uint64_t seed) : random(seed) {}
  std::uint64_t below(std::uint64_t end) { return random() % end; }
  bool chance(unsigned percent) { return below(100) < percent; }

  void fill(Truth& disk) {
    auto& seen = disk.seen;
    seen.mark.reset();
    // Empty disks are equal byte for byte, all others are not.
    disk.content = random() | 1;
    switch (below(7)) {
      case 0:
      case 1:
      case 2:
        seen.content = DiskContent::blank;
        seen.found = "nothing";
        disk.content = 0;
        break;
      case 3:
        seen.content = DiskContent::foreign;
        seen.found = "ext4 \"data\"";
        break;
      default: {
        constexpr const char* hosts[] = {"node01", "node01", "NODE01", "database01", ""};
        const Mark mark{.version = "0.1.0",
                        .host = hosts[below(5)],
                        .table = std::format("{:08x}", below(1 << 30)),
                        .complete = chance(50),
                        .keeps_data = chance(15)};
        seen.content = DiskContent::signet;
        seen.mark = mark;
        seen.found = std::format("a Signet system of {}", mark.host);
      }
    }
    seen.digest = std::format("{:064x}", disk.content);
  }

  Truth make() {
    Truth disk;
    disk.identity = static_cast<int>(random() >> 33);
    auto& seen = disk.seen;
    constexpr std::uint64_t sizes[] = {8 * GiB, 8 * GiB, 8 * GiB, 20 * GiB};
    seen.size = sizes[below(4)];
    seen.model = chance(70) ? "EQUAL" : "OTHER";
    seen.serial = chance(70) ? std::format("S{}", below(1 << 20)) : "";
    seen.wwn = chance(50) ? std::format("naa.{:016x}", random()) : "";
    seen.transport = chance(60) ? "sata" : "nvme";
    if (chance(5)) seen.in_use = "part 1 is mounted on /srv";
    if (chance(5)) seen.read_only = true;
    fill(disk);
    return disk;
  }

  Machine show() {
    Machine machine;
    for (std::size_t i = 0; i < disks.size(); ++i) {
      auto& seen = machine.disks.emplace_back(disks[i].seen);
      seen.name = std::string("sd") + static_cast<char>('a' + i);
      seen.path = "/dev/" + seen.name;
      seen.device = std::format("8:{}", 16 * i);
      seen.index = static_cast<unsigned>(i);
    }
    return machine;
  }

  DiskMatch match() {
    DiskMatch match;
    switch (below(6)) {
      case 0: break;
      case 1: match.path = std::string("/dev/sd") + static_cast<char>('a' + below(disks.size())); break;
      case 2: match.index = static_cast<unsigned>(below(disks.size())); break;
      case 3: match.model = "EQUAL"; break;
      case 4: match.transport = "sata"; break;
      default: match.size = SizeBound{8 * GiB, 8 * GiB, "8GiB"}; match.serial = "S*";
    }
    return match;
  }

  // Anything that a hook, a person or a cable can do.
  void interfere() {
    switch (below(9)) {
      case 0: std::ranges::shuffle(disks, random); break;
      case 1: disks.insert(disks.begin() + static_cast<long>(below(disks.size() + 1)), make()); break;
      case 2: disks.erase(disks.begin() + static_cast<long>(below(disks.size()))); break;
      case 3: disks[below(disks.size())] = make(); break;
      case 4: fill(disks[below(disks.size())]); break;
      case 5: {  // a disk of the same kind in the place of another
        auto& disk = disks[below(disks.size())];
        const auto before = disk.seen;
        disk = make();
        disk.seen.size = before.size;
        disk.seen.model = before.model;
        if (chance(50)) disk.seen.serial = before.serial, disk.seen.wwn = before.wwn;
        break;
      }
      case 6: disks[below(disks.size())].seen.sector_size = 4096; break;
      case 7: disks[below(disks.size())].seen.in_use = "a hook has mounted it"; break;
      case 8: break;
    }
  }
};

// The wipe rule, said a second time and otherwise (docs/profile.md).
bool may_be_wiped(WipeRule rule, const Disk& disk) {
  if (!disk.in_use.empty() || disk.read_only) return false;
  if (rule == WipeRule::any || disk.content == DiskContent::blank) return true;
  if (disk.content == DiskContent::foreign || disk.mark->keeps_data) return false;
  if (rule == WipeRule::signet_any) return true;
  const bool mine = disk.mark->host == "node01" || disk.mark->host == "NODE01";
  if (!disk.mark->complete) return mine || disk.mark->host.empty();
  return rule == WipeRule::signet && mine;
}

}  // namespace

TEST_CASE("of 500 generated machines none has another disk written than the one that was planned") {
  std::size_t planned = 0, refused_plans = 0, refused_later = 0, written = 0;
  for (std::uint64_t seed = 1; seed <= 500; ++seed) {
    CAPTURE(seed);
    World world(seed);
    for (std::uint64_t left = 1 + world.below(4); left > 0; --left) world.disks.push_back(world.make());

    Profile profile;
    DiskRule rule;
    rule.id = "system";
    rule.match = world.match();
    rule.wipe = std::array{WipeRule::blank, WipeRule::signet, WipeRule::signet_any, WipeRule::any}[world.below(4)];
    PartitionRule root;
    root.name = "root";
    root.size = {SizeRule::Kind::rest, 0};
    root.format = FormatType::ext4;
    root.mount = "/";
    rule.partitions = {root};
    profile.disks = {rule};
    profile.configure.boot_loader = BootLoader::none;

    const auto machine = world.show();
    const auto plan = make_plan({profile, machine, {}, [] { return std::string("00000000-0000-4000-8000-000000000000"); }, {"node01"}});
    if (!plan) {
      ++refused_plans;
      continue;
    }
    ++planned;
    // The plan goes through its file, as between two verbs.
    const auto saved = plan_from_json(to_json(*plan));
    REQUIRE(saved);
    const auto place = saved->disks.front().disk.path.back() - 'a';
    const Truth before = world.disks[static_cast<std::size_t>(place)];
    CHECK(may_be_wiped(rule.wipe, machine.disks[static_cast<std::size_t>(place)]));
    CHECK(check_again(*saved, profile, machine));

    for (std::uint64_t left = 1 + world.below(2); left > 0 && !world.disks.empty(); --left) world.interfere();
    const auto now = world.show();
    if (!check_again(*saved, profile, now)) {
      ++refused_later;
      continue;
    }
    // partition_disk() would now open the planned path and write what is there.
    ++written;
    REQUIRE(static_cast<std::size_t>(place) < world.disks.size());
    const Truth& target = world.disks[static_cast<std::size_t>(place)];
    CHECK(may_be_wiped(rule.wipe, target.seen));
    // Another disk only if no kernel could tell it from the one that was planned, down to the bytes that were judged.
    const bool same = target.identity == before.identity || (target.seen.serial == before.seen.serial && target.seen.wwn == before.seen.wwn &&
                                                             target.seen.size == before.seen.size && target.content == before.content);
    CHECK(same);
    CHECK(target.content == before.content);
  }
  CHECK(planned >= 150);
  CHECK(refused_later >= 50);
  CHECK(written >= 30);
  MESSAGE("planned ", planned, ", refused at once ", refused_plans, ", refused before the first write ", refused_later, ", written ", written);
}
