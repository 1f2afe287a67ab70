// What this node has on its disks already, and whether that is started or installed anew.
#pragma once

#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "agent/context.h"
#include "machine/mark.h"

namespace signet {

/// A system whose install was completed, on a disk that still has the partition table of that install.
struct Installed {
  std::string disk;  // its path
  Mark mark;
  /// "node01, installed on 2026-11-21 (/dev/vda)".
  std::string describe() const;
};

/// Those of these disks, the newest first.
std::vector<Installed> installed_systems(const std::vector<Disk>& disks);

/// The digests that the mark of an install of this context has.
struct Digests {
  std::string profile, image;  // SHA-256 in hex; empty if unknown
};
Digests digests_of(const Context& context);

/// What is not as it was when the system was installed: "the profile", "the image", "the profile and the image"; empty if nothing is known to be
/// different. Digests that one side does not know are not compared.
std::string what_changed(const Mark& then, const Digests& now);

/// --install, else signet.install, else what the profile says. A word that is not known is reported, and counts as `once`.
InstallRule install_rule(Context& context);

/// The systems among `context.machine.disks` that are this host's, by any of its names.
std::vector<Installed> own_systems(const Context& context);

}  // namespace signet
