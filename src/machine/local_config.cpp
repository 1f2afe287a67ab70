#include "machine/local_config.h"

#include <algorithm>
#include <format>
#include <thread>
#include <vector>

#include "base/fd.h"
#include "base/host_name.h"
#include "base/text.h"
#include "base/toml.h"
#include "machine/medium.h"
#include "machine/settings.h"
#include "machine/sysfs.h"

namespace signet {
namespace {

constexpr std::size_t largest_config = 1 << 20;

// Where keys are trusted, what a medium may set: none of these opens a shell, names a key or lowers a limit.
constexpr std::string_view medium_settings[] = {"server", "host", "iface", "network", "console", "syslog", "report", "retries", "settle", "deadline"};

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

Result<std::optional<LocalConfig>> find_local_config(std::chrono::seconds wait, const std::function<void()>& waiting) {
  const auto deadline = std::chrono::steady_clock::now() + wait;
  std::optional<LocalConfig> packed;
  if (const auto text = read_file("/etc/signet/local.cfg", largest_config)) packed = TRY(parse_local_config(*text, "local.cfg of the initrd"));
  const bool trusted = sysfs::exists("/etc/signet/trust.pem");
  const auto id = boot_medium_id();
  for (bool told = false;; told = true) {
    auto media = find_media();
    if (trusted) std::erase_if(media, [&](const Medium& medium) { return !has_id(medium, id); });
    std::ranges::stable_sort(media, {}, [](const Medium& medium) { return medium.label != config_label; });
    for (const auto& medium : media) {
      const auto text = TRY(read_from(medium, "local.cfg", largest_config));
      if (!text) continue;
      auto config = TRY(parse_local_config(*text, "local.cfg on " + medium.device));
      if (trusted) TRY(check_medium_settings(config));
      if (trusted && packed) config.values.insert(packed->values.begin(), packed->values.end());
      return config;
    }
    if (!media.empty() || (trusted && id.empty()) || std::chrono::steady_clock::now() >= deadline) break;
    if (!told && waiting) waiting();
    std::this_thread::sleep_for(std::chrono::milliseconds(100));
  }
  return packed;
}

}  // namespace signet
