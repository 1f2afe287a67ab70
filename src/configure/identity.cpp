// What must differ between two machines that come from one image: machine-id, SSH host keys, random seed.
#include <sys/random.h>

#include <array>
#include <chrono>

#include "base/process.h"
#include "base/text.h"
#include "configure/steps.h"

namespace signet {
namespace {

// machine-id(5): 32 hexadecimal digits, a random UUID of version 4.
std::string new_machine_id() {
  std::array<unsigned char, 16> bytes{};
  [[maybe_unused]] const auto got = ::getrandom(bytes.data(), bytes.size(), 0);
  bytes[6] = static_cast<unsigned char>((bytes[6] & 0x0f) | 0x40);
  bytes[8] = static_cast<unsigned char>((bytes[8] & 0x3f) | 0x80);
  return to_hex(bytes);
}

}  // namespace

Result<> configure_identity(const TargetRoot& target, Report& report) {
  if (target.exists("/etc/machine-id") || target.exists("/usr/lib/systemd")) {
    const auto id = new_machine_id() + "\n";
    TRY(target.write("/etc/machine-id", id, 0444));
    // Where D-Bus has a copy that is no link, the two must agree.
    if (target.exists("/var/lib/dbus/machine-id")) TRY(target.write("/var/lib/dbus/machine-id", id, 0444));
  }
  TRY(target.remove("/var/lib/systemd/random-seed"));
  for (const auto& name : target.list("/etc/ssh"))
    if (name.starts_with("ssh_host_")) TRY(target.remove("/etc/ssh/" + name));
  if (const auto keygen = target.find_tool("ssh-keygen"); keygen && target.find_tool("sshd")) {
    report.log("making SSH host keys");
    TRY_WITHIN(run_checked({.arguments = {*keygen, "-A"}, .root = target.path(), .time_limit = std::chrono::minutes(5)}), "SSH host keys");
  }
  return {};
}

Result<> configure_time_and_locale(const TargetRoot& target, const ConfigureRule& rule) {
  if (!rule.timezone.empty()) {
    if (!target.exists("/usr/share/zoneinfo/" + rule.timezone))
      return std::unexpected(Error(ErrorKind::not_found, "the image has no time zone `" + rule.timezone + "` in /usr/share/zoneinfo")
                                 .advise("correct configure.timezone, or put tzdata into the image"));
    TRY(target.link("/etc/localtime", "/usr/share/zoneinfo/" + rule.timezone));
    TRY(target.write("/etc/timezone", rule.timezone + "\n"));
  }
  if (!rule.locale.empty()) {
    const bool built_in = rule.locale == "C" || rule.locale == "C.UTF-8" || rule.locale == "POSIX";
    if (const auto tool = target.find_tool("locale-gen"); tool && !built_in) {
      auto list = target.read("/etc/locale.gen").value_or("");
      const auto line = rule.locale + " " + (rule.locale.contains('.') ? rule.locale.substr(rule.locale.find('.') + 1) : "ISO-8859-1");
      if (!("\n" + list).contains("\n" + line)) {
        TRY(target.write("/etc/locale.gen", list + line + "\n"));
        TRY(run_checked({.arguments = {*tool}, .root = target.path(), .time_limit = std::chrono::minutes(10)}));
      }
    }
    const char* path = target.exists("/etc/default") ? "/etc/default/locale" : "/etc/locale.conf";
    TRY(target.write(path, with_setting(target.read(path).value_or(""), "LANG", rule.locale)));
  }
  if (!rule.keyboard.empty()) {
    const bool debian = target.exists("/etc/default");
    const char* path = debian ? "/etc/default/keyboard" : "/etc/vconsole.conf";
    TRY(target.write(path, with_setting(target.read(path).value_or(""), debian ? "XKBLAYOUT" : "KEYMAP", "\"" + rule.keyboard + "\"")));
  }
  return {};
}

std::string with_setting(std::string_view text, std::string_view name, std::string_view value) {
  std::string out;
  bool placed = false;
  const auto own = std::string(name) + "=";
  for (const auto line : split(text, '\n')) {
    if (trim(line).starts_with(own)) {
      if (!placed) out.append(own).append(value).append("\n");
      placed = true;
      continue;
    }
    out.append(line).append("\n");
  }
  while (out.ends_with("\n\n")) out.pop_back();
  if (out == "\n") out.clear();
  if (!placed) out.append(own).append(value).append("\n");
  return out;
}

}  // namespace signet
