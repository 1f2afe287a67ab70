#include "machine/local_config.h"

#include <blkid/blkid.h>
#include <sys/mount.h>
#include <sys/stat.h>

#include <algorithm>
#include <format>
#include <memory>
#include <thread>
#include <vector>

#include "base/fd.h"
#include "base/host_name.h"
#include "base/text.h"
#include "base/toml.h"
#include "machine/settings.h"
#include "machine/sysfs.h"

namespace signet {
namespace {

constexpr std::size_t largest_config = 1 << 20;

// Where keys are trusted, what a medium may set: none of these opens a shell, names a key or lowers a limit.
constexpr std::string_view medium_settings[] = {"server", "host", "iface", "network", "console", "syslog", "report", "retries", "settle", "deadline"};
constexpr std::size_t longest_id = 128;

std::optional<std::string> text_of(const toml::node& node) {
  if (const auto text = node.value_exact<std::string>()) return text;
  if (const auto flag = node.value_exact<bool>()) return *flag ? "1" : "0";
  if (const auto number = node.value_exact<std::int64_t>()) return std::to_string(*number);
  const auto* list = node.as_array();
  if (!list) return std::nullopt;
  std::string joined;
  for (const auto& each : *list) {
    const auto text = each.value_exact<std::string>();
    if (!text) return std::nullopt;
    joined += (joined.empty() ? "" : " ") + *text;
  }
  return joined;
}

// Names of whole disks and their partitions, as in /dev.
std::vector<std::string> block_devices(const std::string& sys) {
  std::vector<std::string> found;
  for (const auto& disk : sysfs::names(sys + "/block")) {
    if (disk.starts_with("ram") || disk.starts_with("zram") || disk.starts_with("fd")) continue;
    if (disk.starts_with("loop") && sysfs::number(sys + "/block/" + disk + "/size") == 0) continue;
    found.push_back(disk);
    for (const auto& part : sysfs::names(sys + "/block/" + disk))
      if (part.starts_with(disk)) found.push_back(part);
  }
  return found;
}

// A file of the file system on a device.
Result<std::optional<std::string>> read_from(const std::string& device, std::string_view file, std::size_t limit, const std::string& scratch) {
  ::mkdir(scratch.c_str(), 0700);
  bool mounted = false;
  for (const char* type : {"vfat", "iso9660", "ext4", "squashfs"})
    if (::mount(device.c_str(), scratch.c_str(), type, MS_RDONLY | MS_NOSUID | MS_NODEV | MS_NOEXEC, nullptr) == 0) {
      mounted = true;
      break;
    }
  if (!mounted) return fail_errno("mount {}", device);
  const auto text = read_file(std::format("{}/{}", scratch, file), limit);
  ::umount2(scratch.c_str(), MNT_DETACH);
  if (text) return std::optional(*text);
  if (text.error().kind() == ErrorKind::not_found) return std::optional<std::string>();
  return std::unexpected(text.error());
}

// True if the file system on a device is one of ours and has this id.
bool has_id(const std::string& device, const std::string& id) {
  if (const auto label = label_of(device); id.empty() || (label != config_label && label != medium_label)) return false;
  const auto text = read_from(device, "medium.id", longest_id, "/run/signet/medium");
  return text && *text && trim(**text) == id;
}

}  // namespace

Result<LocalConfig> parse_local_config(std::string_view text, std::string source) {
  LocalConfig config;
  config.source = std::move(source);
  for (std::size_t at = 0; at < text.size(); ++at)
    if (text[at] == '\0') return fail(ErrorKind::invalid, "{}: it has a zero byte, so it is not a text", config.source);
  const auto parsed = toml::parse(text, config.source);
  if (!parsed) {
    const auto& at = parsed.error().source().begin;
    return fail(ErrorKind::invalid, "{}:{}:{}: this is not TOML: {}", config.source, at.line, at.column, printable(parsed.error().description()));
  }
  std::string mistakes;
  for (const auto& [key, node] : parsed.table()) {
    const auto complain = [&](std::string_view why) {
      mistakes += std::format("{}{}:{}:{}: {}", mistakes.empty() ? "" : "\n", config.source, key.source().begin.line, key.source().begin.column, why);
    };
    auto name = std::string(key.str());
    std::ranges::replace(name, '_', '-');
    const auto* rule = find_setting(name);
    if (!rule) {
      std::vector<std::string_view> names;
      for (const auto& each : known_settings()) names.push_back(each.name);
      const auto near = nearest(name, names);
      complain(std::format("unknown key `{}`{}", printable(name), near ? "; did you mean `" + *near + "`?" : ""));
    } else if (auto value = text_of(node)) {
      if (const auto host = HostName::parse(*value); name == "host" && !host) complain(std::format("host: {}", host.error().message()));
      if (const auto mistake = mistake_in(*rule, *value)) complain(std::format("`{}`: {}", name, *mistake));
      config.values[name] = std::move(*value);
    } else {
      complain(std::format("`{}` must be a text, a number, true or false, or a list of texts", name));
    }
  }
  if (!mistakes.empty()) return fail(ErrorKind::invalid, "{}", mistakes);
  return config;
}

std::string label_of(const std::string& device) {
  const std::unique_ptr<blkid_struct_probe, decltype(&blkid_free_probe)> probe(blkid_new_probe_from_filename(device.c_str()), blkid_free_probe);
  if (!probe) return {};
  blkid_probe_enable_superblocks(probe.get(), 1);
  blkid_probe_set_superblocks_flags(probe.get(), BLKID_SUBLKS_LABEL);
  const char* label = nullptr;
  if (blkid_do_safeprobe(probe.get()) != 0 || blkid_probe_lookup_value(probe.get(), "LABEL", &label, nullptr) != 0 || !label) return {};
  return label;
}

std::string boot_medium_id() {
  const auto text = read_file("/etc/signet/medium.id", longest_id);
  return text ? std::string(trim(*text)) : std::string();
}

bool is_boot_medium(const std::string& name, const std::string& id, const std::string& sys, const std::string& dev) {
  if (id.empty()) return false;
  for (const auto& device : block_devices(sys))
    if (device.starts_with(name) && (device == name || sysfs::exists(sys + "/block/" + name + "/" + device)))
      if (has_id(dev + "/" + device, id)) return true;
  return false;
}

Result<> check_medium_settings(const LocalConfig& config) {
  std::string wrong;
  for (const auto& [name, value] : config.values)
    if (std::ranges::find(medium_settings, name) == std::end(medium_settings)) wrong += std::format("{}`{}`", wrong.empty() ? "" : ", ", name);
  if (wrong.empty()) return {};
  std::string allowed;
  for (const auto name : medium_settings) allowed.append(allowed.empty() ? "" : " ").append(name);
  return std::unexpected(
      Error(ErrorKind::refused, std::format("{}: {} cannot be set there, because this initrd carries trusted keys", config.source, wrong))
          .advise("a medium may set: " + allowed + "; give the others to `signet media --local-cfg`, which packs them into the initrd"));
}

Result<std::optional<LocalConfig>> find_local_config(std::chrono::seconds wait, const std::function<void()>& waiting, const std::string& scratch) {
  const auto deadline = std::chrono::steady_clock::now() + wait;
  std::optional<LocalConfig> packed;
  if (const auto text = read_file("/etc/signet/local.cfg", largest_config)) packed = TRY(parse_local_config(*text, "local.cfg of the initrd"));
  const bool trusted = sysfs::exists("/etc/signet/trust.pem");
  const auto id = boot_medium_id();
  for (bool told = false;; told = true) {
    bool medium = false;
    const auto devices = block_devices("/sys");
    for (const auto wanted : {config_label, medium_label})
      for (const auto& name : devices) {
        const auto device = "/dev/" + name;
        if (trusted ? !has_id(device, id) || label_of(device) != wanted : label_of(device) != wanted) continue;
        medium = true;
        const auto text = TRY(read_from(device, "local.cfg", largest_config, scratch));
        if (!text) continue;
        auto config = TRY(parse_local_config(*text, "local.cfg on " + device));
        if (trusted) TRY(check_medium_settings(config));
        if (trusted && packed) config.values.insert(packed->values.begin(), packed->values.end());
        return config;
      }
    if (medium || (trusted && id.empty()) || std::chrono::steady_clock::now() >= deadline) break;
    if (!told && waiting) waiting();
    std::this_thread::sleep_for(std::chrono::milliseconds(100));
  }
  return packed;
}

Result<std::optional<std::string>> read_from_medium(std::string_view file, std::size_t limit, const std::string& scratch) {
  for (const auto& name : block_devices("/sys"))
    if (const auto device = "/dev/" + name; label_of(device) == medium_label)
      if (auto text = TRY(read_from(device, file, limit, scratch))) return text;
  return std::optional<std::string>();
}

}  // namespace signet
