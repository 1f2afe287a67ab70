// configure/: from inside the target, make the copied image this host's own system.
//
// Files are read and written with openat2(2) RESOLVE_IN_ROOT, so a symbolic link in the image never leads out of it; tools of the image run in a
// chroot, in mount and process namespaces of their own, with /proc /sys /run and a /dev of the planned disks. Which file or tool is used is decided
// by footprints: what the image has, not what it is called.
#pragma once

#include <string>
#include <utility>
#include <vector>

#include "network/network.h"
#include "plan/plan.h"
#include "profile/profile.h"
#include "report/report.h"

namespace signet {

struct ConfigureInputs {
  std::string root;  // the target tree, mounted
  const Profile& profile;
  const Plan& plan;
  std::string host_name;  // from profile or identify; empty: as in the image
};

/// Host name and hosts, fstab by UUID, network (ifupdown, systemd-networkd, NetworkManager, netplan: what the image uses), machine-id and SSH
/// host keys made fresh, time zone, locale, keyboard, users and keys. Running it twice gives the same files.
Result<> configure_target(const ConfigureInputs& inputs, Report& report);

/// Writes the boot loader's configuration and then the loader itself, the last write of an install: only after it does the disk boot.
/// GRUB for BIOS or UEFI by the image's own grub-install(8) and grub-mkconfig(8), on a disk or an image file.
Result<> install_boot_loader(const ConfigureInputs& inputs, Report& report);

/// Tells UEFI firmware to start the installed system: an entry Boot#### of its own (an earlier one of the same name is replaced), its place in
/// BootOrder, and BootNext. Writes through efivarfs at `variables`; does nothing for BIOS and for image files. The description that the firmware's
/// menu shows is NAME of the image's os-release(5).
Result<> set_boot_entry(const ConfigureInputs& inputs, Report& report, const std::string& variables = "/sys/firmware/efi/efivars");

/// Programs of the target may run as long as it lives; it makes the directories that their /proc /sys /dev /run are mounted on. Each program has
/// mounts and processes of its own, which end with it (configure/inside.h). On a kernel without process namespaces, processes whose root is the
/// target are ended when this object goes: none may keep it busy.
class ChrootMounts {
 public:
  static Result<ChrootMounts> mount(const std::string& root);
  ChrootMounts(ChrootMounts&& other) noexcept : root_(std::exchange(other.root_, {})) {}
  ChrootMounts(const ChrootMounts&) = delete;
  ~ChrootMounts();

 private:
  ChrootMounts() = default;
  std::string root_;
};

/// Runs a script's text inside the target with its own /bin/sh (a post_install hook); its output goes to the report line by line.
/// After `timeout` it is ended with all that it has started. It sees `environment` and a PATH, HOME and TERM of its own, nothing else of ours.
Result<> run_in_target(const std::string& root, const std::string& name, const std::string& script, const std::vector<std::string>& environment,
                       std::chrono::seconds timeout, Report& report);

}  // namespace signet
