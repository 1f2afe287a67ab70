// What makes an installed disk start: GRUB's core image, the EFI system partition, UEFI's boot entries.
#include <doctest/doctest.h>
#include <stdlib.h>
#include <sys/stat.h>

#include <filesystem>
#include <format>

#include "base/fd.h"
#include "base/size.h"
#include "configure/boot_entry.h"
#include "configure/configure.h"
#include "configure/grub_core.h"
#include "configure/installed_kernel.h"
#include "filesystem/esp.h"

using namespace signet;

namespace {

struct Scratch {
  Scratch() {
    char name[] = "/tmp/signet-test-XXXXXX";
    path = ::mkdtemp(name);
  }
  ~Scratch() { std::filesystem::remove_all(path); }
  void file(const std::string& name, const std::string& text = "x") const {
    std::filesystem::create_directories(std::filesystem::path(path + "/" + name).parent_path());
    REQUIRE(write_file(path + "/" + name, text));
  }
  bool has(const std::string& name) const { return std::filesystem::exists(path + "/" + name); }
  std::string path;
};

std::uint64_t number_at(std::string_view bytes, std::size_t at, unsigned size) {
  std::uint64_t value = 0;
  for (unsigned i = 0; i < size; ++i) value |= std::uint64_t{static_cast<unsigned char>(bytes[at + i])} << (8 * i);
  return value;
}

// The fields of GRUB 2.12's boot.img and core.img that matter, the rest filled so that every byte can be told from its neighbour.
std::string boot_image() {
  std::string image(512, '\0');
  for (std::size_t i = 0; i < image.size(); ++i) image[i] = static_cast<char>(i * 7 + 1);
  image.replace(0x5a, 14, std::string("\x00\x80\x01\x00\x00\x00\x00\x00\x00\x00\xff\xfa\xeb\x05", 14));
  image.replace(510, 2, "\x55\xaa");
  return image;
}
std::string core_image(std::size_t size) {
  std::string image(size, 'c');
  image.replace(512 - 24, 24, std::string(12, '\0') + std::string("\x02\0\0\0\0\0\0\0\0\0\x20\x08", 12));
  return image;
}

Bytes bytes_of(std::string_view hex) {
  Bytes bytes;
  std::string digits(hex);
  std::erase(digits, ' ');
  for (std::size_t at = 0; at + 2 <= digits.size(); at += 2)
    bytes.push_back(static_cast<unsigned char>(std::stoi(digits.substr(at, 2), nullptr, 16)));
  return bytes;
}

// As efibootmgr writes it on Fedora: HD(1,GPT,6b0e9a4e-9d2d-4d4c-8a57-0c1f2e3d4b5a,0x800,0x12c000)/\EFI\fedora\shimx64.efi.
constexpr auto fedora =
    "01000000 6200 4600650064006f00720061000000"
    "0401 2a00 01000000 0008000000000000 00c0120000000000 4e9a0e6b2d9d4c4d8a570c1f2e3d4b5a 02 02"
    "0404 3400 5c004500460049005c006600650064006f00720061005c007300680069006d007800360034002e006500660069000000"
    "7fff 0400";
// As OVMF makes it for a disk: PciRoot(0x0)/Pci(0x3,0x0) and the GUID of an entry that firmware made, behind the path.
constexpr auto firmwares_own =
    "01000000 1600 5500450046004900200051004500 4d00550000000201 0c00 d041030a 00000000 0101 0600 0003 7fff 0400 4eac0881119f594d850ee21a522c59b2";
// A whole path in front of the drive, and data behind the end that look like a node.
constexpr auto with_hardware =
    "01000000 5200 4100 0000 02010c00d041030a00000000 0101 0600 0003"
    "0401 2a00 0f000000 0008000000000000 0010000000000000 00112233445566778899aabbccddeeff 02 02"
    "0404 1200 5c0061002e006500660069000000"
    "7fff 0400 04012a00";

constexpr auto variable_guid = "8be4df61-93ca-11d2-aa0d-00e098032b8c";

struct Variables {
  void set(const std::string& name, const Bytes& value) const {
    std::string text("\x07\0\0\0", 4);
    text.append(value.begin(), value.end());
    scratch.file(std::format("{}-{}", name, variable_guid), text);
  }
  Bytes get(const std::string& name) const {
    const auto text = read_file(std::format("{}/{}-{}", scratch.path, name, variable_guid));
    return text ? Bytes(text->begin() + 4, text->end()) : Bytes();
  }
  Scratch scratch;
};

const BootPartition esp = {1, 2048, 131072, "0B0E9A4E-9D2D-4D4C-8A57-0C1F2E3D4B5A"};
Bytes entry_to(const std::string& guid, std::string_view name = "Debian") {
  return load_option(name, {1, 2048, 131072, guid}, "/EFI/debian/shimx64.efi").value();
}

}  // namespace

TEST_CASE("GRUB's core image knows where it lies, and the first sector knows where the core image is") {
  const auto grub = place_grub(boot_image(), core_image(30'000), {1 * MiB, 1 * MiB}).value();
  CHECK(grub.offset == 1 * MiB);
  CHECK(grub.core.size() == 59 * 512);
  CHECK(number_at(grub.core, 500, 8) == 2049);
  CHECK(number_at(grub.core, 508, 2) == 58);
  CHECK(number_at(grub.core, 510, 2) == 0x820);
  CHECK(grub.core.substr(512, 30'000 - 512) == std::string(30'000 - 512, 'c'));
  CHECK(grub.core.substr(30'000) == std::string(59 * 512 - 30'000, '\0'));
  const std::string code(reinterpret_cast<const char*>(grub.code.data()), grub.code.size());
  CHECK(number_at(code, 0x5c, 8) == 2048);
  CHECK(number_at(code, 0x64, 1) == 0xff);
  CHECK(number_at(code, 0x66, 2) == 0x9090);
  CHECK(code.substr(0, 0x5c) == boot_image().substr(0, 0x5c));
  CHECK(code.substr(0x68) == boot_image().substr(0x68, 440 - 0x68));
}

TEST_CASE("a core image that does not fit or is not GRUB's is refused") {
  CHECK(place_grub(boot_image(), core_image(512 * 63), {512, 512 * 63}));
  const auto full = place_grub(boot_image(), core_image(512 * 63 + 1), {512, 512 * 63});
  CHECK(full.error().kind() == ErrorKind::no_space);
  CHECK_FALSE(place_grub(boot_image().substr(1), core_image(2048), {512, MiB}));
  CHECK_FALSE(place_grub(std::string(510, 'x') + "\x55\xaa", core_image(2048), {512, MiB}));
  CHECK_FALSE(place_grub(boot_image(), std::string(2048, 'x'), {512, MiB}));
  CHECK_FALSE(place_grub(boot_image(), "", {512, MiB}));
}

TEST_CASE("the core image has its partition on GPT, and the room before the first partition and the mark on MBR") {
  PlannedDisk disk;
  disk.table = TableType::gpt;
  CHECK_FALSE(grub_room(disk));
  auto& bios = disk.partitions.emplace_back();
  bios.type = PartitionType::bios;
  bios.start = 3 * MiB;
  bios.size = 2 * MiB;
  CHECK(grub_room(disk)->start == 3 * MiB);
  CHECK(grub_room(disk)->size == 2 * MiB);
  disk.table = TableType::mbr;
  CHECK(grub_room(disk)->start == 512);
  CHECK(grub_room(disk)->size == 1 * MiB - 4096 - 512);
  disk.partitions[0].start = 63 * 512;
  CHECK(grub_room(disk)->size == 62 * 512);
  disk.disk.sector_size = 4096;
  CHECK(grub_room(disk).error().kind() == ErrorKind::unsupported);
}

TEST_CASE("an EFI system partition shows firmware nothing until it is published, and nothing again when it is hidden") {
  const Scratch scratch;
  scratch.file("signet-new/EFI/BOOT/BOOTX64.EFI", "loader");
  scratch.file("signet-new/EFI/debian/grub.cfg", "menu");
  scratch.file("signet-new/loader/loader.conf", "timeout 3");
  REQUIRE(publish_esp(scratch.path));
  CHECK(read_file(scratch.path + "/EFI/BOOT/BOOTX64.EFI") == "loader");
  CHECK(scratch.has("EFI/debian/grub.cfg"));
  CHECK(scratch.has("loader/loader.conf"));
  CHECK_FALSE(scratch.has("signet-new"));
  REQUIRE(publish_esp(scratch.path));  // there is nothing more to do
  REQUIRE(hide_esp(scratch.path));
  CHECK_FALSE(scratch.has("EFI"));
  REQUIRE(hide_esp(scratch.path));
  REQUIRE(publish_esp(scratch.path));
  CHECK(scratch.has("EFI/BOOT/BOOTX64.EFI"));
}

TEST_CASE("what is published joins what the partition has") {
  const Scratch scratch;
  scratch.file("EFI/vendor/own.efi", "kept");
  scratch.file("EFI/BOOT/BOOTX64.EFI", "old");
  scratch.file("signet-new/EFI/BOOT/BOOTX64.EFI", "new");
  REQUIRE(publish_esp(scratch.path));
  CHECK(read_file(scratch.path + "/EFI/vendor/own.efi") == "kept");
  CHECK(read_file(scratch.path + "/EFI/BOOT/BOOTX64.EFI") == "new");
}

TEST_CASE("an EFI system partition is mounted hidden, unless /boot is on it") {
  PlannedPartition partition;
  partition.type = PartitionType::esp;
  partition.format = FormatType::vfat;
  partition.mount = "/boot/efi";
  CHECK(hidden_by_mount(partition));
  partition.mount = "/boot";
  CHECK_FALSE(hidden_by_mount(partition));
  CHECK(is_esp(partition));
  partition.type = PartitionType::linux;
  CHECK_FALSE(is_esp(partition));
}

TEST_CASE("a boot entry is known by the partition and file that it points to") {
  const auto made_by_fedora = load_option_target(bytes_of(fedora));
  CHECK(made_by_fedora.partition == "6b0e9a4e-9d2d-4d4c-8a57-0c1f2e3d4b5a");
  CHECK(made_by_fedora.file == "/EFI/fedora/shimx64.efi");
  const auto made_by_firmware = load_option_target(bytes_of(firmwares_own));
  CHECK(made_by_firmware.partition.empty());
  CHECK(made_by_firmware.file.empty());
  const auto whole_path = load_option_target(bytes_of(with_hardware));
  CHECK(whole_path.partition == "33221100-5544-7766-8899-aabbccddeeff");
  CHECK(whole_path.file == "/a.efi");
}

TEST_CASE("no cut or changed boot entry is read beyond its end") {
  for (const auto* text : {fedora, firmwares_own, with_hardware}) {
    const auto whole = bytes_of(text);
    const auto longest = load_option_target(whole).file.size();
    for (std::size_t size = 0; size < whole.size(); ++size) {
      const Bytes cut(whole.begin(), whole.begin() + static_cast<std::ptrdiff_t>(size));
      CHECK(load_option_target(cut).file.size() <= longest);
    }
    for (std::size_t at = 0; at < whole.size(); ++at)
      for (const unsigned value : {0U, 1U, 4U, 0x7fU, 0xffU}) {
        auto changed = whole;
        changed[at] = static_cast<unsigned char>(value);
        CHECK(load_option_target(changed).file.size() <= whole.size());
      }
  }
}

TEST_CASE("an entry of the same partition is replaced, and one of the same name on another disk stays") {
  const Variables variables;
  variables.set("Boot0000", entry_to("11111111-2222-3333-4444-555555555555"));  // the other Debian
  variables.set("Boot0001", entry_to("0b0e9a4e-9d2d-4d4c-8a57-0c1f2e3d4b5a", "ubuntu"));
  variables.set("Boot0003", entry_to("0b0e9a4e-9d2d-4d4c-8a57-0c1f2e3d4b5a"));
  variables.set("Boot0005", bytes_of(firmwares_own));
  variables.set("BootOrder", {3, 0, 5, 0, 1, 0, 0, 0});
  CHECK(add_boot_entry("Debian", esp, true, variables.scratch.path) == 1);
  CHECK(variables.get("Boot0000") == entry_to("11111111-2222-3333-4444-555555555555"));
  CHECK(load_option_target(variables.get("Boot0001")).file == "/EFI/BOOT/BOOTX64.EFI");
  CHECK(variables.get("Boot0003").empty());
  CHECK(variables.get("Boot0005") == bytes_of(firmwares_own));
  CHECK(variables.get("BootOrder") == Bytes{1, 0, 5, 0, 0, 0});
  CHECK(variables.get("BootNext") == Bytes{1, 0});
  // Twenty installs leave as many entries as one.
  for (int i = 0; i < 20; ++i) CHECK(add_boot_entry("Debian", esp, true, variables.scratch.path) == 1);
  CHECK(variables.get("BootOrder") == Bytes{1, 0, 5, 0, 0, 0});
}

TEST_CASE("entries of partitions that an install has destroyed go, with their place in the order") {
  const Variables variables;
  variables.set("Boot0000", bytes_of(fedora));
  variables.set("Boot0002", bytes_of(firmwares_own));
  variables.set("Boot0004", bytes_of(with_hardware));
  variables.set("BootOrder", {0, 0, 4, 0, 2, 0});
  variables.set("BootNext", {4, 0});
  CHECK(forget_boot_entries({"33221100-5544-7766-8899-aabbccddeeff", "00000000-0000-0000-0000-000000000001"}, variables.scratch.path) == 1U);
  CHECK(variables.get("Boot0000") == bytes_of(fedora));
  CHECK(variables.get("Boot0002") == bytes_of(firmwares_own));
  CHECK(variables.get("Boot0004").empty());
  CHECK(variables.get("BootOrder") == Bytes{0, 0, 2, 0});
  CHECK(variables.get("BootNext").empty());
  CHECK(forget_boot_entries({}, variables.scratch.path) == 0U);
  CHECK(forget_boot_entries({"x"}, "/nowhere") == 0U);
}

TEST_CASE("it is noted how often in a row firmware was asked to start the same") {
  const Scratch variables;
  const auto& place = variables.path;
  CHECK(times_asked("one", place) == 0);
  CHECK(note_asked("one", 2, place));
  CHECK(times_asked("one", place) == 2);
  CHECK(times_asked("two", place) == 0);
  CHECK(times_asked("one!", place) == 0);
  CHECK(times_asked("", place) == 0);
  CHECK(note_asked("two", 300, place));
  CHECK(times_asked("one", place) == 0);
  CHECK(times_asked("two", place) == 255);
  CHECK_FALSE(note_asked("one", 1, "/nowhere"));
}

TEST_CASE("boot entries that cannot be written are an error and leave no part of one") {
  const Variables variables;
  variables.set("Boot0000", bytes_of(fedora));
  // A directory in the variable's place fails as a full or read-only store does.
  std::filesystem::create_directories(std::format("{}/BootOrder-{}", variables.scratch.path, variable_guid));
  CHECK_FALSE(add_boot_entry("Debian", esp, true, variables.scratch.path));
  CHECK(variables.get("Boot0001").empty());
  CHECK(variables.get("Boot0000") == bytes_of(fedora));
}

TEST_CASE("the first entry of a boot loader's menu is the one that is started") {
  const auto debian = first_entry(
      "set default=\"0\"\nmenuentry 'Debian GNU/Linux' --class debian {\n\tsearch --no-floppy --fs-uuid --set=root 1234\n"
      "\techo\t'Loading Linux 6.12 ...'\n\tlinux\t/boot/vmlinuz-6.12.9-amd64 root=UUID=1234 ro  console=ttyS0 $vt_handoff quiet\n"
      "\techo\t'Loading initial ramdisk ...'\n\tinitrd\t/boot/ucode.img /boot/initrd.img-6.12.9-amd64\n}\n"
      "submenu 'Advanced' {\n\tmenuentry 'old' {\n\tlinux\t/boot/vmlinuz-6.1 root=UUID=9 ro\n\tinitrd\t/boot/initrd.img-6.1\n}\n}\n");
  CHECK(debian.kernel == "/boot/vmlinuz-6.12.9-amd64");
  CHECK(debian.initrds == std::vector<std::string>{"/boot/ucode.img", "/boot/initrd.img-6.12.9-amd64"});
  CHECK(debian.arguments == "root=UUID=1234 ro console=ttyS0 quiet");
  const auto fedora_entry = first_entry(
      "title Fedora Linux (6.11)\nversion 6.11\nlinux /vmlinuz-6.11.fc41\ninitrd /initramfs-6.11.fc41.img $tuned_initrd\n"
      "options root=UUID=5 ro rhgb $tuned_params\ngrub_users $grub_users\n");
  CHECK(fedora_entry.kernel == "/vmlinuz-6.11.fc41");
  CHECK(fedora_entry.initrds == std::vector<std::string>{"/initramfs-6.11.fc41.img"});
  CHECK(fedora_entry.arguments == "root=UUID=5 ro rhgb");
  CHECK(first_entry("menuentry 'chain' {\n\tchainloader +1\n}\n").kernel.empty());
  CHECK(first_entry("").kernel.empty());
}

TEST_CASE("the kernel of an installed system is found by its menu, and without one by its version") {
  const Scratch scratch;
  scratch.file("boot/vmlinuz-6.1.0-9-amd64");
  scratch.file("boot/vmlinuz-6.1.0-10-amd64");
  scratch.file("boot/vmlinuz-0-rescue-x");
  scratch.file("boot/initrd.img-6.1.0-10-amd64");
  scratch.file("boot/initrd.img-6.1.0-9-amd64");
  const auto target = TargetRoot::open(scratch.path).value();
  const auto newest = default_kernel(target, "root=UUID=7").value();
  CHECK(newest.kernel == "/boot/vmlinuz-6.1.0-10-amd64");
  CHECK(newest.initrds == std::vector<std::string>{"/boot/initrd.img-6.1.0-10-amd64"});
  CHECK(newest.arguments == "root=UUID=7 ro");
  // A /boot that is a file system of its own: the menu's paths begin there.
  scratch.file("boot/grub/grub.cfg", "menuentry x {\n linux /vmlinuz-6.1.0-9-amd64 root=UUID=8 ro\n initrd ($root)/initrd.img-6.1.0-9-amd64\n}\n");
  const auto chosen = default_kernel(target, "root=UUID=7").value();
  CHECK(chosen.kernel == "/boot/vmlinuz-6.1.0-9-amd64");
  CHECK(chosen.initrds == std::vector<std::string>{"/boot/initrd.img-6.1.0-9-amd64"});
  CHECK(chosen.arguments == "root=UUID=8 ro");
  scratch.file("boot/grub/grub.cfg", "menuentry x {\n linux /gone root=UUID=8\n}\n");
  CHECK(default_kernel(target, "root=UUID=7").error().kind() == ErrorKind::not_found);
  CHECK(default_kernel(TargetRoot::open("/proc/self").value(), "root=UUID=7").error().kind() == ErrorKind::not_found);
}
