#include "admin/boot_menus.h"

#include <format>
#include <string_view>

namespace signet {
namespace {

constexpr unsigned seconds = 5;

struct Start {
  const char *name, *text, *words;  // words: more for the kernel's command line
};
constexpr Start automatic = {"automatic", "install this machine if it is to be installed, else start its disk", ""};
constexpr Start install = {"install", "install now, also over a complete installation", " signet.install=always"};
constexpr Start rescue = {"rescue", "a shell; nothing is installed", " signet.rescue"};
constexpr const char* local_text = "start the local disk";

// pxelinux and isolinux, by syslinux's doc/menu.txt. Whatever is typed, TOTALTIMEOUT ends the wait after 5 minutes.
std::string syslinux_menu(std::string_view start, std::string_view more, std::string_view local, const std::string& line) {
  std::string menu = std::format(
      "SERIAL 0 115200\nUI menu.c32\nMENU TITLE Signet\nMENU IMMEDIATE\nDEFAULT automatic\nTIMEOUT {}\nTOTALTIMEOUT 3000\n", seconds * 10);
  const auto label = [&](std::string_view name, std::string_view text) { menu += std::format("LABEL {0}\n  MENU LABEL ^{0}: {1}\n", name, text); };
  const auto entry = [&](const Start& each) {
    label(each.name, each.text);
    menu += std::format("{}  APPEND {}{}\n{}", start, line, each.words, more);
  };
  entry(automatic);
  entry(install);
  label("local", local_text);
  menu += local;
  entry(rescue);
  return menu;
}

// GRUB on UEFI. Firmware that gets control back may show its set-up instead of going on, so the disk's own loader is started where there is one: only
// media of ours have no GPT.
std::string grub_menu(std::string_view before, std::string_view directory, std::string_view after, const std::string& line) {
  std::string menu = std::format("set timeout={}\nset default=automatic\n{}", seconds, before);
  const auto entry = [&](const Start& start) {
    return std::format("menuentry \"{0}: {1}\" --id {0} --hotkey {2} {{\n  linux {3}/vmlinuz {4}{5}{6}\n  initrd {3}/initrd.img\n}}\n", start.name,
                       start.text, start.name[0], directory, line, start.words, after);
  };
  menu += entry(automatic) + entry(install);
  menu += std::format("menuentry \"local: {}\" --id local --hotkey l {{\n", local_text);
  menu +=
      "  for loader in (*,gpt*)/EFI/*/shimx64.efi (*,gpt*)/EFI/*/grubx64.efi (*,gpt*)/EFI/Microsoft/Boot/bootmgfw.efi (*,gpt*)/EFI/BOOT/BOOTX64.EFI; "
      "do\n"
      "    if [ -f \"$loader\" ]; then\n      chainloader \"$loader\"\n      boot\n    fi\n  done\n  exit\n}\n";
  return menu + entry(rescue);
}

}  // namespace

std::string pxelinux_menu(const std::string& line) {
  // IPAPPEND 2: BOOTIF=. LOCALBOOT -1: the firmware goes on with its next boot device.
  return syslinux_menu("  KERNEL vmlinuz\n  INITRD initrd.img\n", "  IPAPPEND 2\n", "  LOCALBOOT -1\n", line);
}

std::string isolinux_menu(const std::string& line, bool stick) {
  // Not LOCALBOOT 0x80: isolinux 6.04 says "Boot failed" to every disk. `swap`: the disk finds itself as the BIOS's first, as it does without a
  // stick.
  return syslinux_menu("  KERNEL /boot/vmlinuz\n  INITRD /boot/initrd.img\n", "",
                       stick ? "  COM32 chain.c32\n  APPEND hd1 swap\n" : "  COM32 chain.c32\n  APPEND hd0\n", line);
}

std::string grub_network_menu(const std::string& line) { return grub_menu("", "$prefix", " BOOTIF=01-$net_default_mac", line); }

std::string grub_medium_menu(const std::string& line, const std::string& id) {
  return grub_menu(std::format("search --no-floppy --file --set=medium /boot/{}\n", id), "($medium)/boot", "", line);
}

std::string ipxe_menu(const std::string& line) {
  std::string menu = "#!ipxe\nmenu Signet\n";
  const auto item = [&](std::string_view name, std::string_view text) {
    menu += std::format("item --key {} {} {}: {}\n", name[0], name, name, text);
  };
  item(automatic.name, automatic.text);
  item(install.name, install.text);
  item("local", local_text);
  item(rescue.name, rescue.text);
  menu += std::format("choose --default automatic --timeout {} target || set target automatic\ngoto ${{target}}\n", seconds * 1000);
  for (const auto& each : {install, rescue}) menu += std::format(":{}\nset words{}\ngoto automatic\n", each.name, each.words);
  // UEFI goes on with its next boot option after an error; a BIOS need not be asked for its first hard disk.
  menu += ":local\niseq ${platform} efi && exit 1 ||\nsanboot --no-describe --drive 0x80 || exit 1\n";
  return menu +
         std::format(":automatic\nkernel vmlinuz initrd=initrd.img {} ${{words}} BOOTIF=01-${{netX/mac:hexhyp}}\ninitrd initrd.img\nboot\n", line);
}

}  // namespace signet
