#include "agent/installed.h"

#include <stdlib.h>

#include <algorithm>
#include <ctime>
#include <format>

#include "agent/disks.h"
#include "base/fd.h"
#include "base/text.h"
#include "plan/wipe.h"

namespace signet {
namespace {

// What the system is made from, without what decides only whether it is made again. The image has a digest of its own.
std::string profile_digest(const Context& context) {
  if (!context.script.empty()) return sha256_text(context.script);
  // A verb that a host script calls.
  if (::getenv("SIGNET_SCRIPT"))
    if (const auto script = read_file(context.state_file("host-script"))) return sha256_text(*script);
  auto profile = context.profile;
  profile.install = InstallRule::once;
  profile.image.sha256.clear();
  return sha256_text(to_toml(profile));
}

bool is_host(const Mark& mark, const std::vector<std::string>& names) {
  return std::ranges::any_of(names, [&](const std::string& name) { return same_host(name, mark.host); });
}

}  // namespace

std::string Installed::describe() const {
  const auto when = static_cast<time_t>(mark.time);
  tm parts{};
  char date[16] = "?";
  if (::gmtime_r(&when, &parts)) ::strftime(date, sizeof date, "%Y-%m-%d", &parts);
  return std::format("{}, installed on {} ({})", mark.host.empty() ? "a system without a name" : printable(mark.host), std::string_view(date), disk);
}

std::vector<Installed> installed_systems(const std::vector<Disk>& disks) {
  std::vector<Installed> found;
  for (const auto& disk : disks)
    if (disk.content == DiskContent::signet && disk.mark && disk.mark->complete) found.push_back({disk.path, *disk.mark});
  std::ranges::stable_sort(found, std::ranges::greater(), [](const Installed& each) { return each.mark.time; });
  return found;
}

Digests digests_of(const Context& context) {
  return {profile_digest(context), context.profile.image.source.empty() ? context.plan.image_sha256 : context.profile.image.sha256};
}

std::string what_changed(const Mark& then, const Digests& now) {
  const auto differ = [](const std::string& left, const std::string& right) { return !left.empty() && !right.empty() && left != right; };
  const bool profile = differ(then.profile_sha256, now.profile), image = differ(then.image_sha256, now.image);
  return profile && image ? "the profile and the image" : profile ? "the profile" : image ? "the image" : "";
}

InstallRule install_rule(Context& context) {
  std::optional<Setting> said = context.machine.setting("install");
  if (!context.settings.install.empty()) said = Setting{context.settings.install, "--install"};
  if (!said) return context.profile.install;
  if (const auto rule = parse_install_rule(said->value)) return *rule;
  context.report.log("{} must be once, when-changed or always, not `{}`; it counts as once", said->source, printable(said->value));
  return InstallRule::once;
}

std::vector<Installed> own_systems(const Context& context) {
  auto found = installed_systems(context.machine.disks);
  std::erase_if(found, [names = names_of_host(context)](const Installed& each) { return !is_host(each.mark, names); });
  // A reinstall of several disks that was cut: some of them are begun anew, and the others are no system without them.
  const bool cut = std::ranges::any_of(context.machine.disks, [&, names = names_of_host(context)](const Disk& disk) {
    return disk.content == DiskContent::signet && disk.mark && !disk.mark->complete && is_host(*disk.mark, names) && !found.empty() &&
           disk.mark->time > found.front().mark.time;
  });
  if (cut) found.clear();
  return found;
}

}  // namespace signet
