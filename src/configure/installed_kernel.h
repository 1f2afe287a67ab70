// The kernel of an installed system, as its boot loader would start it: for kexec.
#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "configure/target_root.h"

namespace signet {

struct KernelEntry {
  std::string kernel;                // path in the target: "/boot/vmlinuz-6.12.9-amd64"
  std::vector<std::string> initrds;  // in the order in which the kernel gets them; may be none
  std::string arguments;
};

/// The first entry of a grub.cfg (`linux`, `linux16`, `linuxefi` and `initrd…` lines) or of one Boot Loader Specification file (`linux`, `initrd`,
/// `options`), paths as they are written there. Words with a variable of GRUB's ($vt_handoff) are left out. An empty kernel: there is none.
KernelEntry first_entry(std::string_view text);

/// The entry that the boot loader starts by default: the first of /boot/grub/grub.cfg or grub2/grub.cfg, or the newest of /boot/loader/entries; where
/// there is none, the newest /boot/vmlinuz-VERSION with the initrd of that version. Arguments without a root get `root` ("root=UUID=…") in front.
/// not_found if the target has no kernel.
Result<KernelEntry> default_kernel(const TargetRoot& target, std::string_view root);

/// kexec_file_load(2) of it; fails where the running kernel may load no other (lockdown).
Result<> load_kernel(const TargetRoot& target, const KernelEntry& entry);

}  // namespace signet
