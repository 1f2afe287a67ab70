// File systems of ours: SIGNET is the boot medium's, SIGNET-CFG has its local.cfg. A label alone says nothing of whose it is: anybody may write one,
// so `signet media` packs a random id into a medium and its initrd.
//
// Every block device is probed once for its label. One that has neither is remembered in /run/signet, by the kernel's number of its appearance, so
// that a disk that answers slowly, or with errors, costs a node that time once.
#pragma once

#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "base/result.h"

namespace signet {

inline constexpr std::string_view config_label = "SIGNET-CFG", medium_label = "SIGNET";

struct Medium {
  std::string device;  // "/dev/sda3"
  std::string label;   // config_label or medium_label
};

/// The file systems with these labels, in the order of the kernel's names.
std::vector<Medium> find_media();

/// A file of a medium, which is mounted read-only below /run/signet for that long; nothing if it has no such file.
Result<std::optional<std::string>> read_from(const Medium& medium, std::string_view file, std::size_t limit);
/// The same of the boot medium, or nothing if there is none.
Result<std::optional<std::string>> read_from_medium(std::string_view file, std::size_t limit);

/// The random id that `signet media` has packed into a medium and its initrd; empty if this machine was not started from one.
std::string boot_medium_id();
/// True if the medium has this id, which is not empty.
bool has_id(const Medium& medium, const std::string& id);

/// True if the disk, or one of its partitions, is the medium that this machine was started from: labelled as ours, and with `id` in its file
/// medium.id.
bool is_boot_medium(const std::string& name, const std::string& id, const std::string& sys = "/sys", const std::string& dev = "/dev");

}  // namespace signet
