// The steps of configure/, by subject. Texts are made by pure functions, so they are tested without a target.
#pragma once

#include <functional>
#include <string>
#include <string_view>
#include <vector>

#include "configure/configure.h"
#include "configure/target_root.h"

namespace signet {

// Only read and write files; the kernel's file systems need not be mounted in the target.
Result<> configure_names(const TargetRoot& target, const std::string& host_name);
Result<> configure_fstab(const TargetRoot& target, const Plan& plan);
Result<> configure_network(const TargetRoot& target, const NetworkRule& network, const std::string& host_name, Report& report);
Result<> configure_users(const TargetRoot& target, const ConfigureRule& rule);
/// Puts away what the machine that the image was taken from has left of its identity.
Result<> forget_identity(const TargetRoot& target);

// Run tools of the image; ChrootMounts are in place.
Result<> configure_identity(const TargetRoot& target, Report& report);
Result<> configure_time_and_locale(const TargetRoot& target, const ConfigureRule& rule, Report& report);

inline constexpr const char* target_path = "PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";
/// Runs a tool of the image in the target for at most ten minutes, in an environment that has nothing of ours but `variables`.
Result<> run_tool(const TargetRoot& target, const std::vector<std::string>& arguments, const std::vector<std::string>& variables = {},
                  const std::function<void(std::string_view)>& on_line = {});
/// A unit that systemd starts, because a .wants directory of the image's administrator links to it.
bool unit_enabled(const TargetRoot& target, std::string_view unit);

/// hosts(5) with the host's own names on 127.0.1.1 (Debian's convention for a host without a fixed address); every other line stays.
std::string hosts_text(std::string_view existing, std::string_view host_name);
/// fstab(5) of the planned partitions, by UUID. Of the existing one what needs no block device stays (NFS, tmpfs, bind mounts), unless the plan
/// mounts that place.
std::string fstab_text(const Plan& plan, std::string_view existing = {});
/// One .network file (systemd.network(5)).
std::string networkd_text(const InterfaceRule& rule);
/// /etc/network/interfaces (interfaces(5)).
std::string ifupdown_text(const std::vector<InterfaceRule>& rules);
/// netplan(5) YAML for all rules.
std::string netplan_text(const std::vector<InterfaceRule>& rules);
/// A NetworkManager keyfile (nm-settings-keyfile(5)).
std::string keyfile_text(const InterfaceRule& rule, const std::string& id);
/// resolv.conf(5).
std::string resolv_text(const std::vector<std::string>& servers, std::string_view host_name);

/// The nth field of a table's line (passwd(5), shadow(5), group(5)); fields count from 0, number 0 is the name.
std::optional<std::string> field_of(std::string_view table, std::string_view name, std::size_t number);
/// The table with the line of `name` replaced or added.
std::string with_account(std::string_view table, std::string_view name, std::string_view line);
/// The table with one field of the line of `name` changed; unchanged if there is no such line or field.
std::string with_field(std::string_view table, std::string_view name, std::size_t number, std::string_view value);
/// group(5) or gshadow(5) with `user` among the members of `group`; unchanged if there is no such group.
std::string with_member(std::string_view groups, std::string_view group, std::string_view user);
/// subuid(5) with the next free range of 65536 ids for `user`; unchanged if the user has one.
std::string with_subordinate_ids(std::string_view table, std::string_view user);
/// The value of NAME in login.defs(5), or `otherwise`.
std::uint64_t login_default(std::string_view text, std::string_view name, std::uint64_t otherwise, int base = 10);

/// A file of NAME=value lines (default/locale) with one of them set; a commented-out line is left as it is.
std::string with_setting(std::string_view text, std::string_view name, std::string_view value);
/// A file of shell assignments (default/grub) with each of `words` once in the quoted value of NAME; words that are there already stay where they
/// are.
std::string with_words(std::string_view text, std::string_view name, std::string_view words);

}  // namespace signet
