#include <doctest/doctest.h>
#include <fcntl.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#include <filesystem>

#include "base/fd.h"
#include "base/size.h"
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
  const Mark mark{.version = "0.1.0", .host = "node01", .table = "0xAbCd1234", .time = 1'700'000'000, .complete = true};
  auto block = encode_mark(mark);
  const auto back = decode_mark(block);
  REQUIRE(back);
  CHECK(back->host == "node01");
  CHECK(back->version == "0.1.0");
  CHECK(back->table == "abcd1234");
  CHECK(back->time == 1'700'000'000);
  CHECK(back->complete);
  block[60] ^= std::byte{1};
  CHECK_FALSE(decode_mark(block));
}

TEST_CASE("a disk is blank only if nothing is on it") {
  Scratch scratch;
  const auto path = scratch.image("disk.img", 64 * MiB);
  CHECK(describe_disk(path)->content == DiskContent::blank);

  const Fd fd(open_file(path, O_RDWR).value());
  const std::byte one[1] = {std::byte{7}};
  REQUIRE(write_all_at(fd.get(), one, 64 * MiB - 10));
  CHECK(describe_disk(path)->content == DiskContent::foreign);
  CHECK(describe_disk(path)->found == "data that no signature explains");
}

TEST_CASE("a disk with our mark and another table is not ours") {
  Scratch scratch;
  const auto path = scratch.image("disk.img", 64 * MiB);
  // Begun and died before the table was written: may be installed again.
  REQUIRE(write_mark(path, {.version = "0.1.0", .host = "node01", .table = "f000", .complete = false}));
  CHECK(describe_disk(path)->content == DiskContent::signet);
  // Complete, but its table has gone: somebody did something.
  REQUIRE(write_mark(path, {.version = "0.1.0", .host = "node01", .table = "f000", .complete = true}));
  CHECK(describe_disk(path)->content == DiskContent::foreign);
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
