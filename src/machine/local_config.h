// local.cfg: what an admin has written for this machine (or for the medium that it starts from) where no server could say it.
//
// A TOML file of `key = value` lines. It lies on a file system labelled SIGNET-CFG, on the boot medium (SIGNET), or in the initrd. Keys are the
// kernel parameters' names without "signet.", and `network` (as the kernel's ip=) and `console`.
#pragma once

#include <chrono>
#include <functional>
#include <map>
#include <optional>
#include <string>
#include <string_view>

#include "base/result.h"

namespace signet {

struct LocalConfig {
  std::map<std::string, std::string> values;  // booleans are "1" and "0"; lists are joined by blanks
  std::string source;                         // "local.cfg on /dev/sda3"
};

/// Every mistake in one Error of kind invalid, with line and column; an unknown key with the nearest known one (machine/settings.h).
Result<LocalConfig> parse_local_config(std::string_view text, std::string source);

/// The label of the file system on a block device, as libblkid reads it; empty if there is none.
std::string label_of(const std::string& device);

inline constexpr std::string_view config_label = "SIGNET-CFG", medium_label = "SIGNET";

/// The random id that `signet media` has packed into a medium and its initrd; empty if this machine was not started from one.
std::string boot_medium_id();

/// True if the disk, or one of its partitions, is the medium that this machine was started from: labelled as ours, and with `id` in its file
/// medium.id. A label alone says nothing: anybody may have written it.
bool is_boot_medium(const std::string& name, const std::string& id, const std::string& sys = "/sys", const std::string& dev = "/dev");

/// With trusted keys a medium may set only where the server is and how to reach it; every other setting in its local.cfg is an error.
Result<> check_medium_settings(const LocalConfig& config);

/// Looks through every block device for the labels, SIGNET-CFG first, and reads /local.cfg there, which is mounted read-only below `scratch` for that
/// long; else /etc/signet/local.cfg. Where the initrd carries keys, only the boot medium counts, with check_medium_settings(), over the initrd's own.
/// Nothing found is no error. With a `wait` it looks again until a labelled file system is there or the time is up (USB sticks come late); `waiting`
/// is called once when it has to.
Result<std::optional<LocalConfig>> find_local_config(std::chrono::seconds wait, const std::function<void()>& waiting,
                                                     const std::string& scratch = "/run/signet/medium");

/// A file of the boot medium (the file system labelled SIGNET), which is mounted read-only below `scratch` for that long; nothing if there is no
/// medium or no such file on it.
Result<std::optional<std::string>> read_from_medium(std::string_view file, std::size_t limit, const std::string& scratch = "/run/signet/medium");

}  // namespace signet
