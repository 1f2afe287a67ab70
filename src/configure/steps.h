// The steps of configure/, by subject. Texts are made by pure functions, so they are tested without a target.
#pragma once

#include <string>
#include <string_view>

#include "configure/configure.h"
#include "configure/target_root.h"

namespace signet {

Result<> configure_names(const TargetRoot& target, const std::string& host_name);
Result<> configure_fstab(const TargetRoot& target, const Plan& plan);
Result<> configure_network(const TargetRoot& target, const NetworkRule& network, Report& report);
Result<> configure_identity(const TargetRoot& target, Report& report);
Result<> configure_users(const TargetRoot& target, const ConfigureRule& rule);
Result<> configure_time_and_locale(const TargetRoot& target, const ConfigureRule& rule);

/// hosts(5) with the host's own names on 127.0.1.1 (Debian's convention for a host without a fixed address); every other line stays.
std::string hosts_text(std::string_view existing, std::string_view host_name);
/// fstab(5) of the planned partitions, by UUID.
std::string fstab_text(const Plan& plan);
/// One .network file (systemd.network(5)).
std::string networkd_text(const InterfaceRule& rule);
/// /etc/network/interfaces (interfaces(5)); without rules, DHCP on every Ethernet link as it appears.
std::string ifupdown_text(const std::vector<InterfaceRule>& rules);
/// netplan(5) YAML for all rules.
std::string netplan_text(const std::vector<InterfaceRule>& rules);
/// A NetworkManager keyfile (nm-settings-keyfile(5)).
std::string keyfile_text(const InterfaceRule& rule, const std::string& id);
/// A table such as passwd(5) or shadow(5) with the line of `name` replaced or added.
std::string with_account(std::string_view table, std::string_view name, std::string_view line);
/// group(5) with `user` among the members of `group`; unchanged if there is no such group.
std::string with_member(std::string_view groups, std::string_view group, std::string_view user);
/// A file of NAME=value lines (default/grub, default/locale) with one of them set; a commented-out line is left as it is.
std::string with_setting(std::string_view text, std::string_view name, std::string_view value);

}  // namespace signet
