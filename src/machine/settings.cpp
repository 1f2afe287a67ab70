#include "machine/settings.h"

#include <algorithm>
#include <format>

#include "base/duration.h"
#include "base/text.h"
#include "machine/machine.h"

namespace signet {
namespace {

using Kind = SettingRule::Kind;
constexpr std::string_view actions = "reboot poweroff halt kexec shell beep";
constexpr std::string_view stages = "network identify profile plan pre-install partition format mount pull configure post-install finish local";
constexpr std::string_view yes_words = "1 yes on true", no_words = "0 no off false";

constexpr SettingRule rules[] = {
    {"server", Kind::text, "URL of the server"},
    {"host", Kind::text, "name of this host"},
    {"profile", Kind::text, "URL of the profile or host script, without a lookup"},
    {"trust", Kind::text, "public keys (PEM), a file or the text itself: only what they have signed is used"},
    {"medium", Kind::text, "set by Signet's own boot media: wait for the medium and its local.cfg"},
    {"network", Kind::text, "an address, as the kernel's ip=", {}, true},
    {"iface", Kind::text, "use only this network interface"},
    {"console", Kind::text, "more consoles, as the kernel's console=", {}, true},
    {"break", Kind::list, "stop before these stages with a shell on every console", stages},
    {"settle", Kind::time, "count the disks as found when no device has appeared for so long"},
    {"install", Kind::word, "what to do where this host's system is installed", "once when-changed always"},
    {"retries", Kind::number, "try so many times more when an install fails"},
    {"on-success", Kind::word, "what to do after an install", actions},
    {"on-failure", Kind::word, "what to do after a failure", actions},
    {"deadline", Kind::time, "longest time for the whole install (12h); no: none"},
    {"watchdog", Kind::time, "reset the machine when the agent has stood still for so long (2min); no: never"},
    {"shell", Kind::flag, "no: no shell without a log-in on any console"},
    {"rescue", Kind::flag, "a shell and no install"},
    {"sshd", Kind::text, "an SSH server for root and this key: its AAAA… part, or a URL or path on the server"},
    {"syslog", Kind::text, "send events to this syslog server (HOST[:PORT], UDP)"},
    {"report", Kind::text, "post events to the server, or to this URL"},
    {"clock", Kind::word, "any: believe also a time of more than 15 years after the build", "any"},
    {"debug", Kind::flag, "print versions and the kernel command line at the start"},
};

bool contains_word(std::string_view words, std::string_view word) { return std::ranges::contains(split(words, ' '), word); }

std::string suggestion(std::string_view word, std::string_view words) {
  const auto near = nearest(word, split(words, ' '));
  return near ? std::format("; did you mean `{}`?", *near) : "";
}

std::string unknown_word(std::string_view word, std::string_view words) {
  std::string list;
  for (const auto each : split(words, ' ')) list.append(list.empty() ? "" : ", ").append(each);
  return std::format("`{}` is not one of {}{}", printable(word), list, suggestion(word, words));
}

}  // namespace

std::span<const SettingRule> known_settings() { return rules; }

const SettingRule* find_setting(std::string_view name) {
  const auto* found = std::ranges::find(rules, name, &SettingRule::name);
  return found == std::end(rules) ? nullptr : found;
}

std::optional<std::string> mistake_in(const SettingRule& rule, std::string_view value) {
  switch (rule.kind) {
    case Kind::text: break;
    case Kind::flag:
      if (!value.empty() && !contains_word(yes_words, value) && !contains_word(no_words, value)) return unknown_word(value, "yes no");
      break;
    case Kind::number:
      if (!parse_unsigned(value)) return std::format("`{}` is not a whole number", printable(value));
      break;
    case Kind::time:
      if (value != "no" && !parse_duration(value)) return std::format("`{}` is not a time such as 90s, 30min or 12h, or no", printable(value));
      break;
    case Kind::word:
      if (!contains_word(rule.words, value)) return unknown_word(value, rule.words);
      break;
    case Kind::list:
      for (const auto part : split(value, ','))
        if (!contains_word(rule.words, trim(part))) return unknown_word(trim(part), rule.words);
      break;
  }
  return std::nullopt;
}

std::vector<std::string> mistakes_in(const KernelCommandLine& line) {
  std::vector<std::string> mistakes;
  for (const auto& [word, value] : line.words()) {
    constexpr std::string_view prefix = "signet.";
    if (!word.starts_with(prefix)) continue;
    std::string name(word.substr(prefix.size()));
    std::ranges::replace(name, '_', '-');
    const auto* rule = find_setting(name);
    if (!rule || rule->only_local_config) {
      std::vector<std::string_view> names;
      for (const auto& each : rules)
        if (!each.only_local_config) names.push_back(each.name);
      const auto near = nearest(name, names);
      const std::string hint = rule   ? std::format("; write {}=", name == "network" ? "ip" : name)
                               : near ? std::format("; did you mean signet.{}?", *near)
                                      : "";
      mistakes.push_back(std::format("{}: unknown setting{}", printable(word), hint));
    } else if (const auto mistake = mistake_in(*rule, value)) {
      mistakes.push_back(std::format("{}: {}", word, *mistake));
    }
  }
  return mistakes;
}

}  // namespace signet
