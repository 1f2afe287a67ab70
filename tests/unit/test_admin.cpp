#include <doctest/doctest.h>

#include <cstring>

#include "admin/boot_menus.h"
#include "admin/cpio.h"
#include "admin/unified_kernel.h"

using namespace signet;

namespace {

void put(std::string& bytes, std::size_t at, std::uint32_t value, unsigned width) {
  for (unsigned i = 0; i < width; ++i) bytes[at + i] = static_cast<char>(value >> (8 * i));
}
std::uint32_t get(std::string_view bytes, std::size_t at, unsigned width) {
  std::uint32_t value = 0;
  for (unsigned i = 0; i < width; ++i) value |= static_cast<std::uint32_t>(static_cast<unsigned char>(bytes[at + i])) << (8 * i);
  return value;
}

constexpr std::size_t pe = 0x80, optional = pe + 24, table = optional + 240;

// The smallest program that has all that is looked at: one section of 512 bytes at address 0x1000.
std::string stub(std::size_t headers = 0x400) {
  std::string bytes(headers + 512, '\0');
  bytes[0] = 'M';
  bytes[1] = 'Z';
  put(bytes, 0x3c, pe, 4);
  std::memcpy(bytes.data() + pe, "PE\0\0", 4);
  put(bytes, pe + 4, 0x8664, 2);
  put(bytes, pe + 6, 1, 2);
  put(bytes, pe + 20, 240, 2);
  put(bytes, optional, 0x20b, 2);
  put(bytes, optional + 32, 4096, 4);
  put(bytes, optional + 36, 512, 4);
  put(bytes, optional + 56, 0x2000, 4);
  put(bytes, optional + 60, static_cast<std::uint32_t>(headers), 4);
  std::memcpy(bytes.data() + table, ".text", 5);
  put(bytes, table + 8, 512, 4);
  put(bytes, table + 12, 0x1000, 4);
  put(bytes, table + 16, 512, 4);
  put(bytes, table + 20, static_cast<std::uint32_t>(headers), 4);
  return bytes;
}

}  // namespace

TEST_CASE("a unified kernel has its parts as sections, each on a page of its own") {
  const auto base = stub();
  const auto made =
      make_unified_kernel({.stub = base, .kernel = "kernel", .initrd = std::string(5000, 'i'), .command_line = "quiet", .os_release = "ID=x\n"});
  REQUIRE(made);
  REQUIRE(get(*made, pe + 6, 2) == 5);
  const char* names[] = {".text", ".osrel", ".cmdline", ".initrd", ".linux"};
  const std::string contents[] = {"", "ID=x\n", "quiet", std::string(5000, 'i'), "kernel"};
  std::uint32_t end = 0;
  for (unsigned i = 0; i < 5; ++i) {
    const auto header = table + i * 40;
    CHECK(std::string(made->c_str() + header, ::strnlen(made->c_str() + header, 8)) == names[i]);
    const auto address = get(*made, header + 12, 4), size = get(*made, header + 8, 4), file = get(*made, header + 20, 4);
    CHECK(address % 4096 == 0);
    CHECK(address >= end);
    CHECK(file % 512 == 0);
    end = address + size;
    if (i > 0) CHECK(made->substr(file, size) == contents[i]);
  }
  CHECK(get(*made, optional + 56, 4) >= end);
  CHECK(made->size() % 512 == 0);
}

TEST_CASE("what is no boot stub is refused") {
  const auto refused = [](const std::string& bytes) {
    const auto made = make_unified_kernel({.stub = bytes, .kernel = "k", .initrd = "i", .command_line = "", .os_release = ""});
    return made ? std::string("accepted") : made.error().message();
  };
  CHECK(refused("").contains("no MZ header"));
  CHECK(refused(std::string(100, 'x')).contains("no MZ header"));
  auto other = stub();
  put(other, pe + 4, 0xaa64, 2);
  CHECK(refused(other).contains("another machine"));
  auto far = stub();
  put(far, 0x3c, 0xffffff00, 4);
  CHECK(refused(far).contains("no PE header"));
  CHECK(refused(stub(0x1c0)).contains("no room"));
  const auto base = stub();
  const auto once = make_unified_kernel({.stub = base, .kernel = "k", .initrd = "i", .command_line = "", .os_release = ""}).value();
  CHECK(refused(once).contains("already"));
}

TEST_CASE("an archive of extra files is sorted, padded and has the directories above them") {
  CpioArchive archive;
  CHECK(archive.empty());
  CHECK(archive.add("/b/two", "22", 0755));
  CHECK(archive.add("/a", "1"));
  CHECK(archive.add("/b/two", "222", 0755));
  for (const char* bad : {"a", "/", "/a/", "/a//b", "/../x", "/a/./b"}) {
    CAPTURE(bad);
    CHECK_FALSE(archive.add(bad, ""));
  }
  const auto bytes = archive.bytes();
  CHECK(bytes.size() % 4 == 0);
  CHECK(bytes.starts_with("070701"));
  const auto a = bytes.find(std::string_view("a\0", 2)), b = bytes.find(std::string_view("b\0", 2)), two = bytes.find("b/two"),
             end = bytes.find("TRAILER!!!");
  CHECK((a < b && b < two && two < end));
  CHECK(bytes.contains("222"));
}

TEST_CASE("every boot loader's menu has the same four entries and takes automatic by itself") {
  const std::string line = "console=ttyS0 panic=30";
  struct Case {
    const char* loader;
    std::string menu;
    const char* by_itself;
  };
  const Case cases[] = {{"pxelinux", pxelinux_menu(line), "DEFAULT automatic\nTIMEOUT 50\nTOTALTIMEOUT "},
                        {"isolinux", isolinux_menu(line, false), "DEFAULT automatic\nTIMEOUT 50\nTOTALTIMEOUT "},
                        {"GRUB, network", grub_network_menu(line), "set timeout=5\nset default=automatic\n"},
                        {"GRUB, medium", grub_medium_menu(line, "signet-0123"), "set timeout=5\nset default=automatic\n"},
                        {"iPXE", ipxe_menu(line), "choose --default automatic --timeout 5000 "}};
  for (const auto& [loader, menu, by_itself] : cases) {
    CAPTURE(loader);
    CAPTURE(menu);
    CHECK(menu.contains(by_itself));
    for (const char* entry : {"automatic", "install", "local", "rescue"}) CHECK(menu.contains(entry));
    CHECK(menu.contains(line));
    // A word of one entry is in no other, and automatic has none.
    for (const char* word : {"signet.install=always", "signet.rescue"}) {
      const auto first = menu.find(word);
      CHECK(first != std::string::npos);
      CHECK(menu.find(word, first + 1) == std::string::npos);
    }
  }
}

TEST_CASE("the local disk of a BIOS is the first one for a CD and the second one for a stick") {
  CHECK(isolinux_menu("", false).contains("\n  COM32 chain.c32\n  APPEND hd0\n"));
  CHECK(isolinux_menu("", true).contains("\n  COM32 chain.c32\n  APPEND hd1 swap\n"));
  CHECK(pxelinux_menu("").contains("\n  LOCALBOOT -1\n"));
}
