// The texts of passwd(5), shadow(5), group(5), gshadow(5), subuid(5) and login.defs(5).
#include <algorithm>
#include <charconv>
#include <format>

#include "base/text.h"
#include "configure/steps.h"

namespace signet {

std::optional<std::string> field_of(std::string_view table, std::string_view name, std::size_t number) {
  for (const auto line : split(table, '\n')) {
    const auto fields = split(line, ':');
    if (fields.size() > number && fields[0] == name) return std::string(fields[number]);
  }
  return std::nullopt;
}

std::string with_account(std::string_view table, std::string_view name, std::string_view line) {
  std::string text;
  bool placed = false;
  for (const auto each : split(table, '\n')) {
    if (each.empty()) continue;
    const bool own = split(each, ':')[0] == name;
    if (own && placed) continue;
    text.append(own ? line : each).append("\n");
    placed = placed || own;
  }
  if (!placed) text.append(line).append("\n");
  return text;
}

std::string with_field(std::string_view table, std::string_view name, std::size_t number, std::string_view value) {
  std::string text;
  for (const auto line : split(table, '\n')) {
    if (line.empty()) continue;
    auto fields = split(line, ':');
    if (fields[0] == name && fields.size() > number) fields[number] = value;
    for (std::size_t i = 0; i < fields.size(); ++i) text.append(i == 0 ? "" : ":").append(fields[i]);
    text += '\n';
  }
  return text;
}

std::string with_member(std::string_view groups, std::string_view group, std::string_view user) {
  const auto members = field_of(groups, group, 3);
  if (!members) return std::string(groups);
  const auto present = split(*members, ',');
  if (std::ranges::find(present, user) != present.end()) return std::string(groups);
  return with_field(groups, group, 3, *members + (members->empty() ? "" : ",") + std::string(user));
}

std::string with_subordinate_ids(std::string_view table, std::string_view user) {
  constexpr std::uint64_t first = 100'000, count = 65'536;  // SUB_UID_MIN, SUB_UID_COUNT of login.defs(5)
  std::uint64_t next = first;
  for (const auto line : split(table, '\n')) {
    const auto fields = split(line, ':');
    if (fields.size() != 3) continue;
    if (fields[0] == user) return std::string(table);
    const auto start = parse_unsigned(fields[1]), size = parse_unsigned(fields[2]);
    if (start && size && *start < UINT32_MAX && *size < UINT32_MAX) next = std::max(next, *start + *size);
  }
  std::string text(table);
  if (!text.empty() && !text.ends_with('\n')) text += '\n';
  return text + std::format("{}:{}:{}\n", user, next, count);
}

std::uint64_t login_default(std::string_view text, std::string_view name, std::uint64_t otherwise, int base) {
  for (const auto line : split(text, '\n')) {
    auto rest = trim(line);
    if (!rest.starts_with(name)) continue;
    rest.remove_prefix(name.size());
    if (rest.empty() || (rest.front() != ' ' && rest.front() != '\t')) continue;
    rest = trim(rest);
    std::uint64_t value = 0;
    const auto [end, error] = std::from_chars(rest.data(), rest.data() + rest.size(), value, base);
    if (error == std::errc() && end == rest.data() + rest.size()) return value;
  }
  return otherwise;
}

}  // namespace signet
