#include "agent/script.h"

#include <format>

#include "base/duration.h"
#include "base/text.h"
#include "profile/words.h"

namespace signet {
namespace {

// A verb with its options, in as many lines as a reader needs.
class Command {
 public:
  explicit Command(std::string_view verb) : text_(std::format("signet-agent {}", verb)) {}
  Command& option(std::string_view name, std::string_view value) {
    text_ += std::format(" --{} {}", name, shell_quote(value));
    return *this;
  }
  Command& line() {
    text_ += " \\\n ";
    return *this;
  }
  const std::string& text() const { return text_; }

 private:
  std::string text_;
};

}  // namespace

std::string to_script(const Profile& profile, std::string_view name) {
  std::string script = std::format(
      "#!/bin/sh\n"
      "# The install that {} means, verb by verb; written by signet-agent {}.\n"
      "# As hosts/NAME.sh on the server it takes the profile's place. Verbs: signet-agent --help. After `plan` the variables in\n"
      "# $SIGNET_STATE/variables say what is planned: SIGNET_DISK_…, SIGNET_DEVICE_…, SIGNET_UUID_…\n"
      "set -e\n\n",
      printable(name), SIGNET_VERSION);

  script += "# Everything is checked here; nothing is changed yet.\n";
  Command plan("plan");
  plan.line().option("source", profile.image.source);
  if (!profile.image.sha256.empty()) plan.line().option("sha256", profile.image.sha256);
  for (const auto& disk : profile.disks) {
    plan.line().option("id", disk.id);
    if (const auto match = to_flag(disk.match); !match.empty()) plan.option("match", match);
    plan.option("wipe", to_string(disk.wipe)).option("table", to_string(disk.table));
    for (const auto& partition : disk.partitions) plan.line().option("partition", to_flag(partition));
  }
  const auto& configure = profile.configure;
  if (configure.boot_loader != BootLoader::automatic) plan.line().option("boot-loader", word_of(boot_loader_words, configure.boot_loader));
  for (const auto& hook : profile.hooks.pre_install) plan.line().option("pre-install", hook);
  for (const auto& hook : profile.hooks.post_install) plan.line().option("post-install", hook);
  if (profile.hooks.timeout != HooksRule().timeout) plan.line().option("hook-timeout", format_duration(profile.hooks.timeout));
  if (profile.finish.on_failure != FinishAction::shell) plan.line().option("on-failure", to_string(profile.finish.on_failure));
  script += plan.line().text() + " \"$@\"\n\n";

  if (!profile.hooks.pre_install.empty()) script += "signet-agent pre-install\n";
  script += "signet-agent partition --planned\nsignet-agent format\nsignet-agent mount\nsignet-agent pull\n";
  const auto settings = network_and_configure_toml(profile);
  script += settings.empty() ? "signet-agent configure\n" : "signet-agent configure --settings - <<'END'\nschema = 1\n" + settings + "END\n";
  if (!profile.hooks.post_install.empty()) script += "signet-agent post-install\n";
  Command finish("finish");
  finish.option("on-success", to_string(profile.finish.on_success));
  if (profile.finish.boot_order != BootOrder::disk_first) finish.option("boot-order", word_of(boot_order_words, profile.finish.boot_order));
  return script + finish.text() + "\n";
}

}  // namespace signet
