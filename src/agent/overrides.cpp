#include "agent/overrides.h"

#include <unistd.h>

namespace signet {
namespace {

Result<DiskRule> disk_from_flags(const Settings& settings) {
  DiskRule rule;
  rule.id = "disk";
  if (settings.match) rule.match = TRY_WITHIN(parse_match_flag(*settings.match), "--match");
  if (settings.disk) rule.match.path = *settings.disk;
  const auto wipe = settings.wipe.value_or("");
  if (wipe == "blank")
    rule.wipe = WipeRule::blank;
  else if (wipe == "signet")
    rule.wipe = WipeRule::signet;
  else if (wipe == "any")
    rule.wipe = WipeRule::any;
  else
    return fail(ErrorKind::usage, "--wipe must be blank, signet or any{}", wipe.empty() ? "; it has no default" : ", not " + wipe);
  const auto table = settings.table.value_or("gpt");
  if (table != "gpt" && table != "mbr") return fail(ErrorKind::usage, "--table must be gpt or mbr, not {}", table);
  rule.table = table == "gpt" ? TableType::gpt : TableType::mbr;
  if (settings.partitions.empty()) return fail(ErrorKind::usage, "no --partition is given");
  for (const auto& text : settings.partitions) rule.partitions.push_back(TRY_WITHIN(parse_partition_flag(text), "--partition"));
  return rule;
}

Result<FinishAction> action(const std::string& text, const char* flag) {
  if (const auto parsed = parse_finish_action(text)) return *parsed;
  return fail(ErrorKind::usage, "{} must be reboot, poweroff, halt, kexec, shell or beep, not {}", flag, text);
}

}  // namespace

Result<> apply_overrides(const Settings& settings, Profile& profile) {
  if (settings.disk || settings.match || settings.wipe || settings.table || !settings.partitions.empty()) {
    profile.disks.clear();
    profile.disks.push_back(TRY(disk_from_flags(settings)));
  }
  if (settings.source) {
    // As a person types it: a URI, or a path from here.
    auto text = *settings.source;
    char here[4096];
    if (!text.contains("://") && !text.starts_with('/') && ::getcwd(here, sizeof here)) text = std::string(here) + "/" + text;
    profile.image.source = TRY_WITHIN(parse_uri(text), "--source").text();
    profile.image.sha256.clear();
  }
  if (settings.sha256) profile.image.sha256 = *settings.sha256;
  if (settings.hostname) profile.network.hostname = *settings.hostname;
  if (settings.timezone) profile.configure.timezone = *settings.timezone;
  if (settings.kernel_args) profile.configure.kernel_args = *settings.kernel_args;
  if (settings.root_password) profile.configure.root_password_hash = *settings.root_password;
  for (const auto& key : settings.ssh_keys) profile.configure.ssh_keys.push_back(key);
  if (settings.on_success) profile.finish.on_success = TRY(action(*settings.on_success, "--on-success"));
  if (settings.on_failure) profile.finish.on_failure = TRY(action(*settings.on_failure, "--on-failure"));
  return {};
}

}  // namespace signet
