#include <format>

#include "base/duration.h"
#include "base/size.h"
#include "profile/profile.h"
#include "profile/values.h"
#include "profile/words.h"

namespace signet {
namespace {

// TOML 1.0, basic strings.
std::string quoted(std::string_view text) {
  std::string out = "\"";
  for (const char c : text) {
    if (c == '"' || c == '\\')
      out.append("\\").append(1, c);
    else if (static_cast<unsigned char>(c) < 0x20 || c == 0x7f)
      out += std::format("\\u{:04X}", static_cast<unsigned>(c));
    else
      out += c;
  }
  return out + "\"";
}

std::string list(const std::vector<std::string>& texts) {
  std::string out = "[";
  for (const auto& text : texts) out.append(out.size() > 1 ? ", " : "").append(quoted(text));
  return out + "]";
}

// Lines of `key = value` below a heading that stands there only if there are any.
class Block {
 public:
  explicit Block(std::string heading) : heading_(std::move(heading)) {}
  void add(std::string_view key, std::string_view value) { lines_ += std::format("{} = {}\n", key, value); }
  void text(std::string_view key, const std::string& value) {
    if (!value.empty()) add(key, quoted(value));
  }
  void texts(std::string_view key, const std::vector<std::string>& values) {
    if (!values.empty()) add(key, list(values));
  }
  std::string str() const { return lines_.empty() ? "" : "\n" + heading_ + "\n" + lines_; }

 private:
  std::string heading_;
  std::string lines_;
};

std::string match_table(const DiskMatch& match) {
  std::string text;
  const auto add = [&](std::string_view key, const std::string& value) { text += std::format("{}{} = {}", text.empty() ? " " : ", ", key, value); };
  const auto add_text = [&](std::string_view key, const std::optional<std::string>& value) {
    if (value) add(key, quoted(*value));
  };
  add_text("path", match.path);
  add_text("wwn", match.wwn);
  add_text("serial", match.serial);
  add_text("model", match.model);
  add_text("transport", match.transport);
  if (match.size) add("size", quoted(match.size->text));
  if (match.rotational) add("rotational", *match.rotational ? "true" : "false");
  if (match.index) add("index", std::to_string(*match.index));
  return "{" + text + " }";
}

std::string partition_table(const PartitionRule& rule) {
  std::string text = std::format("{{ name = {}, size = {}, type = {}", quoted(rule.name), quoted(to_string(rule.size)), quoted(to_string(rule.type)));
  if (rule.format != FormatType::none) text += ", format = " + quoted(to_string(rule.format));
  if (rule.compat != Compat::automatic) text += ", compat = " + quoted(to_string(rule.compat));
  if (!rule.label.empty()) text += ", label = " + quoted(rule.label);
  if (!rule.mount.empty()) text += ", mount = " + quoted(rule.mount);
  if (!rule.options.empty()) text += ", options = " + list(rule.options);
  return text + " }";
}

}  // namespace

std::string network_and_configure_toml(const Profile& profile) {
  std::string text;
  Block network("[network]");
  network.text("hostname", profile.network.hostname);
  text += network.str();
  for (const auto& interface : profile.network.interfaces) {
    Block block("[[network.interface]]");
    block.text("name", interface.name);
    block.text("match", interface.match_mac);
    block.add("dhcp", interface.dhcp ? "true" : "false");
    block.texts("addresses", interface.addresses);
    block.text("gateway", interface.gateway);
    block.texts("dns", interface.dns);
    if (interface.mtu) block.add("mtu", std::to_string(*interface.mtu));
    text += block.str();
  }
  const auto& rule = profile.configure;
  Block configure("[configure]");
  configure.text("timezone", rule.timezone);
  configure.text("locale", rule.locale);
  configure.text("keyboard", rule.keyboard);
  configure.texts("ssh_keys", rule.ssh_keys);
  configure.text("root_password", rule.root_password_hash);
  if (rule.boot_loader != BootLoader::automatic) configure.add("boot_loader", quoted(word_of(boot_loader_words, rule.boot_loader)));
  configure.text("kernel_args", rule.kernel_args);
  text += configure.str();
  for (const auto& user : rule.users) {
    Block block("[[configure.users]]");
    block.text("name", user.name);
    block.text("password", user.password_hash);
    block.texts("groups", user.groups);
    block.texts("ssh_keys", user.ssh_keys);
    block.text("shell", user.shell);
    block.add("sudo", user.sudo ? "true" : "false");
    text += block.str();
  }
  return text;
}

std::string to_toml(const Profile& profile) {
  std::string text = "schema = 1\n";
  if (profile.install != InstallRule::once) text += std::format("install = {}\n", quoted(to_string(profile.install)));
  Block image("[image]");
  image.text("source", profile.image.source);
  image.text("sha256", profile.image.sha256);
  text += image.str();
  for (const auto& disk : profile.disks) {
    text += std::format("\n[[disk]]\nid = {}\nmatch = {}\nwipe = {}\ntable = {}\npartition = [\n", quoted(disk.id), match_table(disk.match),
                        quoted(to_string(disk.wipe)), quoted(to_string(disk.table)));
    for (const auto& partition : disk.partitions) text += "  " + partition_table(partition) + ",\n";
    text += "]\n";
  }
  text += network_and_configure_toml(profile);
  Block hooks("[hooks]");
  hooks.texts("pre_install", profile.hooks.pre_install);
  hooks.texts("post_install", profile.hooks.post_install);
  if (profile.hooks.timeout != HooksRule().timeout) hooks.add("timeout", quoted(format_duration(profile.hooks.timeout)));
  text += hooks.str();
  Block finish("[finish]");
  finish.add("on_success", quoted(to_string(profile.finish.on_success)));
  finish.add("on_failure", quoted(to_string(profile.finish.on_failure)));
  if (profile.finish.boot_order != BootOrder::disk_first) finish.add("boot_order", quoted(word_of(boot_order_words, profile.finish.boot_order)));
  return text + finish.str();
}

}  // namespace signet
