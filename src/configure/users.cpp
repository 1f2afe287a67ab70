#include <algorithm>
#include <format>
#include <set>

#include "base/text.h"
#include "configure/steps.h"

namespace signet {
namespace {

constexpr unsigned first_uid = 1000, last_uid = 59999;  // login.defs(5) of Debian

// The nth field of the line of `name`, fields being parted by colons.
std::optional<std::string> field_of(std::string_view table, std::string_view name, std::size_t number) {
  for (const auto line : split(table, '\n')) {
    const auto fields = split(line, ':');
    if (fields.size() > number && fields[0] == name) return std::string(fields[number]);
  }
  return std::nullopt;
}

unsigned free_id(std::string_view passwd, std::string_view group) {
  std::set<std::uint64_t> taken;
  for (const auto table : {passwd, group})
    for (const auto line : split(table, '\n'))
      if (const auto fields = split(line, ':'); fields.size() > 2)
        if (const auto id = parse_unsigned(fields[2])) taken.insert(*id);
  unsigned id = first_uid;
  while (id < last_uid && taken.contains(id)) ++id;
  return id;
}

Result<> add_keys(const TargetRoot& target, const std::string& home, const std::vector<std::string>& keys, unsigned uid, unsigned gid) {
  if (keys.empty()) return {};
  const auto directory = home + "/.ssh", path = directory + "/authorized_keys";
  TRY(target.make_directories(directory, 0700));
  std::string text;
  if (const auto existing = target.read(path)) text = *existing;
  if (!text.empty() && !text.ends_with('\n')) text += '\n';
  for (const auto& key : keys)
    if (!text.contains(key + "\n")) text += key + "\n";
  TRY(target.write(path, text, 0600));
  TRY(target.set_mode(directory, 0700));
  TRY(target.set_mode(path, 0600));
  TRY(target.set_owner(directory, uid, gid));
  return target.set_owner(path, uid, gid);
}

// Days since 1970, as shadow(5) counts; 0 would mean that the password must be changed at once, so a fixed day stands in.
constexpr int some_day = 20000;

Result<> set_password(const TargetRoot& target, const std::string& name, const std::string& hash) {
  const auto shadow = TRY(target.read("/etc/shadow"));
  return target.write("/etc/shadow", with_account(shadow, name, std::format("{}:{}:{}:0:99999:7:::", name, hash.empty() ? "!" : hash, some_day)),
                      0640);
}

Result<> copy_skeleton(const TargetRoot& target, const std::string& home, unsigned uid, unsigned gid) {
  for (const auto& name : target.list("/etc/skel")) {
    const auto text = target.read("/etc/skel/" + name);
    if (!text || target.exists(home + "/" + name)) continue;  // a directory, or there already
    TRY(target.write(home + "/" + name, *text));
    TRY(target.set_owner(home + "/" + name, uid, gid));
  }
  return {};
}

Result<> add_user(const TargetRoot& target, const UserRule& rule) {
  auto passwd = TRY(target.read("/etc/passwd"));
  auto group = TRY(target.read("/etc/group"));
  unsigned uid = free_id(passwd, group), gid = uid;
  std::string home = "/home/" + rule.name;
  if (const auto existing = field_of(passwd, rule.name, 2)) {
    uid = static_cast<unsigned>(parse_unsigned(*existing).value_or(uid));
    gid = static_cast<unsigned>(parse_unsigned(field_of(passwd, rule.name, 3).value_or("")).value_or(uid));
    home = field_of(passwd, rule.name, 5).value_or(home);
  }
  if (!field_of(group, rule.name, 2)) group = with_account(group, rule.name, std::format("{}:x:{}:", rule.name, gid));
  auto groups = rule.groups;
  if (rule.sudo) groups.push_back("sudo");
  for (const auto& each : groups) {
    if (!field_of(group, each, 2)) {
      if (rule.sudo && each == "sudo") continue;
      return std::unexpected(Error(ErrorKind::not_found, std::format("user {}: the image has no group `{}`", rule.name, each))
                                 .advise("take it out of configure.users.groups"));
    }
    group = with_member(group, each, rule.name);
  }
  TRY(target.write("/etc/group", group));
  TRY(target.write("/etc/passwd", with_account(passwd, rule.name, std::format("{}:x:{}:{}::{}:{}", rule.name, uid, gid, home, rule.shell))));
  TRY(set_password(target, rule.name, rule.password_hash));
  TRY(target.make_directories(home, 0700));
  TRY(target.set_owner(home, uid, gid));
  TRY(copy_skeleton(target, home, uid, gid));
  if (rule.sudo && target.find_tool("sudo")) {
    TRY(target.write("/etc/sudoers.d/signet-" + rule.name,
                     std::format("# Written by Signet.\n{} ALL=(ALL:ALL) {}ALL\n", rule.name, rule.password_hash.empty() ? "NOPASSWD: " : ""), 0440));
    TRY(target.set_mode("/etc/sudoers.d/signet-" + rule.name, 0440));
  }
  return add_keys(target, home, rule.ssh_keys, uid, gid);
}

}  // namespace

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

std::string with_member(std::string_view groups, std::string_view group, std::string_view user) {
  std::string text;
  for (const auto line : split(groups, '\n')) {
    if (line.empty()) continue;
    text += line;
    const auto fields = split(line, ':');
    if (fields.size() == 4 && fields[0] == group) {
      const auto members = split(fields[3], ',');
      if (std::ranges::find(members, user) == members.end()) text.append(fields[3].empty() ? "" : ",").append(user);
    }
    text += '\n';
  }
  return text;
}

Result<> configure_users(const TargetRoot& target, const ConfigureRule& rule) {
  if (!rule.root_password_hash.empty()) TRY_WITHIN(set_password(target, "root", rule.root_password_hash), "set root's password");
  TRY_WITHIN(add_keys(target, "/root", rule.ssh_keys, 0, 0), "root's SSH keys");
  for (const auto& user : rule.users) TRY_WITHIN(add_user(target, user), "user " + user.name);
  return {};
}

}  // namespace signet
