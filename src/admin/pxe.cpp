#include "admin/boot_menus.h"
#include "admin/host_tools.h"
#include "admin/media.h"
#include "admin/media_parts.h"
#include "base/fd.h"

namespace signet {

Result<> make_pxe(const MediaRequest& request) {
  const auto parts = TRY(load_parts(request, true));
  const auto line = TRY(command_line(request, false));
  const auto program = TRY(unified_kernel(request, parts, false));
  const auto& out = request.out;
  TRY(make_directories(out + "/pxelinux.cfg"));
  TRY(write_file(out + "/vmlinuz", parts.kernel));
  TRY(write_file(out + "/initrd.img", parts.initrd));
  TRY(write_file(out + "/signet.efi", program));
  // What a firmware of each kind fetches first; each then reads its configuration from this directory.
  for (const char* loader : {"lpxelinux.0", "ldlinux.c32", "menu.c32", "libutil.c32", "grubnetx64.efi", "undionly.kpxe", "snponly.efi"})
    TRY(copy_loader(request, loader, out));
  TRY(copy_tools(request, out + "/tools"));
  TRY(write_file(out + "/pxelinux.cfg/default", pxelinux_menu(line)));
  TRY(write_file(out + "/grub.cfg", grub_network_menu(line)));
  return write_file(out + "/boot.ipxe", ipxe_menu(line));
}

}  // namespace signet
