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
Result<> check_host_name(std::string_view text);    // RFC 1123 §2.1
Result<> check_mount_point(std::string_view text);  // absolute, normal, printable
Result<> check_sha256(std::string_view text);
Result<> check_label(std::string_view text, FormatType format);
Result<> check_partition_name(std::string_view text);  // UEFI 2.10 §5.3.3: 36 UTF-16 units
Result<> check_address(std::string_view text, bool with_prefix);
Result<> check_mac(std::string_view text);
Result<> check_user_name(std::string_view text);      // useradd(8)
Result<> check_password_hash(std::string_view text);  // crypt(5)
Result<> check_line(std::string_view text);           // one line, no control characters
Result<> check_time_zone(std::string_view text);

}  // namespace signet
