#include "agent/overrides.h"

#include <unistd.h>

#include <algorithm>
#include <format>

#include "base/digest.h"
#include "base/duration.h"
#include "base/fd.h"
#include "base/host_name.h"
#include "base/text.h"
#include "profile/values.h"
#include "profile/words.h"

namespace signet {
namespace {

constexpr std::size_t largest_settings = 1 << 20;

template <class Enum, std::size_t size>
Result<Enum> word(const Words<Enum, size>& words, const std::string& text, const char* flag) {
  if (const auto value = value_of(words, text)) return *value;
  return fail(ErrorKind::usage, "{} must be {}, not {}", flag, list_of(words), printable(text));
}

Result<DiskRule> disk_from_flags(const DiskFlags& flags, std::size_t number) {
  DiskRule rule;
  rule.id = flags.id.value_or(number == 0 ? "disk" : std::format("disk{}", number + 1));
  if (rule.id.empty()) return fail(ErrorKind::usage, "--id is empty");
  if (flags.match) rule.match = TRY_WITHIN(parse_match_flag(*flags.match), "--match");
  if (flags.path) rule.match.path = *flags.path;
  if (!flags.wipe) return fail(ErrorKind::usage, "--wipe must be {}; it has no default", list_of(wipe_words));
  rule.wipe = TRY(word(wipe_words, *flags.wipe, "--wipe"));
  rule.table = TRY(word(table_words, flags.table.value_or("gpt"), "--table"));
  if (flags.partitions.empty()) return fail(ErrorKind::usage, "no --partition is given");
  for (const auto& text : flags.partitions) rule.partitions.push_back(TRY_WITHIN(parse_partition_flag(text), "--partition"));
  return rule;
}

// As a person types it: a URI, or a path from here.
Result<std::string> uri_from_flag(const std::string& text, const char* flag) {
  char here[4096];
  const bool relative = !text.contains("://") && !text.starts_with('/') && ::getcwd(here, sizeof here);
  return TRY_WITHIN(parse_uri(relative ? std::string(here) + "/" + text : text), flag).secret_text();
}

// The command line is what is wrong, so its status is that of a wrong command line.
template <class T>
Result<T> usage(const char* flag, Result<T> parsed) {
  if (parsed) return parsed;
  return fail(ErrorKind::usage, "{}: {}", flag, parsed.error().message());
}

// [network] and [configure] of a profile, for all that configure has no flag for.
Result<> apply_rest(const std::string& path, Profile& profile) {
  const auto text = TRY_WITHIN(read_file(path == "-" ? "/proc/self/fd/0" : path, largest_settings), "--settings");
  const auto name = path == "-" ? std::string("/dev/stdin") : TRY(uri_from_flag(path, "--settings"));
  const auto where = TRY(parse_uri(name));
  const auto nothing = [](const Uri& uri) -> Result<std::string> {
    return fail(ErrorKind::invalid, "{}: --settings extends nothing", uri.display());
  };
  const auto rest = parse_profile(text, where, nothing, Completeness::partial);
  if (!rest) return std::unexpected(to_error(rest.error()).within("--settings"));
  if (!rest->disks.empty() || !rest->image.source.empty() || !rest->hooks.pre_install.empty() || !rest->hooks.post_install.empty())
    return fail(ErrorKind::usage, "--settings: only [network] and [configure] belong there; disks, image and hooks are for `partition`");
  profile.network = rest->network;
  profile.configure = rest->configure;
  return {};
}

}  // namespace

Result<> apply_host(const Settings& settings, Identity& identity) {
  if (!settings.host) return {};
  identity.host_name = TRY(usage("--host", HostName::parse(*settings.host))).text();
  identity.host_name_source = "--host";
  return {};
}

Result<> apply_overrides(const Settings& settings, Profile& profile) {
  if (!settings.disks.empty()) {
    profile.disks.clear();
    for (const auto& flags : settings.disks) {
      auto rule = TRY(disk_from_flags(flags, profile.disks.size()));
      if (std::ranges::contains(profile.disks, rule.id, &DiskRule::id)) return fail(ErrorKind::usage, "--id: two disks are called {}", rule.id);
      profile.disks.push_back(std::move(rule));
    }
  }
  if (settings.rest) TRY(apply_rest(*settings.rest, profile));
  if (settings.source) {
    profile.image.source = TRY(uri_from_flag(*settings.source, "--source"));
    profile.image.sha256.clear();
  }
  if (settings.sha256) profile.image.sha256 = TRY(usage("--sha256", parse_sha256(*settings.sha256)));
  if (settings.hostname) profile.network.hostname = TRY(usage("--hostname", HostName::parse(*settings.hostname))).text();
  if (settings.timezone) profile.configure.timezone = *settings.timezone;
  if (settings.kernel_args) profile.configure.kernel_args = *settings.kernel_args;
  if (settings.root_password) profile.configure.root_password_hash = *settings.root_password;
  for (const auto& key : settings.ssh_keys) profile.configure.ssh_keys.push_back(key);
  for (const auto& hook : settings.post_install) profile.hooks.post_install.push_back(TRY(uri_from_flag(hook, "--post-install")));
  for (const auto& hook : settings.pre_install) profile.hooks.pre_install.push_back(TRY(uri_from_flag(hook, "--pre-install")));
  if (settings.hook_timeout) {
    TRY_WITHIN(check_timeout(*settings.hook_timeout), "--hook-timeout");
    profile.hooks.timeout = *parse_duration(*settings.hook_timeout);
  }
  if (settings.boot_loader) profile.configure.boot_loader = TRY(word(boot_loader_words, *settings.boot_loader, "--boot-loader"));
  if (settings.boot_order) profile.finish.boot_order = TRY(word(boot_order_words, *settings.boot_order, "--boot-order"));
  if (settings.on_success) profile.finish.on_success = TRY(word(action_words, *settings.on_success, "--on-success"));
  if (settings.on_failure) profile.finish.on_failure = TRY(word(action_words, *settings.on_failure, "--on-failure"));
  return {};
}

}  // namespace signet
