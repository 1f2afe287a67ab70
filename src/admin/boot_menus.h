// The menus of the boot loaders, as text. Each shows the same four entries, takes automatic by itself after 5 s, and takes the first letter of
// another at the screen and at a serial console:
//
//   automatic   install if this machine is to be installed, else start its disk
//   install     install now, also over a complete installation (signet.install=always)
//   local       start the local disk
//   rescue      a shell; nothing is installed (signet.rescue)
//
// `line` is the kernel's command line.
#pragma once

#include <string>

namespace signet {

/// pxelinux.cfg/default; files, menu.c32 among them, lie in the TFTP directory.
std::string pxelinux_menu(const std::string& line);
/// isolinux.cfg. `local` starts the BIOS's first disk, or from a stick the second, for the stick itself is the first.
std::string isolinux_menu(const std::string& line, bool stick);
/// grub.cfg of the TFTP directory.
std::string grub_network_menu(const std::string& line);
/// grub.cfg in the EFI system partition of a CD or stick; kernel and initrd lie on the file system that has the file /boot/`id`.
std::string grub_medium_menu(const std::string& line, const std::string& id);
/// boot.ipxe.
std::string ipxe_menu(const std::string& line);

}  // namespace signet
