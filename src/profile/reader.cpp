#include "profile/reader.h"

#include <algorithm>
#include <format>
#include <set>

#include "base/digest.h"
#include "base/duration.h"
#include "base/host_name.h"
#include "base/text.h"
#include "profile/values.h"
#include "profile/words.h"

namespace signet {

Profile Reader::read(const toml::table& table) {
  // `extends` has been carried out and is gone; it is named so that a slip of the fingers is understood.
  Section top(table, "",
              {"schema", "extends", "install", "image", "disk", "raid", "volume_group", "luks", "network", "configure", "hooks", "finish", "report"},
              diagnostics_);
  if (!top.has("schema") && whole_) top.note(root_, "schema is missing: write `schema = 1` at the top");
  for (const char* later : {"raid", "volume_group", "luks"})
    if (top.has(later))
      top.note(top.place(later), std::format("{}: this version of Signet makes partitions and file systems only; take [[{}]] out", later, later));
  if (top.has("report")) top.note(top.place("report"), "report: this version of Signet keeps its events on the node; take `report` out");

  Profile profile;
  profile.install = top.word("install", install_words).value_or(InstallRule::once);
  if (const auto* image = top.table("image"))
    profile.image = read_image(*image);
  else if (whole_ && !top.has("image"))
    top.note(root_, "image.source is missing: which image shall be installed?");
  for (const auto* disk : top.tables("disk")) profile.disks.push_back(read_disk(*disk));
  if (whole_ && !top.has("disk")) top.note(root_, "disk is missing: a profile needs at least one [[disk]]");
  check_disks(profile.disks);
  if (const auto* network = top.table("network")) profile.network = read_network(*network);
  if (const auto* configure = top.table("configure")) profile.configure = read_configure(*configure);
  if (const auto* hooks = top.table("hooks")) profile.hooks = read_hooks(*hooks);
  if (const auto* finish = top.table("finish")) profile.finish = read_finish(*finish);
  return profile;
}

ImageRule Reader::read_image(const toml::table& table) {
  Section section(table, "image", {"source", "sha256"}, diagnostics_);
  ImageRule rule;
  rule.place = section.place();
  if (const auto source = section.string("source")) rule.source = resolve(section, "source", section.place("source"), *source).value_or("");
  if (!section.has("source") && whole_) section.missing("source", "which image shall be installed?");
  if (const auto digest = section.checked("sha256", check_sha256)) rule.sha256 = parse_sha256(*digest).value_or("");
  return rule;
}

std::optional<std::string> Reader::resolve(Section& section, std::string_view key, const Place& place, std::string_view reference) {
  const auto base = parse_uri(place.file);
  const auto uri = reference.empty() ? fail(ErrorKind::invalid, "it is empty") : base ? resolve_uri(*base, reference) : parse_uri(reference);
  if (uri) return uri->secret_text();
  section.note(place, std::format("{}: {}", section.path(key), uri.error().message()));
  return std::nullopt;
}

std::vector<std::string> Reader::read_references(Section& section, std::string_view key) {
  std::vector<std::string> resolved;
  for (const auto& [text, place] : section.strings(key))
    if (auto uri = resolve(section, key, place, text)) resolved.push_back(std::move(*uri));
  return resolved;
}

NetworkRule Reader::read_network(const toml::table& table) {
  Section section(table, "network", {"hostname", "interface"}, diagnostics_);
  NetworkRule rule;
  if (const auto text = section.checked("hostname", check_host_name))
    if (const auto name = HostName::parse(*text)) rule.hostname = name->text();
  for (const auto* each : section.tables("interface")) rule.interfaces.push_back(read_interface(*each));
  return rule;
}

InterfaceRule Reader::read_interface(const toml::table& table) {
  Section section(table, "network.interface", {"name", "match", "dhcp", "addresses", "gateway", "dns", "mtu", "vlan", "bond"}, diagnostics_);
  InterfaceRule rule;
  rule.place = section.place();
  for (const char* later : {"vlan", "bond"})
    if (section.has(later))
      section.note(section.place(later), std::format("network.interface.{}: this version of Signet configures plain Ethernet only", later));
  rule.name = section.checked("name", check_interface_name).value_or("");
  rule.match_mac = to_lower(section.checked("match", check_mac).value_or(""));
  if (!section.has("name") && !section.has("match")) section.missing("name", "name the interface (\"eth0\", \"en*\") or match its MAC address");
  if (section.has("name") && section.has("match"))
    section.note(section.place("name"), "network.interface.name: give a name or match a MAC address, not both");
  rule.addresses = section.checked_list("addresses", check_address_with_prefix);
  rule.dhcp = section.boolean("dhcp").value_or(rule.addresses.empty());
  rule.gateway = section.checked("gateway", check_address).value_or("");
  rule.dns = section.checked_list("dns", check_address);
  if (const auto mtu = section.number("mtu")) {
    if (*mtu < 576 || *mtu > 65535) section.note(section.place("mtu"), std::format("network.interface.mtu: {} is not between 576 and 65535", *mtu));
    rule.mtu = static_cast<unsigned>(std::min<std::uint64_t>(*mtu, 65535));
  }
  return rule;
}

ConfigureRule Reader::read_configure(const toml::table& table) {
  Section section(table, "configure", {"timezone", "locale", "keyboard", "users", "ssh_keys", "root_password", "boot_loader", "kernel_args"},
                  diagnostics_);
  ConfigureRule rule;
  rule.timezone = section.checked("timezone", check_time_zone).value_or("");
  rule.locale = section.checked("locale", check_locale).value_or("");
  rule.keyboard = section.checked("keyboard", check_keyboard).value_or("");
  rule.ssh_keys = section.checked_list("ssh_keys", check_ssh_key);
  rule.root_password_hash = section.checked("root_password", check_password_hash).value_or("");
  rule.boot_loader = section.word("boot_loader", boot_loader_words).value_or(BootLoader::automatic);
  rule.kernel_args = section.checked("kernel_args", check_line).value_or("");
  std::set<std::string> names;
  for (const auto* each : section.tables("users")) {
    rule.users.push_back(read_user(*each));
    const auto& name = rule.users.back().name;
    if (!name.empty() && !names.insert(name).second)
      section.note(place_of(*each->get("name")), std::format("configure.users.name: `{}` stands here twice", name));
  }
  return rule;
}

UserRule Reader::read_user(const toml::table& table) {
  Section section(table, "configure.users", {"name", "password", "groups", "ssh_keys", "shell", "sudo"}, diagnostics_);
  UserRule rule;
  rule.name = section.checked("name", check_user_name).value_or("");
  if (!section.has("name")) section.missing("name", "a user needs a name");
  if (rule.name == "root")
    section.note(section.place("name"), "configure.users.name: root is there already; use configure.root_password and configure.ssh_keys");
  rule.password_hash = section.checked("password", check_password_hash).value_or("");
  rule.groups = section.checked_list("groups", check_user_name);
  rule.ssh_keys = section.checked_list("ssh_keys", check_ssh_key);
  rule.shell = section.checked("shell", check_shell).value_or("/bin/bash");
  rule.sudo = section.boolean("sudo").value_or(false);
  return rule;
}

HooksRule Reader::read_hooks(const toml::table& table) {
  Section section(table, "hooks", {"pre_install", "post_install", "timeout"}, diagnostics_);
  HooksRule rule;
  rule.pre_install = read_references(section, "pre_install");
  rule.post_install = read_references(section, "post_install");
  if (const auto text = section.checked("timeout", check_timeout)) rule.timeout = *parse_duration(*text);
  return rule;
}

FinishRule Reader::read_finish(const toml::table& table) {
  Section section(table, "finish", {"on_success", "on_failure", "boot_order"}, diagnostics_);
  FinishRule rule;
  rule.on_success = section.word("on_success", action_words).value_or(FinishAction::reboot);
  rule.on_failure = section.word("on_failure", action_words).value_or(FinishAction::shell);
  rule.boot_order = section.word("boot_order", boot_order_words).value_or(BootOrder::disk_first);
  return rule;
}

}  // namespace signet
