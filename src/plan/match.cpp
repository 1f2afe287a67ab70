#include "plan/match.h"

#include <fnmatch.h>

#include <algorithm>
#include <format>

#include "base/size.h"
#include "base/text.h"

namespace signet {

std::string why_not(const DiskMatch& match, const Disk& disk) {
  std::string why;
  const auto add = [&](const std::string& text) { why += (why.empty() ? "" : ", ") + text; };
  const auto pattern = [&](const char* name, const std::optional<std::string>& wanted, const std::string& have, int flags) {
    if (wanted && ::fnmatch(wanted->c_str(), have.c_str(), flags) != 0)
      add(have.empty() ? std::format("it has no {}", name) : std::format("{} \"{}\" is not \"{}\"", name, have, *wanted));
  };
  pattern("path", match.path, disk.path, 0);
  pattern("wwn", match.wwn, disk.wwn, FNM_CASEFOLD);
  pattern("serial", match.serial, disk.serial, FNM_CASEFOLD);
  pattern("model", match.model, disk.model, FNM_CASEFOLD);
  pattern("transport", match.transport, disk.transport, FNM_CASEFOLD);
  if (match.size && !match.size->holds(disk.size)) add(std::format("size {} is not {}", format_size(disk.size), match.size->text));
  if (match.rotational && *match.rotational != disk.rotational) add(disk.rotational ? "it rotates" : "it does not rotate");
  if (match.index && *match.index != disk.index) add(std::format("index {} is not {}", disk.index, *match.index));
  return why;
}

std::string sets_apart(const Disk& disk, std::span<const Disk* const> others) {
  const auto alone = [&](std::string Disk::* property) {
    const auto& value = disk.*property;
    // What fnmatch(3) or TOML would read otherwise is better not offered to be copied.
    return !value.empty() && value.find_first_of("*?[\\\"") == std::string::npos &&
           std::ranges::none_of(others, [&](const Disk* other) { return other != &disk && to_lower(other->*property) == to_lower(value); });
  };
  if (alone(&Disk::serial)) return std::format("serial = \"{}\"", disk.serial);
  if (alone(&Disk::wwn)) return std::format("wwn = \"{}\"", disk.wwn);
  return std::format("path = \"{}\"", disk.path);
}

}  // namespace signet
