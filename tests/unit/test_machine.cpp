#include <doctest/doctest.h>
#include <fcntl.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <filesystem>

#include "base/fd.h"
#include "base/size.h"
#include "machine/boot_code.h"
#include "machine/content.h"
#include "machine/machine.h"
#include "machine/mark.h"
#include "machine/sysfs.h"

using namespace signet;

namespace {

// A directory that goes with the test.
struct Scratch {
  std::string path;
  Scratch() {
    char name[] = "/tmp/signet-test-XXXXXX";
    path = ::mkdtemp(name);
  }
  ~Scratch() { std::filesystem::remove_all(path); }
  std::string file(const std::string& name, std::string_view text = "") const {
    const auto full = path + "/" + name;
    std::filesystem::create_directories(full.substr(0, full.rfind('/')));
    REQUIRE(write_file(full, text));
    return full;
  }
  std::string image(const std::string& name, std::uint64_t size) const {
    const auto full = file(name);
    REQUIRE(::truncate(full.c_str(), static_cast<off_t>(size)) == 0);
    return full;
  }
};

}  // namespace

TEST_CASE("the kernel command line is read as the kernel reads it") {
  const auto line = KernelCommandLine::parse(
      "console=tty0 signet.server=http://a/ quiet console=ttyS0,115200 signet.on_success=\"poweroff\" signet.debug signet.host=\"a b\"\n");
  CHECK(line.values("console") == std::vector<std::string>{"tty0", "ttyS0,115200"});
  CHECK(line.value("quiet") == "");
  CHECK_FALSE(line.value("splash"));
  CHECK(line.signet("server") == "http://a/");
  CHECK(line.signet("on-success") == "poweroff");
  CHECK(line.signet("host") == "a b");
  CHECK(line.signet_flag("debug"));
  CHECK_FALSE(line.signet_flag("rescue"));
}

TEST_CASE("kernel names are sorted as they count") {
  Scratch scratch;
  for (const char* name : {"sdaa", "sdb", "sda", "nvme10n1", "nvme2n1", "vdz", "vda"})
    std::filesystem::create_directories(scratch.path + "/block/" + name);
  CHECK(sysfs::names(scratch.path + "/block") == std::vector<std::string>{"nvme2n1", "nvme10n1", "sda", "sdb", "sdaa", "vda", "vdz"});
}

TEST_CASE("firmware's placeholders are no identity") {
  Scratch scratch;
  scratch.file("class/dmi/id/product_uuid", "4C4C4544-0042-3510-8052-B4C04F4D3232\n");
  scratch.file("class/dmi/id/product_serial", "To Be Filled By O.E.M.\n");
  scratch.file("class/dmi/id/sys_vendor", "QEMU\n");
  CHECK(read_smbios(scratch.path).uuid == "4c4c4544-0042-3510-8052-b4c04f4d3232");
  CHECK(read_smbios(scratch.path).serial.empty());
  CHECK(read_smbios(scratch.path).vendor == "QEMU");
  scratch.file("class/dmi/id/product_uuid", "00000000-0000-0000-0000-000000000000\n");
  CHECK(read_smbios(scratch.path).uuid.empty());
}

TEST_CASE("a mark is read back, and not if a bit of it has changed") {
  const Mark mark{.version = "0.1.0",
                  .host = "node01",
                  .table = "0xAbCd1234",
                  .time = 1'700'000'000,
                  .complete = true,
                  .profile_sha256 = std::string(62, '0') + "aF",
                  .image_sha256 = "not a digest",
                  .keeps_data = true,
                  .before = "12345678-ABCD-4123-8123-123456789ABC"};
  auto block = encode_mark(mark);
  const auto back = decode_mark(block);
  REQUIRE(back);
  CHECK(back->host == "node01");
  CHECK(back->version == "0.1.0");
  CHECK(back->table == "abcd1234");
  CHECK(back->time == 1'700'000'000);
  CHECK(back->complete);
  CHECK(back->profile_sha256 == std::string(62, '0') + "af");
  CHECK(back->image_sha256.empty());
  CHECK(back->keeps_data);
  CHECK(back->before == "12345678-abcd-4123-8123-123456789abc");
  block[60] ^= std::byte{1};
  CHECK_FALSE(decode_mark(block));
}

TEST_CASE("a mark of before, with zeros where digests are now, says nothing of them") {
  const auto back = decode_mark(encode_mark({.version = "0.1.0", .host = "node01", .table = "f000", .complete = true}));
  REQUIRE(back);
  CHECK(back->profile_sha256.empty());
  CHECK(back->image_sha256.empty());
  CHECK_FALSE(back->keeps_data);
  CHECK(back->before.empty());
}

TEST_CASE("an install that was cut at its last step is complete if its disk may start") {
  Scratch scratch;
  const auto path = scratch.image("disk.img", 64 * MiB);
  for (const auto opening : {Opening::no, Opening::bios, Opening::efi})
    CHECK(decode_mark(encode_mark({.version = "0.1.0", .host = "node01", .table = "f000", .opening = opening}))->opening == opening);
  const auto complete_with = [&](Opening opening, bool closed) {
    const Fd fd(open_file(path, O_RDWR).value());
    std::array<std::byte, 512> sector{};
    std::ranges::copy(closed_boot_code(), sector.begin());
    if (!closed) sector[0] = std::byte{0xeb};
    // An MBR's disk id 0000f000, and one partition of 2048 sectors from sector 2048.
    sector[441] = std::byte{0xf0}, sector[450] = std::byte{0x83}, sector[455] = std::byte{8}, sector[459] = std::byte{8};
    sector[510] = std::byte{0x55}, sector[511] = std::byte{0xaa};
    REQUIRE(write_all_at(fd.get(), sector, 0));
    REQUIRE(write_mark(fd.get(), {.version = "0.1.0", .host = "node01", .table = "0000f000", .opening = opening}));
    const auto content = read_content(fd.get(), 64 * MiB, 512);
    REQUIRE(content);
    REQUIRE(content->content.mark);
    return content->content.mark->complete;
  };
  CHECK_FALSE(complete_with(Opening::no, false));
  CHECK_FALSE(complete_with(Opening::bios, true));
  CHECK(complete_with(Opening::bios, false));
  CHECK(complete_with(Opening::efi, true));
}

TEST_CASE("a disk is blank only if nothing is on it") {
  Scratch scratch;
  const auto path = scratch.image("disk.img", 640 * MiB);
  const auto blank = describe_disk(path);
  CHECK(blank->content == DiskContent::blank);
  CHECK(blank->digest.size() == 64);

  const Fd fd(open_file(path, O_RDWR).value());
  const std::byte one[1] = {std::byte{7}}, zero[1] = {std::byte{0}};
  struct Row {
    std::uint64_t at;
    const char* found;
  };
  // At both ends, and where copies of superblocks of a disk whose head was erased lie: ext4 in a partition at 1 MiB, btrfs, one of 32 steps.
  for (const auto& [at, found] :
       {Row{640 * MiB - 10, "data at 639 MiB that no signature explains"}, Row{MiB - 1, "data at 0 B that no signature explains"},
        Row{129 * MiB + 8, "data at 129 MiB that no signature explains"}, Row{64 * MiB, "data at 64 MiB that no signature explains"},
        Row{20 * 7 * MiB + 4095, "data at 140 MiB that no signature explains"}}) {
    CAPTURE(at);
    REQUIRE(write_all_at(fd.get(), one, at));
    CHECK(describe_disk(path)->content == DiskContent::foreign);
    CHECK(describe_disk(path)->found == found);
    REQUIRE(write_all_at(fd.get(), zero, at));
    CHECK(describe_disk(path)->content == DiskContent::blank);
    CHECK(describe_disk(path)->digest == blank->digest);
  }
}

TEST_CASE("what cannot be read is an error, not an empty disk") {
  Scratch scratch;
  const auto path = scratch.image("disk.img", 4 * MiB);
  const Fd fd(open_file(path, O_RDONLY).value());
  CHECK(read_content(fd.get(), 4 * MiB, 512)->content.kind == DiskContent::blank);
  const auto longer = read_content(fd.get(), 64 * MiB, 512);
  REQUIRE_FALSE(longer);
  CHECK(longer.error().message() == "it ends before 64 MiB");
  CHECK_FALSE(read_content(fd.get(), 0, 512));
  const Fd unreadable(open_file(path, O_WRONLY).value());
  CHECK_FALSE(read_content(unreadable.get(), 4 * MiB, 512));
}

TEST_CASE("a disk with our mark and another table is not ours") {
  Scratch scratch;
  const auto path = scratch.image("disk.img", 64 * MiB);
  // Begun and died before the table was written: may be installed again.
  REQUIRE(write_mark(path, {.version = "0.1.0", .host = "node01", .table = "f000", .complete = false}));
  CHECK(describe_disk(path)->content == DiskContent::signet);
  CHECK(describe_disk(path)->mark->host == "node01");
  // Complete, but its table has gone: somebody did something.
  REQUIRE(write_mark(path, {.version = "0.1.0", .host = "node01", .table = "f000", .complete = true}));
  CHECK(describe_disk(path)->content == DiskContent::foreign);
  CHECK(describe_disk(path)->found.ends_with("modified since then: its partition table is gone"));
}

TEST_CASE("a mark counts while the table is the one that it names, or was, and nothing covers the whole disk") {
  Findings findings;
  findings.table = "gpt table with 2 partitions";
  findings.table_id = "new";
  findings.mark = Mark{.version = "0.1.0", .host = "node01", .table = "new", .time = 1'700'000'000, .complete = true, .before = "old"};
  CHECK(judge(findings).kind == DiskContent::signet);
  CHECK(judge(findings).description == "a Signet 0.1.0 system, installed as node01 on 2023-11-14");
  findings.superblocks = {"xfs"};
  CHECK(judge(findings).kind == DiskContent::foreign);
  findings.superblocks.clear();
  findings.table_id = "old";
  CHECK(judge(findings).kind == DiskContent::foreign);
  findings.mark->complete = false;
  CHECK(judge(findings).kind == DiskContent::signet);
  CHECK(judge(findings).description == "an unfinished Signet 0.1.0 install, begun as node01 on 2023-11-14");
  findings.table_id = "other";
  CHECK(judge(findings).kind == DiskContent::foreign);
  findings.table_id.clear();
  CHECK(judge(findings).kind == DiskContent::foreign);
  findings.table.clear();
  CHECK(judge(findings).kind == DiskContent::signet);
  findings.superblocks = {"LVM2_member"};
  CHECK(judge(findings).kind == DiskContent::foreign);
}

TEST_CASE("controllers say how long a disk may take to appear") {
  using std::chrono::milliseconds;
  Scratch scratch;
  const auto& sys = scratch.path;
  CHECK(settle_time(sys) == milliseconds(300));
  scratch.file("class/scsi_host/host0/proc_name", "ahci\n");
  scratch.file("class/scsi_host/host1/proc_name", "virtio_scsi\n");
  CHECK(settle_time(sys) == milliseconds(300));
  scratch.file("bus/usb/devices/usb1/product");
  CHECK(settle_time(sys) == milliseconds(1000));
  scratch.file("bus/usb/drivers/usb-storage/new_id");
  CHECK(settle_time(sys) == milliseconds(1000));
  scratch.file("bus/usb/drivers/usb-storage/1-2:1.0/modalias");
  CHECK(settle_time(sys) == milliseconds(3000));
  scratch.file("class/sas_host/host2/device");
  CHECK(settle_time(sys) == milliseconds(8000));
  scratch.file("class/fc_host/host3/speed");
  CHECK(settle_time(sys) == milliseconds(10000));
  Scratch raid;
  raid.file("class/scsi_host/host0/proc_name", "megaraid_sas\n");
  CHECK(settle_time(raid.path) == milliseconds(3000));
}

TEST_CASE("what is no disk is refused by name") {
  Scratch scratch;
  CHECK_FALSE(describe_disk(scratch.path + "/missing"));
  CHECK(describe_disk(scratch.path).error().message().contains("neither a block device nor an image file"));
}

TEST_CASE("local.cfg is read, and every mistake in it is told") {
  const auto config = parse_local_config(
      "server = \"http://x/\"\ndebug = true\non_success = \"poweroff\"\nconsole = [\"ttyS0\", \"tty0\"]\nretries = 5\n", "local.cfg on /dev/sda3");
  REQUIRE(config);
  CHECK(config->values.at("server") == "http://x/");
  CHECK(config->values.at("debug") == "1");
  CHECK(config->values.at("on-success") == "poweroff");
  CHECK(config->values.at("console") == "ttyS0 tty0");
  CHECK(config->values.at("retries") == "5");
  const auto wrong = parse_local_config("servr = \"x\"\nhost = 1.5\n", "c");
  REQUIRE_FALSE(wrong);
  CHECK(wrong.error().message().contains("c:1:1: unknown key `servr`; did you mean `server`?"));
  CHECK(wrong.error().message().contains("c:2:1: `host` must be"));
  CHECK_FALSE(parse_local_config("server = ", "c"));
  // Letters that toml++ meets where it expects the end of a value.
  for (const char* letters : {"s= 2Pc*\"\xc5\x8fy\1||\n", "s = 2\xc3\xa4", "\xd0\xb6 = 1", "s = [1 \xc3\xbc]"})
    CHECK_FALSE(parse_local_config(letters, "c"));
  CHECK_FALSE(parse_local_config(std::string("a\0b", 3), "c"));
  CHECK(parse_local_config("", "c")->values.empty());
}

TEST_CASE("the kernel command line wins over local.cfg") {
  Machine machine;
  machine.local = parse_local_config("server = \"http://card/\"\nhost = \"card\"\nnetwork = \"dhcp\"\n", "local.cfg on /dev/sda3").value();
  machine.command_line = KernelCommandLine::parse("signet.host=line");
  CHECK(machine.setting("host")->value == "line");
  CHECK(machine.setting("host")->source == "signet.host");
  CHECK(machine.setting("server")->source == "local.cfg on /dev/sda3");
  CHECK(machine.setting("network")->value == "dhcp");
  CHECK_FALSE(machine.setting("trust"));
  CHECK_FALSE(machine.flag("debug"));
}
