#include "profile/values.h"

#include <arpa/inet.h>

#include <algorithm>

#include "base/digest.h"
#include "base/duration.h"
#include "base/host_name.h"
#include "base/size.h"
#include "base/text.h"
#include "profile/words.h"

namespace signet {
namespace {

constexpr std::string_view lower_case = "abcdefghijklmnopqrstuvwxyz";
constexpr std::string_view digits = "0123456789";

bool only(std::string_view text, std::initializer_list<std::string_view> allowed) {
  return std::ranges::all_of(text, [&](char c) { return std::ranges::any_of(allowed, [&](std::string_view set) { return set.contains(c); }); });
}

std::unexpected<Error> wrong(std::string_view text, std::string_view what) { return fail(ErrorKind::invalid, "`{}` {}", printable(text), what); }

// Bits of an address: 32 or 128, or 0 if it is none.
unsigned address_bits(std::string_view text) {
  const std::string address(text);
  if (address.contains('\0')) return 0;
  unsigned char binary[16];
  if (::inet_pton(AF_INET, address.c_str(), binary) == 1) return 32;
  return ::inet_pton(AF_INET6, address.c_str(), binary) == 1 ? 128 : 0;
}

}  // namespace

Result<SizeRule> parse_size_rule(std::string_view text) {
  if (text == "rest") return SizeRule{SizeRule::Kind::rest, 0};
  if (text.ends_with('%')) {
    const auto percent = parse_unsigned(text.substr(0, text.size() - 1));
    if (!percent || *percent == 0 || *percent > 100) return wrong(text, "is not a percentage from 1% to 100%");
    return SizeRule{SizeRule::Kind::percent, *percent};
  }
  const auto bytes = parse_size(text);
  if (!bytes) return fail(ErrorKind::invalid, "{}, or write \"25%\" or \"rest\"", bytes.error().message());
  if (*bytes == 0) return wrong(text, "is no size for a partition");
  return SizeRule{SizeRule::Kind::bytes, *bytes};
}

std::string to_string(const SizeRule& rule) {
  switch (rule.kind) {
    case SizeRule::Kind::rest: return "rest";
    case SizeRule::Kind::percent: return std::format("{}%", rule.value);
    case SizeRule::Kind::bytes: break;
  }
  return format_exact_size(rule.value);
}

Result<SizeBound> parse_size_bound(std::string_view text) {
  SizeBound bound;
  bound.text = text;
  for (auto part : split(text, ',')) {
    part = trim(part);
    const auto compare = part.substr(0, part.find_first_not_of("<>="));
    const auto size = TRY(parse_size(part.substr(compare.size())));
    if (compare == ">=") {
      bound.minimum = std::max(bound.minimum, size);
    } else if (compare == ">") {
      bound.minimum = std::max(bound.minimum, size == UINT64_MAX ? size : size + 1);
    } else if (compare == "<=") {
      bound.maximum = std::min(bound.maximum, size);
    } else if (compare == "<") {
      bound.maximum = std::min(bound.maximum, size == 0 ? 0 : size - 1);
    } else if (compare == "=" || compare == "==" || compare.empty()) {
      bound.minimum = std::max(bound.minimum, size);
      bound.maximum = std::min(bound.maximum, size);
    } else {
      return wrong(text, "is not a bound: write >=100GiB, <2TB, 20GiB, or two of them with a comma");
    }
  }
  if (bound.minimum > bound.maximum) return wrong(text, "is a bound that no disk can meet");
  return bound;
}

Result<> check_host_name(std::string_view text) {
  TRY(HostName::parse(text));
  return {};
}

Result<> check_mount_point(std::string_view text) {
  if (!text.starts_with('/')) return wrong(text, "is not an absolute path");
  if (text != "/" && text.ends_with('/')) return wrong(text, "ends with a slash");
  const auto parts = split(text.substr(1), '/');
  for (const auto part : parts)
    if (part == "." || part == ".." || (part.empty() && text != "/")) return wrong(text, "has empty, `.` or `..` parts");
  for (const auto kernel : {"dev", "proc", "run", "sys"})
    if (parts.front() == kernel) return wrong(text, "lies where the running system has a file system of its own");
  if (text.contains(' ') || text.contains('\\')) return wrong(text, "has a blank or a backslash, which fstab(5) gives a meaning to");
  return check_line(text);
}

Result<> check_mount_option(std::string_view text) {
  if (text.empty() || text.contains(' ') || text.contains(','))
    return wrong(text, "is not one mount option; write options = [\"noatime\", \"discard\"]");
  return check_line(text);
}

Result<> check_sha256(std::string_view text) {
  TRY(parse_sha256(text));
  return {};
}

Result<> check_label(std::string_view text, FormatType format) {
  TRY(check_line(text));
  if (format == FormatType::none) return wrong(text, "labels no file system; set format too");
  const std::size_t limit = format == FormatType::vfat ? 11 : format == FormatType::swap ? 15 : 16;
  if (text.size() > limit)
    return fail(ErrorKind::invalid, "`{}` is longer than the {} bytes that a label of {} may have", text, limit, to_string(format));
  // fatgen103: what a short name may not have, a volume label may not have either.
  const bool fat_fits = std::ranges::all_of(text, [](char c) { return c >= ' ' && !std::string_view("\"*+,./:;<=>?[\\]|").contains(c); });
  if (format == FormatType::vfat && !fat_fits) return wrong(text, "has characters that a vfat label cannot have; use letters, digits, - and _");
  return {};
}

Result<> check_partition_name(std::string_view text) {
  TRY(check_line(text));
  // Every UTF-8 sequence but its continuation bytes is a UTF-16 unit, those of four bytes are two.
  const auto units =
      std::ranges::count_if(text, [](char c) { return (c & 0xc0) != 0x80; }) + std::ranges::count_if(text, [](char c) { return (c & 0xf8) == 0xf0; });
  if (text.empty() || units > 36) return wrong(text, "is not a partition name of 1 to 36 characters");
  return {};
}

Result<> check_transport(std::string_view text) {
  constexpr std::string_view known[] = {"nvme", "sata", "sas", "scsi", "ata", "usb", "mmc", "virtio", "loop", "file"};
  TRY(check_line(text));
  if (text.find_first_of("*?[") != std::string_view::npos || std::ranges::find(known, to_lower(text)) != std::end(known)) return {};
  const auto near = nearest(text, known);
  return wrong(
      text, near ? "is no transport; did you mean `" + *near + "`?" : "is no transport; known are nvme, sata, sas, scsi, ata, usb, mmc and virtio");
}

Result<> check_interface_name(std::string_view text) {
  for (const auto name : split(text, ' '))
    if (name.empty() || name == "." || name == ".." || name.size() > 15 || name.find_first_of("/:\"'\\") != std::string_view::npos)
      return wrong(text, "is not the name of an interface, such as \"eth0\" or \"en*\", at most 15 characters");
  return check_line(text);
}

Result<> check_address(std::string_view text) {
  if (address_bits(text) != 0) return {};
  const bool prefix = address_bits(text.substr(0, text.find('/'))) != 0;
  return wrong(text, prefix ? "must not have a prefix length here" : "is not an IPv4 or IPv6 address");
}

Result<> check_address_with_prefix(std::string_view text) {
  const auto slash = text.find('/');
  const auto bits = address_bits(text.substr(0, slash));
  if (bits == 0) return wrong(text, "is not an IPv4 or IPv6 address");
  const auto prefix = slash == std::string_view::npos ? std::nullopt : parse_unsigned(text.substr(slash + 1));
  if (!prefix || *prefix > bits)
    return wrong(text, bits == 32 ? "needs a prefix length, such as 10.0.0.5/24" : "needs a prefix length, such as fd00::5/64");
  return {};
}

Result<> check_mac(std::string_view text) {
  const auto parts = split(text, ':');
  const bool fits = parts.size() == 6 &&
                    std::ranges::all_of(parts, [](std::string_view part) { return part.size() == 2 && only(to_lower(part), {digits, "abcdef"}); });
  if (!fits) return wrong(text, "is not a MAC address such as 52:54:00:12:34:56");
  return {};
}

Result<> check_user_name(std::string_view text) {
  const bool fits = !text.empty() && text.size() <= 32 && only(text, {lower_case, digits, "_-"}) && !only(text.substr(0, 1), {digits, "-"});
  if (!fits) return wrong(text, "is not a user or group name (lower-case letters, digits, _ and -, at most 32)");
  return {};
}

Result<> check_password_hash(std::string_view text) {
  if (!text.starts_with('$') || text.contains(':') || text.size() > 384 || !check_line(text))
    return fail(ErrorKind::invalid, "the password must be a hash as crypt(5) has it (`openssl passwd -6`), not the password itself");
  return {};
}

Result<> check_timeout(std::string_view text) {
  const auto time = parse_duration(text);
  if (!time || time->count() == 0) return fail(ErrorKind::invalid, "`{}` is not a time such as 90s, 30min or 2h", printable(text));
  return {};
}

Result<> check_ssh_key(std::string_view text) {
  TRY(check_line(text));
  bool typed = false;
  for (const auto word : split(text, ' '))
    for (const auto type : {"ssh-", "ecdsa-sha2-", "sk-ssh-", "sk-ecdsa-"}) typed = typed || word.starts_with(type);
  if (!typed || !text.contains(' ')) return wrong(text.substr(0, 40), "is not a public SSH key; copy the line of a .pub file");
  return {};
}

Result<> check_shell(std::string_view text) {
  TRY(check_mount_point(text));
  if (text.contains(':')) return wrong(text, "has a colon, which parts the fields of passwd(5)");
  return {};
}

Result<> check_locale(std::string_view text) {
  if (text.empty() || !only(to_lower(text), {lower_case, digits, "_.@-"})) return wrong(text, "is not a locale such as en_US.UTF-8");
  return {};
}

Result<> check_keyboard(std::string_view text) {
  if (text.empty() || !only(to_lower(text), {lower_case, digits, "_,()-"})) return wrong(text, "is not a keyboard layout such as de or us");
  return {};
}

Result<> check_line(std::string_view text) {
  if (printable(text) != text) return wrong(text, "contains control characters or is not UTF-8");
  return {};
}

Result<> check_time_zone(std::string_view text) {
  const bool fits = !text.empty() && !text.starts_with('/') && !text.contains("..") && only(to_lower(text), {lower_case, digits, "/_+-"});
  if (!fits) return wrong(text, "is not a time zone such as Europe/Berlin or UTC");
  return {};
}

std::string_view to_string(Compat compat) { return word_of(compat_words, compat); }
std::string_view to_string(WipeRule rule) { return word_of(wipe_words, rule); }
std::string_view to_string(TableType table) { return word_of(table_words, table); }
std::string_view to_string(FormatType format) { return word_of(format_words, format); }
std::string_view to_string(PartitionType type) { return word_of(type_words, type); }
std::string_view to_string(FinishAction action) { return word_of(action_words, action); }
std::string_view to_string(InstallRule rule) { return word_of(install_words, rule); }
std::optional<InstallRule> parse_install_rule(std::string_view text) { return value_of(install_words, text); }
std::optional<FinishAction> parse_finish_action(std::string_view text) { return value_of(action_words, text); }

}  // namespace signet
