// configure/: from inside the target, make the copied image this host's own system.
//
// Files are read and written with openat2(2) RESOLVE_IN_ROOT, so a symbolic link in the image never leads out of it; tools of the image run in a
// chroot, in mount and process namespaces of their own, with /proc /sys /run and a /dev of the planned disks. Which file or tool is used is decided
// by footprints: what the image has, not what it is called.
#pragma once

#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "configure/boot_entry.h"
#include "configure/grub_core.h"
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

/// Writes the boot loader's configuration and files: GRUB for BIOS or UEFI by the image's own grub-install(8) and grub-mkconfig(8), on a disk or an
/// image file. Nothing that firmware starts is written: for UEFI the files go where it does not look (filesystem/esp.h), for BIOS what lies outside
/// the file systems is returned and the caller writes it when everything else is on the disk.
Result<std::optional<GrubCore>> install_boot_loader(const ConfigureInputs& inputs, Report& report);

inline constexpr const char* efi_variables = "/sys/firmware/efi/efivars";

/// Tells UEFI firmware to start the installed system: an entry Boot#### of its own in place of all that point to the same partition, its place in
/// BootOrder, and BootNext. Writes through efivarfs at `variables`; does nothing for BIOS and for image files. The description that the firmware's
/// menu shows is NAME of the image's os-release(5), read from `name`.
Result<> set_boot_entry(const ConfigureInputs& inputs, const std::string& name, Report& report, const std::string& variables = efi_variables);

/// A Boot#### for \EFI\BOOT\BOOTX64.EFI of a partition, in place of all that point to it; in BootOrder first or where it was or last; and BootNext.
/// Its number. What it has written is removed again if a variable cannot be written.
Result<std::uint16_t> add_boot_entry(const std::string& name, const BootPartition& partition, bool first,
                                     const std::string& variables = efi_variables);

/// Removes every boot entry that points to one of these partitions (GPT unique GUIDs, in text), and its place in BootOrder and BootNext: how many.
Result<unsigned> forget_boot_entries(const std::vector<std::string>& partitions, const std::string& variables = efi_variables);

/// Makes UEFI firmware start a disk at the next start and only then (BootNext): by an entry that points to one of its partitions, else by a new one
/// for \EFI\BOOT\BOOTX64.EFI of its EFI system partition, which BootOrder does not name.
Result<> start_next_from(const std::string& disk, const std::string& variables = efi_variables);

/// How often in a row the firmware has been asked to start what `state` (text) stands for, as note_asked() has noted it in a UEFI variable of
/// Signet's own; at most 255.
unsigned times_asked(std::string_view state, const std::string& variables = efi_variables);
Result<> note_asked(std::string_view state, unsigned times, const std::string& variables = efi_variables);

/// The unique GUIDs of a disk's partitions; none if it has no GPT.
std::vector<std::string> partition_guids(const std::string& disk);

/// NAME of the os-release(5) of the system below `root`; "Linux" if it says none.
std::string system_name(const std::string& root);

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
