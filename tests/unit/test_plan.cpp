#include <doctest/doctest.h>

#include <algorithm>

#include "base/size.h"
#include "plan/again.h"
#include "plan/plan.h"

using namespace signet;

namespace {

Disk disk(std::string name, std::uint64_t size, DiskContent content = DiskContent::blank) {
  Disk made;
  made.path = "/dev/" + name;
  made.name = std::move(name);
  made.size = size;
  made.transport = "virtio";
  made.content = content;
  made.found = content == DiskContent::blank ? "nothing" : content == DiskContent::signet ? "a Signet system" : "ext4 \"data\"";
  made.device = "253:" + std::to_string(made.name.back() - 'a');
  made.digest = std::string(64, 'd');
  if (content == DiskContent::signet) made.mark = Mark{.version = "0.1.0", .host = "node01", .table = "f00", .complete = true};
  return made;
}

PartitionRule partition(std::string name, SizeRule size, FormatType format = FormatType::none, std::string mount = {},
                        PartitionType type = PartitionType::linux) {
  PartitionRule rule;
  rule.name = std::move(name);
  rule.size = size;
  rule.format = format;
  rule.mount = std::move(mount);
  rule.type = type;
  return rule;
}

constexpr SizeRule rest{SizeRule::Kind::rest, 0};
constexpr SizeRule bytes(std::uint64_t size) { return {SizeRule::Kind::bytes, size}; }

struct Case {
  Profile profile;
  Machine machine;

  Case() {
    DiskRule rule;
    rule.id = "system";
    rule.partitions = {partition("bios", bytes(MiB), FormatType::none, "", PartitionType::bios),
                       partition("swap", bytes(256 * MiB), FormatType::swap), partition("root", rest, FormatType::ext4, "/")};
    profile.disks = {rule};
    machine.disks = {disk("vda", 8 * GiB)};
  }
  DiskRule& rule() { return profile.disks.front(); }
  Result<Plan> plan(std::optional<std::uint64_t> image_size = {}) {
    unsigned number = 0;
    return make_plan(
        {profile, machine, image_size, [&] { return "0000000" + std::to_string(++number) + "-aaaa-4aaa-8aaa-aaaaaaaaaaaa"; }, {"node01"}});
  }
  std::string refusal(std::optional<std::uint64_t> image_size = {}) {
    const auto made = plan(image_size);
    return made ? "none" : made.error().message();
  }
};

}  // namespace

TEST_CASE("partitions lie on whole MiB, one behind the other, within what GPT leaves") {
  Case each;
  const auto plan = each.plan().value();
  const auto& made = plan.disks.front().partitions;
  REQUIRE(made.size() == 3);
  CHECK(made[0].start == MiB);
  CHECK(made[1].start == 2 * MiB);
  CHECK(made[2].start == 258 * MiB);
  CHECK(made[2].start + made[2].size == 8 * GiB - MiB);
  CHECK(made[2].device == "/dev/vda3");
  CHECK(made[0].uuid.empty());
  CHECK(made[2].uuid != made[1].uuid);
  CHECK(plan.boot_loader == BootLoader::grub);
  CHECK(plan.boot_disk == "/dev/vda");
}

TEST_CASE("rest may stand anywhere, percent is of what can be used") {
  Case each;
  each.rule().partitions = {partition("bios", bytes(MiB), FormatType::none, "", PartitionType::bios), partition("root", rest, FormatType::ext4, "/"),
                            partition("home", {SizeRule::Kind::percent, 50}, FormatType::ext4, "/home")};
  const auto made = each.plan().value().disks.front().partitions;
  CHECK(made[2].size == round_down((8 * GiB - 2 * MiB) / 100 * 50, MiB));
  CHECK(made[2].start + made[2].size == 8 * GiB - MiB);
}

TEST_CASE("exactly one disk may match, and the message shows why each does or does not") {
  Case two;
  two.machine.disks = {disk("vda", 8 * GiB), disk("vdb", 9 * GiB)};
  CHECK(two.refusal().contains("2 disks match any disk, but exactly one may"));
  CHECK(two.refusal().contains("/dev/vdb (9 GiB, virtio)"));
  two.rule().match.size = SizeBound{100 * GiB, UINT64_MAX, ">=100GiB"};
  CHECK(two.refusal().contains("no disk matches size = \">=100GiB\""));
  CHECK(two.refusal().contains("/dev/vda (8 GiB, virtio): size 8 GiB is not >=100GiB"));
  two.rule().match.size = SizeBound{9 * GiB, UINT64_MAX, ">=9GiB"};
  CHECK(two.plan()->disks.front().disk.name == "vdb");
  Case none;
  none.machine.disks.clear();
  CHECK(none.refusal().contains("this kernel sees no disk"));
}

TEST_CASE("the wipe rule decides, and says which rule would allow it") {
  enum Holds { empty, begun, begun_nameless, begun_other, begun_keeping, complete, complete_nameless, complete_other, complete_keeping, anything };
  struct Row {
    WipeRule rule;
    std::vector<Holds> allowed;
  };
  const Row rows[] = {
      {WipeRule::blank, {empty, begun, begun_nameless}},
      {WipeRule::signet, {empty, begun, begun_nameless, complete}},
      {WipeRule::signet_any, {empty, begun, begun_nameless, begun_other, complete, complete_nameless, complete_other}},
      {WipeRule::any,
       {empty, begun, begun_nameless, begun_other, begun_keeping, complete, complete_nameless, complete_other, complete_keeping, anything}},
  };
  for (const auto& row : rows) {
    for (const auto holds :
         {empty, begun, begun_nameless, begun_other, begun_keeping, complete, complete_nameless, complete_other, complete_keeping, anything}) {
      Case each;
      each.rule().wipe = row.rule;
      auto one = disk("vda", 8 * GiB, holds == empty ? DiskContent::blank : holds == anything ? DiskContent::foreign : DiskContent::signet);
      if (one.mark) {
        one.mark->complete = holds >= complete;
        one.mark->keeps_data = holds == begun_keeping || holds == complete_keeping;
        one.mark->host = holds == begun_nameless || holds == complete_nameless ? ""
                         : holds == begun_other || holds == complete_other     ? "db01"
                                                                               : "NODE01.";
      }
      each.machine.disks = {one};
      CAPTURE(to_string(row.rule));
      CAPTURE(static_cast<int>(holds));
      CHECK(each.plan().has_value() == std::ranges::contains(row.allowed, holds));
      if (!each.plan()) CHECK(each.refusal().contains("would allow it"));
    }
  }
}

TEST_CASE("a refusal names both hosts, and a node without a name gets no other host's disk") {
  Case each;
  each.rule().wipe = WipeRule::signet;
  each.machine.disks = {disk("vda", 8 * GiB, DiskContent::signet)};
  each.machine.disks.front().mark->host = "database01";
  CHECK(each.refusal().contains(
      "holds a Signet system; this host is node01, and wipe = \"signet\" allows only this host's; wipe = \"signet-any\" would allow it"));
  const auto nameless = [&] { return make_plan({each.profile, each.machine, {}, [] { return std::string(36, '0'); }, {"", ""}}); };
  REQUIRE_FALSE(nameless());
  CHECK(nameless().error().message().contains("this host has no name (set signet.host, or DHCP option 12)"));
  each.machine.disks.front().mark->host = "";
  CHECK(each.refusal().contains("its mark has no host name, and wipe = \"signet\" allows only this host's"));
  // An unfinished install of a node without a name is taken up by a node without a name.
  each.machine.disks.front().mark->complete = false;
  CHECK(nameless());
  CHECK(nameless()->host().empty());
}

TEST_CASE("a disk that cannot be read is not planned for, even if anything may be wiped") {
  Case each;
  each.rule().wipe = WipeRule::any;
  each.machine.disks.front().digest.clear();
  each.machine.disks.front().found = "unreadable: read at 0: Input/output error";
  CHECK(each.refusal().contains("cannot be used: unreadable: read at 0: Input/output error"));
}

TEST_CASE("two paths to one disk are told from two disks") {
  Case each;
  each.machine.disks = {disk("sda", 8 * GiB), disk("sdb", 8 * GiB)};
  for (auto& one : each.machine.disks) one.wwn = "naa.5000c500deadbeef";
  CHECK(each.refusal().contains("/dev/sda (8 GiB, virtio): holds nothing; the same WWN as /dev/sdb, so they are two paths to one disk"));
  each.rule().match.path = "/dev/sda";
  CHECK(each.plan());
  each.machine.disks[1].in_use = "sdb1 is mounted on /";
  CHECK(each.refusal().contains("is also /dev/sdb, which is in use: sdb1 is mounted on /"));
}

TEST_CASE("a disk in use or read-only is never written, whatever the wipe rule says") {
  Case each;
  each.rule().wipe = WipeRule::any;
  each.machine.disks.front().in_use = "vda1 is mounted on /";
  CHECK(each.refusal().contains("is in use: vda1 is mounted on /"));
  each.machine.disks.front().in_use.clear();
  each.machine.disks.front().read_only = true;
  CHECK(each.refusal().contains("is read-only"));
}

TEST_CASE("what does not fit is refused with what is missing") {
  Case each;
  each.machine.disks = {disk("vda", 200 * MiB)};
  CHECK(each.refusal().contains("is too small: its partitions need 257 MiB, but 198 MiB can be used, 59 MiB are missing"));
  CHECK(each.plan().error().kind() == ErrorKind::no_space);
  Case tiny;
  tiny.rule().partitions[2].size = bytes(MiB);
  CHECK(tiny.refusal().contains("partition `root` would get 1 MiB, but needs at least 8 MiB"));
  Case image;
  CHECK(image.refusal(9 * GiB).contains("the image is 9 GiB as stored, but the target's file systems have 7.74 GiB in all"));
  Case mbr;
  mbr.rule().table = TableType::mbr;
  for (const char* name : {"a", "b", "c"}) mbr.rule().partitions.push_back(partition(name, bytes(MiB)));
  CHECK(mbr.refusal().contains("an MBR table has room for 4 partitions, not 6"));
}

TEST_CASE("sizes past every disk do not wrap around") {
  for (const auto size : {UINT64_MAX, UINT64_MAX / 2 + 1, std::uint64_t{1} << 63}) {
    Case each;
    each.rule().partitions = {partition("root", bytes(size), FormatType::ext4, "/"), partition("more", bytes(size))};
    CAPTURE(size);
    CHECK(each.refusal().contains("is too small: its partitions need"));
  }
}

TEST_CASE("a partition that its format cannot fill is refused before anything is written") {
  Case each;
  each.machine.disks = {disk("vda", 40'000 * GiB)};
  each.rule().partitions[2].format = FormatType::ext3;
  INFO(each.refusal());
  CHECK(each.refusal().contains("partition `root` would get 39 TiB, but ext3 can use at most 15.9 TiB"));
  CHECK(each.plan().error().kind() == ErrorKind::refused);
  each.rule().partitions[2].format = FormatType::ext4;
  CHECK(each.plan());
  each.rule().partitions.push_back(partition("dos", bytes(3 * 1024 * GiB), FormatType::vfat, "/dos"));
  CHECK(each.refusal().contains("vfat can use at most 1.99 TiB"));
  each.machine.disks.front().sector_size = 4096;
  each.profile.configure.boot_loader = BootLoader::none;
  CHECK(each.plan());
}

TEST_CASE("an MBR disk is used as far as 32 bits of sectors reach") {
  Case each;
  each.machine.disks = {disk("sda", 5000 * GiB)};
  each.rule().table = TableType::mbr;
  each.rule().partitions = {partition("root", rest, FormatType::ext4, "/")};
  const auto plan = each.plan().value();
  const auto& root = plan.disks.front().partitions.front();
  CHECK(root.start + root.size == 2048 * GiB);
  CHECK(plan.disks.front().table_uuid == "0x00000001");
  CHECK(plan.boot_disk == "/dev/sda");
}

TEST_CASE("GPT leaves room for its backup on disks of any sector size") {
  for (const std::uint32_t sector : {512U, 4096U}) {
    Case each;
    each.profile.configure.boot_loader = BootLoader::none;
    auto& one = each.machine.disks.front();
    one.sector_size = sector;
    for (const std::uint64_t spare : {std::uint64_t{0}, std::uint64_t{16 * KiB}, 16 * KiB + sector, std::uint64_t{MiB - sector}}) {
      one.size = 8 * GiB + spare;
      const auto plan = each.plan().value();
      const auto& last = plan.disks.front().partitions.back();
      CAPTURE(spare);
      CHECK(last.start + last.size + 16 * KiB + sector <= one.size);
      CHECK(last.start + last.size + 2 * MiB > one.size);
      CHECK(last.start % MiB == 0);
      CHECK(last.size % MiB == 0);
    }
  }
}

TEST_CASE("what flags can say wrongly is refused as a profile's mistakes are") {
  Case twice;
  twice.rule().partitions.push_back(partition("data", rest, FormatType::ext4, "/data"));
  CHECK(twice.refusal().contains("2 partitions have the size \"rest\"; only one can"));
  Case names;
  names.rule().partitions[1].name = "root";
  CHECK(names.refusal().contains("two partitions are called `root`"));
  Case mounts;
  mounts.rule().partitions.push_back(partition("other", bytes(64 * MiB), FormatType::ext4, "/"));
  CHECK(mounts.refusal().contains("partitions `root` and `other` both mount `/`"));
  Case homeless;
  homeless.rule().partitions[2].mount = "/srv";
  CHECK(homeless.refusal().contains("no partition has mount = \"/\""));
  Case none;
  none.profile.disks.clear();
  CHECK(none.refusal().contains("the profile has no [[disk]]"));
  Case many;
  for (int i = 0; i < 126; ++i) many.rule().partitions.push_back(partition("p" + std::to_string(i), bytes(MiB)));
  CHECK(many.refusal().contains("a GPT has room for 128 partitions, not 129"));
}

TEST_CASE("of two disks that match, the message says how to mean each") {
  Case each;
  each.machine.disks = {disk("sda", 8 * GiB), disk("sdb", 8 * GiB), disk("sdc", 8 * GiB)};
  each.machine.disks[0].serial = "S1";
  each.machine.disks[1].serial = "S2";
  each.machine.disks[1].wwn = "naa.5000c5001234";
  each.machine.disks[2].serial = "s2";
  const auto text = each.refusal();
  CHECK(text.contains("/dev/sda (8 GiB, virtio, serial S1): holds nothing; to mean this one, add serial = \"S1\" to its match"));
  CHECK(text.contains("/dev/sdb (8 GiB, virtio, serial S2): holds nothing; to mean this one, add wwn = \"naa.5000c5001234\" to its match"));
  CHECK(text.contains("/dev/sdc (8 GiB, virtio, serial s2): holds nothing; to mean this one, add path = \"/dev/sdc\" to its match"));
  each.rule().match.serial = "S1";
  CHECK(each.plan()->disks.front().disk.path == "/dev/sda");
}

TEST_CASE("every property of a disk can be matched") {
  Disk one = disk("nvme0n1", 20 * GiB);
  one.model = "FAST Disk 9000";
  one.serial = "X-17";
  one.wwn = "eui.0025385b";
  one.transport = "nvme";
  one.index = 2;
  struct Row {
    const char* match;
    const char* refusal;  // empty: it matches
  };
  for (const auto& [match, refusal] : {
           Row{"path=/dev/nvme*", ""},
           Row{"path=/dev/NVME*", "path \"/dev/nvme0n1\" is not \"/dev/NVME*\""},
           Row{"model=fast*", ""},
           Row{"model=slow*", "model \"FAST Disk 9000\" is not \"slow*\""},
           Row{"serial=x-1[0-9]", ""},
           Row{"wwn=EUI.*", ""},
           Row{"transport=sata", "transport \"nvme\" is not \"sata\""},
           Row{"rotational=false", ""},
           Row{"rotational=true", "it does not rotate"},
           Row{"index=2", ""},
           Row{"index=0", "index 2 is not 0"},
           Row{"size=20GiB,model=fast*", ""},
           Row{"size=<20GiB,model=slow*", "model \"FAST Disk 9000\" is not \"slow*\", size 20 GiB is not <20GiB"},
       }) {
    Case each;
    each.machine.disks = {one};
    each.rule().match = parse_match_flag(match).value();
    CAPTURE(match);
    if (*refusal)
      CHECK(each.refusal().contains(std::string("/dev/nvme0n1 (20 GiB, nvme, FAST Disk 9000, serial X-17): ") + refusal));
    else
      CHECK(each.plan()->disks.front().partitions.front().device == "/dev/nvme0n1p1");
  }
}

TEST_CASE("two rules may not take one disk") {
  Case each;
  auto second = each.rule();
  second.id = "data";
  second.partitions = {partition("data", rest, FormatType::ext4, "/data")};
  each.profile.disks.push_back(second);
  CHECK(each.refusal().contains("disks `system` and `data` are both /dev/vda (8 GiB, virtio)"));
}

TEST_CASE("a plan is a table that fits on a console") {
  Case each;
  each.rule().partitions.push_back(
      partition("a name of thirty-six characters, ßo", bytes(64 * MiB), FormatType::vfat, "/boot/efi", PartitionType::esp));
  each.profile.image.source = "http://user:secret@server/images/debian.tar.zst";
  CHECK(each.plan(5 * MiB)->text() ==
        "system: /dev/vda (8 GiB, virtio)\n"
        "  holds nothing; gets a new gpt table\n"
        "   #  name                   size  type   format  mount\n"
        "   1  bios                  1 MiB  bios   -       -\n"
        "   2  swap                256 MiB  linux  swap    -\n"
        "   3  root               7.68 GiB  linux  ext4    /\n"
        "   4  a name of thirty-six characters, ßo     64 MiB  esp    vfat    /boot/efi\n"
        "image: http://server/images/debian.tar.zst, 5 MiB\n"
        "boot loader: GRUB for BIOS on /dev/vda");
}

TEST_CASE("several reasons are told at once") {
  Case each;
  each.rule().wipe = WipeRule::blank;
  each.machine.disks = {disk("vda", 8 * GiB, DiskContent::foreign)};
  DiskRule second;
  second.id = "data";
  second.match.model = "FAST*";
  second.partitions = {partition("data", rest, FormatType::ext4, "/data")};
  each.profile.disks.push_back(second);
  each.rule().partitions[1].size = bytes(9 * GiB);
  const auto text = each.refusal();
  CHECK(text.contains("disk `system`: /dev/vda (8 GiB, virtio) holds ext4 \"data\"; wipe = \"blank\" allows only empty disks"));
  CHECK(text.contains("disk `system`: /dev/vda (8 GiB, virtio) is too small"));
  CHECK(text.contains("disk `data`: no disk matches model = \"FAST*\""));
}

TEST_CASE("without a way to start, nothing is installed") {
  Case each;
  each.rule().partitions.erase(each.rule().partitions.begin());
  CHECK(each.refusal().contains("GRUB needs a partition of type \"bios\""));
  each.profile.configure.boot_loader = BootLoader::none;
  CHECK(each.plan()->boot_loader == BootLoader::none);
  Case efi;
  efi.machine.efi = true;
  CHECK(efi.refusal().contains("UEFI starts a system from a mounted partition of type \"esp\""));
  efi.rule().partitions.push_back(partition("esp", bytes(64 * MiB), FormatType::vfat, "/boot/efi", PartitionType::esp));
  CHECK(efi.plan()->firmware == Firmware::efi);
  CHECK(efi.plan()->text().contains("GRUB for UEFI"));
}

TEST_CASE("an EFI system partition that the image is unpacked onto is refused") {
  for (const char* place : {"/boot", "/"}) {
    Case each;
    each.machine.efi = true;
    auto& partitions = each.rule().partitions;
    if (place == std::string("/")) partitions.pop_back();
    partitions.insert(partitions.begin() + 1, partition("esp", bytes(512 * MiB), FormatType::vfat, place, PartitionType::esp));
    CHECK(each.refusal().contains("would start an install that is not finished"));
  }
}

TEST_CASE("a BIOS does not start from a disk with sectors of 4096 bytes, and UEFI does") {
  Case each;
  each.machine.disks.front().sector_size = 4096;
  CHECK(each.refusal().contains("a BIOS does not start from a disk with sectors of 4096 bytes"));
  each.machine.efi = true;
  each.rule().partitions.push_back(partition("esp", bytes(512 * MiB), FormatType::vfat, "/boot/efi", PartitionType::esp));
  CHECK(each.plan());
}

TEST_CASE("a plan survives being saved") {
  Case each;
  each.rule().partitions.push_back(partition("esp", bytes(64 * MiB), FormatType::vfat, "/boot/efi", PartitionType::esp));
  each.machine.disks.push_back(disk("vdb", 1 * GiB, DiskContent::foreign));
  each.rule().match.path = "/dev/vda";
  auto plan = each.plan(5 * MiB).value();
  CHECK(plan.disks.front().partitions[3].uuid.size() == 9);
  const auto text = to_json(plan);
  const auto back = plan_from_json(text);
  REQUIRE(back);
  CHECK(to_json(*back) == text);
  REQUIRE(back->mounts().size() == 2);
  CHECK(back->mounts()[0]->mount == "/");
  CHECK(back->mounts()[0]->device == "/dev/vda3");
  CHECK(back->image_size == 5 * MiB);
  CHECK(back->host() == "node01");
  CHECK(what_changed(plan.disks.front().disk, back->disks.front().disk).empty());
  CHECK(back->unused == std::vector<std::string>{"/dev/vdb (1 GiB, virtio): holds ext4 \"data\""});
}

TEST_CASE("a saved plan with a fault is not used, and the message has its place") {
  Case each;
  const auto good = to_json(each.plan(5 * MiB).value());
  struct Row {
    const char *from, *to, *message;
  };
  for (const auto& [from, to, message] : {
           Row{"{", "[", "it is not a JSON object"},
           Row{"\"version\": 1", "\"version\": 2", "it has version 2, this agent reads version 1"},
           Row{"\"version\": 1,", "", "version: is missing"},
           Row{"\"format\": \"ext4\"", "\"format\": \"ext5\"",
               "disks[0].partitions[2].format: must be none, ext2, ext3, ext4, vfat or swap, not `ext5`"},
           Row{"\"type\": \"bios\"", "\"type\": 7", "disks[0].partitions[0].type: must be a string"},
           Row{"\"table\": \"gpt\"", "\"table\": \"bsd\"", "disks[0].table: must be gpt or mbr, not `bsd`"},
           Row{"\"is_file\": false", "\"is_file\": \"no\"", "disks[0].is_file: must be true or false"},
           Row{"\"serial\": \"\",", "", "disks[0].serial: is missing"},
           Row{"\"sector_size\": 512", "\"sector_size\": -512", "disks[0].sector_size: must be a whole number from 512 to 65536"},
           Row{"\"digest\": \"dd", "\"digest\": \"xx", "disks[0].digest: "},
           Row{"\"number\": 2", "\"number\": 1", "disks[0].partitions[1].number: partitions must be in order"},
           Row{"\"start\": 2097152", "\"start\": 1048576", "disks[0].partitions[1].start: it overlaps the partition before"},
           Row{"\"size\": 8589934592", "\"size\": 85899345", "disks[0].partitions[1].size: must be a whole number from 1 to"},
           Row{"\"mount\": \"/\"", "\"mount\": \"/../etc\"", "disks[0].partitions[2].mount: "},
           Row{"\"unused\": []", "\"unused\": [], \"extra\": 1", "extra: is not known"},
           Row{"\"unused\": []", "\"unused\": {}", "unused: must be an array of strings"},
           Row{"\"boot_disk\": \"/dev/vda\"", "\"boot_disk\": \"/dev/vdb\"", "boot_disk: it is none of the plan's disks"},
           Row{"\"firmware\": \"bios\"", "\"firmware\": \"bios\", \"firmware\": \"efi\"", "it is not a JSON object"},
       }) {
    auto text = good;
    const auto at = text.find(from);
    CAPTURE(from);
    REQUIRE(at != std::string::npos);
    text.replace(at, std::string_view(from).size(), to);
    const auto read = plan_from_json(text);
    REQUIRE_FALSE(read);
    CAPTURE(read.error().message());
    CHECK(read.error().message().contains(message));
  }
  CHECK_FALSE(plan_from_json("{"));
  CHECK_FALSE(plan_from_json(""));
}

TEST_CASE("what has changed about a disk since it was planned is named") {
  const auto planned = disk("vda", 8 * GiB);
  CHECK(what_changed(planned, planned).empty());
  auto now = planned;
  now.serial = "S2";
  CHECK(what_changed(planned, now) == "its serial number was none and is \"S2\" now");
  now = planned;
  now.found = "ext4 \"precious\"";
  CHECK(what_changed(planned, now) == "it held nothing and holds ext4 \"precious\" now");
  now = planned;
  now.digest[0] = 'e';
  CHECK(what_changed(planned, now) == "its first or last MiB has changed");
  now = planned;
  now.device = "253:16";
  now.size = 9 * GiB;
  now.sector_size = 4096;
  now.wwn = "naa.5";
  CHECK(
      what_changed(planned, now) ==
      "it is another device now (number 253:16, planned 253:0); its size was 8GiB and is 9GiB now; its sectors had 512 bytes and have 4096 now; its "
      "WWN was none and is \"naa.5\" now");
}

TEST_CASE("partition devices are named as the kernel names them") {
  CHECK(partition_device("/dev/sda", 1) == "/dev/sda1");
  CHECK(partition_device("/dev/nvme0n1", 2) == "/dev/nvme0n1p2");
  CHECK(partition_device("/dev/mmcblk0", 3) == "/dev/mmcblk0p3");
}
