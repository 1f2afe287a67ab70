// The settings of a node: words signet.NAME=VALUE on the kernel command line, or NAME = VALUE in local.cfg. One table, for both readers and the
// manual.
#pragma once

#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

namespace signet {

class KernelCommandLine;

struct SettingRule {
  enum class Kind {
    text,
    flag,    // nothing, 1, yes, on or true; 0, no, off or false
    number,  // whole, not negative
    time,    // base/duration.h; 0 and no: never
    word,    // one of `words`
    list,    // some of `words`, separated by commas
  };
  std::string_view name;
  Kind kind;
  std::string_view help;
  std::string_view words = {};     // separated by blanks
  bool only_local_config = false;  // the kernel has a word of its own for it
};

/// Sorted by subject, as docs/booting.md has them.
std::span<const SettingRule> known_settings();
const SettingRule* find_setting(std::string_view name);

/// Why a value is not one of those that the setting takes, with the nearest that is; nothing if it is right.
std::optional<std::string> mistake_in(const SettingRule& rule, std::string_view value);

/// Every signet.… of the kernel command line that is not a setting, and every value that its setting does not take. An unknown word changes nothing,
/// and a wrong value counts as if it was not there.
std::vector<std::string> mistakes_in(const KernelCommandLine& line);

}  // namespace signet
