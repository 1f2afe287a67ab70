// The values of a profile that have a grammar of their own: sizes of partitions, bounds, names, addresses.
#pragma once

#include <string>
#include <string_view>

#include "base/result.h"
#include "profile/profile.h"

namespace signet {

Result<SizeRule> parse_size_rule(std::string_view text);
std::string to_string(const SizeRule& rule);
Result<SizeBound> parse_size_bound(std::string_view text);

/// Nothing, or what is wrong with it, as the end of a sentence.
Result<> check_host_name(std::string_view text);     // base/host_name.h
Result<> check_mount_point(std::string_view text);   // absolute, normal, fit for fstab(5), not where the kernel's own file systems are
Result<> check_mount_option(std::string_view text);  // one field of fstab(5)
Result<> check_sha256(std::string_view text);        // base/digest.h
Result<> check_label(std::string_view text, FormatType format);
Result<> check_partition_name(std::string_view text);  // UEFI 2.10 §5.3.3: 36 UTF-16 units
Result<> check_transport(std::string_view text);       // one of machine/'s words, or a pattern
Result<> check_interface_name(std::string_view text);  // one or more names or patterns, as the kernel allows them (dev_valid_name())
Result<> check_address(std::string_view text);         // IPv4 or IPv6
Result<> check_address_with_prefix(std::string_view text);
Result<> check_mac(std::string_view text);
Result<> check_user_name(std::string_view text);      // useradd(8)
Result<> check_password_hash(std::string_view text);  // crypt(5)
/// A time of base/duration.h, and not zero.
Result<> check_timeout(std::string_view text);
Result<> check_ssh_key(std::string_view text);   // a line of authorized_keys, sshd(8)
Result<> check_shell(std::string_view text);     // a path that fits into passwd(5)
Result<> check_locale(std::string_view text);    // locale(7): language_TERRITORY.codeset@modifier
Result<> check_keyboard(std::string_view text);  // xkeyboard-config(7): layouts, joined by commas
Result<> check_line(std::string_view text);      // one line, no control characters
Result<> check_time_zone(std::string_view text);

}  // namespace signet
