#include "machine/machine.h"

#include <sys/sysinfo.h>

#include <array>

#include "base/text.h"
#include "machine/sysfs.h"

namespace signet {

Smbios read_smbios(const std::string& sys) {
  const std::string directory = sys + "/class/dmi/id/";
  // What makers forget to fill in; compared in lower case.
  constexpr std::array<std::string_view, 9> placeholders = {
      "none",       "not specified", "to be filled by o.e.m.", "default string", "system serial number", "system product name", "system manufacturer",
      "0123456789", "unknown"};
  const auto field = [&](const char* name) {
    auto value = sysfs::text(directory + name);
    for (const auto placeholder : placeholders)
      if (to_lower(value) == placeholder) value.clear();
    return value;
  };
  Smbios smbios{to_lower(field("product_uuid")), field("product_serial"), field("sys_vendor"), field("product_name")};
  // DSP0134 §7.2.1: all zeros means that there is none, all ones that it is not set.
  if (smbios.uuid.find_first_not_of("0-") == std::string::npos || smbios.uuid.find_first_not_of("f-") == std::string::npos) smbios.uuid.clear();
  return smbios;
}

std::optional<Setting> Machine::setting(std::string_view name) const {
  if (name == "network") {
    if (const auto value = command_line.value("ip")) return Setting{*value, "ip="};
  } else if (const auto value = command_line.signet(name)) {
    return Setting{*value, "signet." + std::string(name)};
  }
  if (!local) return std::nullopt;
  const auto at = local->values.find(std::string(name));
  if (at == local->values.end()) return std::nullopt;
  return Setting{at->second, local->source};
}

bool Machine::flag(std::string_view name) const {
  const auto found = setting(name);
  return found && (found->value.empty() || found->value == "1" || found->value == "yes" || found->value == "on" || found->value == "true");
}

bool Machine::shells_allowed() const {
  const auto is_yes = [](std::string_view value) { return value.empty() || value == "1" || value == "yes" || value == "on" || value == "true"; };
  if (const auto said = command_line.signet("shell")) return is_yes(*said);
  if (locked_down) return false;
  const auto said = setting("shell");
  return !said || is_yes(said->value);
}

bool read_lockdown(const std::string& sys) {
  // "none [integrity] confidentiality"; the kernel's word for the state in force is in brackets.
  const auto text = sysfs::text(sys + "/kernel/security/lockdown");
  return text.contains("[integrity]") || text.contains("[confidentiality]");
}

Machine scan_machine() {
  Machine machine;
  machine.locked_down = read_lockdown();
  machine.links = scan_links();
  machine.smbios = read_smbios();
  machine.command_line = read_kernel_command_line();
  machine.efi = sysfs::exists("/sys/firmware/efi");
  struct sysinfo info{};
  if (::sysinfo(&info) == 0) machine.memory = std::uint64_t{info.totalram} * info.mem_unit;
  return machine;
}

}  // namespace signet
