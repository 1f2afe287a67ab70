// Time zone, language, keyboard: as the image's distribution keeps them.
#include <format>

#include "base/text.h"
#include "configure/steps.h"

namespace signet {
namespace {

Result<> set_time_zone(const TargetRoot& target, const std::string& zone) {
  const auto file = "/usr/share/zoneinfo/" + zone;
  if (!target.read(file))
    return std::unexpected(Error(ErrorKind::not_found, std::format("the image has no time zone `{}` in /usr/share/zoneinfo", zone))
                               .advise("correct configure.timezone, or put tzdata into the image"));
  TRY(target.link("/etc/localtime", file));
  // Debian's own note of the name; elsewhere the link says it (localtime(5)).
  if (target.exists("/etc/debian_version") || target.exists("/etc/timezone")) TRY(target.write("/etc/timezone", zone + "\n"));
  return {};
}

// "en_US.UTF-8" is compiled as en_US.utf8 (locale -a).
std::string compiled_name(std::string_view locale) {
  const auto dot = locale.find('.');
  if (dot == std::string_view::npos) return std::string(locale);
  const auto at = locale.find('@', dot);
  std::string charset;
  for (const char c : to_lower(locale.substr(dot + 1, at == std::string_view::npos ? at : at - dot - 1)))
    if (c != '-') charset += c;
  return std::string(locale.substr(0, dot + 1)) + charset + (at == std::string_view::npos ? "" : std::string(locale.substr(at)));
}

bool is_built_in(std::string_view locale) { return locale == "C" || locale == "POSIX" || locale == "C.UTF-8" || locale == "C.utf8"; }

// The line of locale.gen(5) that makes a locale: its name and its character set, as the C library's own list pairs them.
std::optional<std::string> supported_line(const TargetRoot& target, const std::string& locale) {
  const auto list = target.read("/usr/share/i18n/SUPPORTED");
  if (!list) return std::nullopt;
  for (const auto line : split(*list, '\n'))
    if (trim(line).starts_with(locale + " ")) return std::string(trim(line));
  return std::nullopt;
}

Result<> make_locale(const TargetRoot& target, const std::string& locale, Report& report) {
  if (is_built_in(locale) || target.exists("/usr/lib/locale/" + compiled_name(locale))) return {};
  const auto generator = target.find_tool("locale-gen");
  if (!generator) {
    // One archive holds the locales of distributions without locale-gen; which, only its own tools can say.
    if (target.exists("/usr/lib/locale/locale-archive")) return {};
    return std::unexpected(Error(ErrorKind::not_found, std::format("the image has neither the locale `{}` nor locale-gen to make it", locale))
                               .advise("put the locale into the image (Debian: package locales), or set configure.locale = \"C.UTF-8\""));
  }
  const auto line = supported_line(target, locale);
  if (!line)
    return std::unexpected(Error(ErrorKind::not_found, std::format("the image's C library knows no locale `{}`", locale))
                               .advise("correct configure.locale; /usr/share/i18n/SUPPORTED in the image has the list"));
  auto wanted = target.read("/etc/locale.gen").value_or("");
  bool listed = false;
  for (const auto each : split(wanted, '\n')) listed = listed || trim(each) == *line;
  if (listed && target.exists("/usr/lib/locale/locale-archive")) return {};
  if (!listed) {
    if (!wanted.empty() && !wanted.ends_with('\n')) wanted += '\n';
    TRY(target.write("/etc/locale.gen", wanted + *line + "\n"));
  }
  report.log("making the locale {}", locale);
  return run_tool(target, {*generator});
}

Result<> set_locale(const TargetRoot& target, const std::string& locale, Report& report) {
  TRY_WITHIN(make_locale(target, locale, report), "locale");
  const char* path = target.exists("/etc/default") ? "/etc/default/locale" : "/etc/locale.conf";
  return target.write(path, with_setting(target.read(path).value_or(""), "LANG", locale));
}

Result<> set_keyboard(const TargetRoot& target, const std::string& layout) {
  const bool debian = target.exists("/etc/default");
  const char* path = debian ? "/etc/default/keyboard" : "/etc/vconsole.conf";
  return target.write(path, with_setting(target.read(path).value_or(""), debian ? "XKBLAYOUT" : "KEYMAP", "\"" + layout + "\""));
}

}  // namespace

Result<> configure_time_and_locale(const TargetRoot& target, const ConfigureRule& rule, Report& report) {
  if (!rule.timezone.empty()) TRY(set_time_zone(target, rule.timezone));
  if (!rule.locale.empty()) TRY(set_locale(target, rule.locale, report));
  if (!rule.keyboard.empty()) TRY(set_keyboard(target, rule.keyboard));
  return {};
}

}  // namespace signet
