#include <doctest/doctest.h>

#include "base/size.h"
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
  made.found = content == DiskContent::blank ? "nothing" : content == DiskContent::signet ? "installed by Signet" : "ext4 \"data\"";
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
    return make_plan({profile, machine, image_size, [&] { return "0000000" + std::to_string(++number) + "-aaaa-4aaa-8aaa-aaaaaaaaaaaa"; }});
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
  CHECK(none.refusal().contains("no disk that this kernel can see"));
}

TEST_CASE("the wipe rule decides, and says which rule would allow it") {
  struct Row {
    WipeRule rule;
    DiskContent content;
    bool allowed;
  };
  for (const auto& row : {Row{WipeRule::blank, DiskContent::blank, true}, Row{WipeRule::blank, DiskContent::signet, false},
                          Row{WipeRule::blank, DiskContent::foreign, false}, Row{WipeRule::signet, DiskContent::blank, true},
                          Row{WipeRule::signet, DiskContent::signet, true}, Row{WipeRule::signet, DiskContent::foreign, false},
                          Row{WipeRule::any, DiskContent::foreign, true}}) {
    Case each;
    each.rule().wipe = row.rule;
    each.machine.disks = {disk("vda", 8 * GiB, row.content)};
    CAPTURE(to_string(row.rule));
    CAPTURE(static_cast<int>(row.content));
    CHECK(each.plan().has_value() == row.allowed);
    if (!row.allowed) CHECK(each.refusal().contains("would allow it"));
  }
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
  Case image;
  CHECK(image.refusal(9 * GiB).contains("the image is 9 GiB as stored, but the target's file systems have 7.74 GiB in all"));
  Case mbr;
  mbr.rule().table = TableType::mbr;
  for (const char* name : {"a", "b", "c"}) mbr.rule().partitions.push_back(partition(name, bytes(MiB)));
  CHECK(mbr.refusal().contains("an MBR table has room for 4 partitions, not 6"));
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
  const auto text = each.refusal();
  CHECK(text.contains("disk `system`"));
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
  CHECK(efi.refusal().contains("UEFI"));
}

TEST_CASE("a plan survives being saved") {
  Case each;
  each.rule().partitions.push_back(partition("esp", bytes(64 * MiB), FormatType::vfat, "/boot/efi", PartitionType::esp));
  auto plan = each.plan(5 * MiB).value();
  CHECK(plan.disks.front().partitions[3].uuid.size() == 9);
  const auto text = to_json(plan);
  const auto back = plan_from_json(text);
  REQUIRE(back);
  CHECK(to_json(*back) == text);
  REQUIRE(back->mounts().size() == 2);
  CHECK(back->mounts()[0]->mount == "/");
  CHECK(back->image_size == 5 * MiB);
  CHECK_FALSE(plan_from_json("{"));
}

TEST_CASE("partition devices are named as the kernel names them") {
  CHECK(partition_device("/dev/sda", 1) == "/dev/sda1");
  CHECK(partition_device("/dev/nvme0n1", 2) == "/dev/nvme0n1p2");
  CHECK(partition_device("/dev/mmcblk0", 3) == "/dev/mmcblk0p3");
}
