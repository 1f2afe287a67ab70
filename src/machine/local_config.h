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

/// With trusted keys a medium may set only where the server is and how to reach it; every other setting in its local.cfg is an error.
Result<> check_medium_settings(const LocalConfig& config);

/// Looks through every block device for the labels, SIGNET-CFG first, and reads /local.cfg there (machine/medium.h); else /etc/signet/local.cfg.
/// Where the initrd carries keys, only the boot medium counts, with check_medium_settings(), over the initrd's own. Nothing found is no error. With a
/// `wait` it looks again until a labelled file system is there or the time is up (USB sticks come late); `waiting` is called once when it has to.
Result<std::optional<LocalConfig>> find_local_config(std::chrono::seconds wait, const std::function<void()>& waiting);

}  // namespace signet
