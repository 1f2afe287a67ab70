#include <filesystem>
#include <utility>
#include <vector>

#include "admin/boot_menus.h"
#include "admin/fat.h"
#include "admin/host_tools.h"
#include "admin/media.h"
#include "admin/media_parts.h"
#include "admin/part_file.h"
#include "admin/stick.h"
#include "base/fd.h"
#include "base/size.h"
#include "fetch/fetch.h"
#include "machine/medium.h"

namespace signet {
namespace {

constexpr std::uint64_t config_size = MiB;  // of the SIGNET-CFG file system

// The EFI system partition: GRUB with the menu, or, signed, the program alone, for Secure Boot would let no unsigned GRUB start.
Result<> make_esp(const MediaRequest& request, const Parts& parts, const Scratch& scratch, const std::string& id, const std::string& esp) {
  const auto program = scratch / "bootx64.efi", menu = scratch / "grub.cfg";
  std::vector<std::pair<std::string, std::string>> files = {{"/EFI/BOOT/BOOTX64.EFI", program}};
  if (request.sign.empty()) {
    const auto grub = TRY(read_part(request.parts, "boot/grubnetx64.efi", largest_loader));
    const auto line = TRY(command_line(request, true));
    TRY(write_file(program, grub));
    // GRUB takes a stick's partition for its own place, but of a CD the whole; so the menu lies on both.
    TRY(make_directories(scratch / "tree/EFI/BOOT"));
    for (const auto& place : {menu, scratch / "tree/EFI/BOOT/grub.cfg"}) TRY(write_file(place, grub_medium_menu(line, id)));
    files.emplace_back("/EFI/BOOT/grub.cfg", menu);
  } else {
    const auto unified = TRY(unified_kernel(request, parts, true));
    TRY(write_file(program, unified));
  }
  // FAT's own tables and clusters take a little; two MiB are enough for two files.
  std::error_code error;
  const auto size = std::filesystem::file_size(program, error);
  if (error) return fail(ErrorKind::io, "size of {}: {}", program, error.message());
  return make_fat(esp, (size / MiB + 2) * MiB, "SIGNET-EFI", files);
}

Result<> make_hybrid(const MediaRequest& request, bool stick) {
  // With keys the initrd has the settings, where they cannot be changed without making it anew; the medium's own file may add a few.
  auto parts = TRY(load_parts(request, !request.trust.empty()));
  TRY(check_signing(request, parts));
  const auto line = TRY(command_line(request, true));
  const auto config = TRY(config_page(request));
  const auto node_id = TRY(medium_id(request, parts, config));
  TRY(add_to_initrd(parts.initrd, "/etc/signet/medium.id", node_id));
  const auto scratch = TRY(Scratch::make());
  const auto tree = scratch / "tree";
  TRY(make_directories(tree + "/boot/tools"));
  TRY(make_directories(tree + "/isolinux"));
  TRY(write_file(tree + "/boot/vmlinuz", parts.kernel));
  TRY(write_file(tree + "/boot/initrd.img", parts.initrd));
  TRY(write_file(tree + "/local.cfg", config));  // a CD has no partitions
  TRY(write_file(tree + "/medium.id", node_id));
  TRY(write_file(tree + "/isolinux/isolinux.cfg", isolinux_menu(line, stick)));
  // GRUB finds this medium, and no other of ours, by the name of a file.
  const auto id = "signet-" + sha256_text(parts.kernel + parts.initrd + line).substr(0, 16);
  TRY(write_file(tree + "/boot/" + id, "This file tells GRUB which medium it started from.\n"));
  for (const char* loader : {"isolinux.bin", "ldlinux.c32", "menu.c32", "libutil.c32", "chain.c32", "libcom32.c32"})
    TRY(copy_loader(request, loader, tree + "/isolinux"));
  TRY(copy_loader(request, "isohdpfx.bin", scratch / ""));
  TRY(copy_tools(request, tree + "/boot/tools"));
  const auto esp = scratch / "esp.img", settings = scratch / "config.img";
  TRY(make_esp(request, parts, scratch, id, esp));
  TRY(make_fat(settings, config_size, std::string(config_label), {{"/local.cfg", tree + "/local.cfg"}, {"/medium.id", tree + "/medium.id"}}));
  return run_tool({"xorriso",
                   "-as",
                   "mkisofs",
                   "-quiet",
                   "-o",
                   request.out,
                   "-V",
                   std::string(medium_label),
                   "-r",
                   "-J",
                   "-isohybrid-mbr",
                   scratch / "isohdpfx.bin",
                   "-b",
                   "isolinux/isolinux.bin",
                   "-c",
                   "isolinux/boot.cat",
                   "-no-emul-boot",
                   "-boot-load-size",
                   "4",
                   "-boot-info-table",
                   "-eltorito-alt-boot",
                   "-e",
                   "--interval:appended_partition_2:all::",
                   "-no-emul-boot",
                   "-partition_offset",
                   "16",
                   "-append_partition",
                   "2",
                   "0xef",
                   esp,
                   "-append_partition",
                   "3",
                   "0x0c",
                   settings,
                   tree},
                  "xorriso");
}

}  // namespace

Result<> make_iso(const MediaRequest& request) { return make_hybrid(request, false); }

Result<> make_usb(const MediaRequest& request) {
  if (request.device.empty()) return make_hybrid(request, true);
  // Opened once: what is described here is what is written below, whatever happens to the device's name in between.
  auto stick = TRY(Stick::open(request.device));
  TRY(stick.check({.force = request.force, .yes = request.yes, .serial = request.serial}));
  const auto scratch = TRY(Scratch::make());
  auto whole = request;
  whole.out = scratch / "signet.iso";
  TRY(make_hybrid(whole, true));
  if (!request.yes) TRY(stick.ask());
  return stick.write(whole.out);
}

}  // namespace signet
