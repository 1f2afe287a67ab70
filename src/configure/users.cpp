// Users, their homes, keys and rights. The tables are edited as useradd(8) would: no tool of the image is needed, and a second run changes nothing.
#include <algorithm>
#include <format>
#include <set>

#include "base/text.h"
#include "configure/steps.h"

namespace signet {
namespace {

// Days since 1970, as shadow(5) counts; 0 would mean that the password must be changed at once, so a fixed day stands in.
constexpr int some_day = 20000;

std::uint64_t free_id(std::string_view passwd, std::string_view group, std::string_view defaults) {
  std::set<std::uint64_t> taken;
  for (const auto table : {passwd, group})
    for (const auto line : split(table, '\n'))
      if (const auto fields = split(line, ':'); fields.size() > 2)
        if (const auto id = parse_unsigned(fields[2])) taken.insert(*id);
  auto id = login_default(defaults, "UID_MIN", 1000);
  while (taken.contains(id)) ++id;
  return id;
}

struct Owner {
  unsigned uid = 0, gid = 0;
};

Result<> add_keys(const TargetRoot& target, const std::string& home, const std::vector<std::string>& keys, Owner owner) {
  if (keys.empty()) return {};
  const auto directory = home + "/.ssh", path = directory + "/authorized_keys";
  TRY(target.make_directories(directory, 0700));
  auto text = target.read(path).value_or("");
  if (!text.empty() && !text.ends_with('\n')) text += '\n';
  for (const auto& key : keys) {
    const auto present = split(text, '\n');
    if (std::ranges::find(present, key) == present.end()) text += key + "\n";
  }
  TRY(target.write(path, text, 0600));
  // sshd(8) ignores keys that others could have written.
  TRY(target.set_mode(directory, 0700));
  TRY(target.set_mode(path, 0600));
  TRY(target.set_owner(directory, owner.uid, owner.gid));
  return target.set_owner(path, owner.uid, owner.gid);
}

Result<> set_password(const TargetRoot& target, const std::string& name, const std::string& hash) {
  const auto shadow = TRY(target.read("/etc/shadow"));
  const auto word = hash.empty() ? "!" : hash;
  if (!field_of(shadow, name, 1))
    return target.write("/etc/shadow", with_account(shadow, name, std::format("{}:{}:{}:0:99999:7:::", name, word, some_day)), 0640);
  const auto changed = with_field(shadow, name, 1, word);
  return target.write("/etc/shadow", with_field(changed, name, 2, std::to_string(some_day)), 0640);
}

// What /etc/skel has, for a home that was just made.
Result<> copy_skeleton(const TargetRoot& target, const std::string& from, const std::string& to, Owner owner) {
  for (const auto& name : target.list(from)) {
    const auto source = from + "/" + name, copy = to + "/" + name;
    const auto status = target.status(source);
    if (!status || target.status(copy)) continue;
    if (S_ISDIR(status->st_mode)) {
      TRY(target.make_directories(copy, status->st_mode & 07777));
      TRY(copy_skeleton(target, source, copy, owner));
    } else if (S_ISREG(status->st_mode)) {
      const auto text = TRY(target.read(source));
      TRY(target.write(copy, text, status->st_mode & 07777));
    } else if (const auto link = target.read_link(source)) {
      TRY(target.link(copy, *link));
    } else {
      continue;  // a device or socket is nothing for a home
    }
    TRY(target.set_owner(copy, owner.uid, owner.gid));
  }
  return {};
}

// The shell that the profile names; its default where there is one.
Result<std::string> shell_of(const TargetRoot& target, const UserRule& rule) {
  if (target.exists(rule.shell)) return rule.shell;
  if (rule.shell == "/bin/bash" && target.exists("/bin/sh")) return std::string("/bin/sh");
  return std::unexpected(
      Error(ErrorKind::not_found, std::format("the image has no {}", rule.shell)).advise("put that shell into the image, or name another one"));
}

Result<> join_group(const TargetRoot& target, const std::string& group, const std::string& user) {
  const auto groups = TRY(target.read("/etc/group"));
  TRY(target.write("/etc/group", with_member(groups, group, user)));
  if (const auto shadow = target.read("/etc/gshadow")) TRY(target.write("/etc/gshadow", with_member(*shadow, group, user), 0640));
  return {};
}

// Rights by sudo(8): its usual group where the image has one, and a rule of the user's own, so that it does not depend on what that group may do.
Result<> allow_sudo(const TargetRoot& target, const UserRule& rule) {
  if (!target.find_tool("sudo"))
    return std::unexpected(Error(ErrorKind::not_found, "the image has no sudo").advise("put sudo into the image, or take `sudo` from the user"));
  for (const char* group : {"sudo", "wheel"})
    if (field_of(TRY(target.read("/etc/group")), group, 2)) TRY(join_group(target, group, rule.name));
  auto file = rule.name;
  std::ranges::replace(file, '.', '_');  // sudoers(5) passes over files with a dot in their name
  const auto path = "/etc/sudoers.d/signet-" + file;
  const char* condition = rule.password_hash.empty() ? "NOPASSWD: " : "";  // who has no password cannot type it
  TRY(target.write(path, std::format("# Written by Signet. See sudoers(5).\n{} ALL=(ALL:ALL) {}ALL\n", rule.name, condition), 0440));
  return target.set_mode(path, 0440);
}

Result<> make_home(const TargetRoot& target, const std::string& home, Owner owner, std::string_view defaults) {
  if (target.exists(home)) return {};
  TRY(target.make_directories(home, static_cast<unsigned>(login_default(defaults, "HOME_MODE", 0700, 8)) & 0777));
  TRY(target.set_owner(home, owner.uid, owner.gid));
  return copy_skeleton(target, "/etc/skel", home, owner);
}

// A line of its own in passwd, group, gshadow and the tables of subordinate ids.
Result<Owner> add_account(const TargetRoot& target, const UserRule& rule, const std::string& home, const std::string& shell,
                          std::string_view defaults) {
  const auto passwd = TRY(target.read("/etc/passwd"));
  auto group = TRY(target.read("/etc/group"));
  const auto id = free_id(passwd, group, defaults);
  Owner owner{static_cast<unsigned>(id), static_cast<unsigned>(id)};
  if (const auto existing = field_of(group, rule.name, 2)) {
    owner.gid = static_cast<unsigned>(parse_unsigned(*existing).value_or(id));
  } else {
    group = with_account(group, rule.name, std::format("{}:x:{}:", rule.name, id));
    if (const auto shadow = target.read("/etc/gshadow"))
      TRY(target.write("/etc/gshadow", with_account(*shadow, rule.name, std::format("{}:!::", rule.name)), 0640));
  }
  TRY(target.write("/etc/group", group));
  TRY(target.write("/etc/passwd", with_account(passwd, rule.name, std::format("{}:x:{}:{}::{}:{}", rule.name, owner.uid, owner.gid, home, shell))));
  for (const char* path : {"/etc/subuid", "/etc/subgid"})
    if (const auto table = target.read(path)) TRY(target.write(path, with_subordinate_ids(*table, rule.name)));
  return owner;
}

Result<> add_user(const TargetRoot& target, const UserRule& rule) {
  const auto defaults = target.read("/etc/login.defs").value_or("");
  const auto passwd = TRY(target.read("/etc/passwd"));
  const auto groups = TRY(target.read("/etc/group"));
  const auto shell = TRY(shell_of(target, rule));
  for (const auto& group : rule.groups)
    if (!field_of(groups, group, 2))
      return std::unexpected(
          Error(ErrorKind::not_found, std::format("the image has no group `{}`", group)).advise("take it out of the user's groups"));

  Owner owner;
  std::string home = "/home/" + rule.name;
  if (const auto uid = field_of(passwd, rule.name, 2)) {
    const auto uid_number = parse_unsigned(*uid), gid_number = parse_unsigned(field_of(passwd, rule.name, 3).value_or(""));
    if (!uid_number || !gid_number) return fail(ErrorKind::invalid, "the image's /etc/passwd has a broken line for it");
    owner = {static_cast<unsigned>(*uid_number), static_cast<unsigned>(*gid_number)};
    home = field_of(passwd, rule.name, 5).value_or(home);
    TRY(target.write("/etc/passwd", with_field(passwd, rule.name, 6, shell)));
  } else {
    owner = TRY(add_account(target, rule, home, shell, defaults));
  }
  TRY(set_password(target, rule.name, rule.password_hash));
  for (const auto& group : rule.groups) TRY(join_group(target, group, rule.name));
  TRY(make_home(target, home, owner, defaults));
  if (rule.sudo) TRY(allow_sudo(target, rule));
  return add_keys(target, home, rule.ssh_keys, owner);
}

Result<> configure_root(const TargetRoot& target, const ConfigureRule& rule) {
  if (!rule.root_password_hash.empty()) TRY(set_password(target, "root", rule.root_password_hash));
  if (rule.ssh_keys.empty()) return {};
  const auto home = field_of(target.read("/etc/passwd").value_or(""), "root", 5).value_or("/root");
  return add_keys(target, home, rule.ssh_keys, {});
}

}  // namespace

Result<> configure_users(const TargetRoot& target, const ConfigureRule& rule) {
  TRY_WITHIN(configure_root(target, rule), "user root");
  for (const auto& user : rule.users) TRY_WITHIN(add_user(target, user), "user " + user.name);
  return {};
}

}  // namespace signet
