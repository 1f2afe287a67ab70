#include <arpa/inet.h>

#include <algorithm>
#include <bit>
#include <format>

#include "base/host_name.h"
#include "base/text.h"
#include "network/network.h"

namespace signet {
namespace {

// The inverse of shell_quote() for one word: 'it'\''s' gives it's.
std::string unquote(std::string_view word) {
  std::string text;
  bool quoted = false;
  for (std::size_t i = 0; i < word.size(); ++i) {
    if (word[i] == '\'')
      quoted = !quoted;
    else if (word[i] == '\\' && !quoted && i + 1 < word.size())
      text += word[++i];
    else
      text += word[i];
  }
  return text;
}

// udhcpc exports options that it has no name for as "opt224=687474703a…".
std::optional<std::string> from_hex(std::string_view hex) {
  const auto digit = [](char c) {
    if (c >= '0' && c <= '9') return c - '0';
    const int lower = c | 0x20;
    return lower >= 'a' && lower <= 'f' ? lower - 'a' + 10 : -1;
  };
  if (hex.size() % 2 != 0) return std::nullopt;
  std::string text;
  for (std::size_t i = 0; i < hex.size(); i += 2) {
    if (digit(hex[i]) < 0 || digit(hex[i + 1]) < 0) return std::nullopt;
    text += static_cast<char>(digit(hex[i]) * 16 + digit(hex[i + 1]));
  }
  // Some servers count a closing zero byte in (RFC 2132 §2 asks them not to).
  while (text.ends_with('\0')) text.pop_back();
  return text;
}

std::vector<std::string> words(std::string_view text) {
  std::vector<std::string> found;
  for (const auto word : split(text, ' '))
    if (!word.empty()) found.emplace_back(word);
  return found;
}

bool is_ipv4(std::string_view text) {
  const auto parts = split(text, '.');
  return parts.size() == 4 &&
         std::ranges::all_of(parts, [](std::string_view part) { return part.size() <= 3 && parse_unsigned(part).value_or(256) < 256; });
}

bool is_ipv6(const std::string& text) {
  in6_addr binary{};
  return ::inet_pton(AF_INET6, text.c_str(), &binary) == 1;
}

// Bits of a netmask such as 255.255.255.0.
std::optional<unsigned> mask_bits(std::string_view mask) {
  if (!is_ipv4(mask)) return std::nullopt;
  std::uint32_t value = 0;
  for (const auto part : split(mask, '.')) value = value << 8 | static_cast<std::uint32_t>(*parse_unsigned(part));
  const auto bits = static_cast<unsigned>(std::countl_one(value));
  if (bits < 32 && value << bits != 0) return std::nullopt;
  return bits;
}

std::string host_name_or_nothing(std::string_view name) {
  const auto parsed = HostName::parse(name);
  return parsed ? parsed->text() : std::string();
}

// What BusyBox's udhcpc puts in the place of a host name or domain that it does not like (networking/udhcp/dhcpc.c).
constexpr std::string_view withheld = "bad";

// The host name and the domain of a lease. One that is not a name goes no further, not even into what scripts see; the lease keeps it for people.
void take_names(Lease& lease, const char* domain) {
  const auto take = [&](const char* variable, const char* refused_variable, std::string& refused) {
    if (auto earlier = lease.variables.extract(refused_variable)) refused = std::move(earlier.mapped());
    const auto at = lease.variables.find(variable);
    if (at == lease.variables.end()) return std::string();
    // Option 15 is one name, but some servers put a search list there; DHCPv6 has nothing but a list.
    const std::string_view text = at->second;
    auto name = host_name_or_nothing(text.substr(0, text.find(' ')));
    if (text == withheld) {
      refused = "bad (as udhcpc calls it)";
      lease.variables.erase(at);
      return std::string();
    }
    if (name.empty() || (variable == std::string_view("hostname") && text.contains(' '))) {
      refused = text;
      lease.variables.erase(at);
      return std::string();
    }
    at->second = name;
    return name;
  };
  lease.host_name = take("hostname", "refused_hostname", lease.refused_name);
  lease.domain = take(domain, "refused_domain", lease.refused_domain);
}

}  // namespace

std::string lease_text(const Lease& lease) {
  auto variables = lease.variables;
  const auto joined = [](const std::vector<std::string>& words) { return join(words, " "); };
  variables["origin"] = lease.origin;
  variables[lease.ipv6 ? "ipv6" : "ip"] = lease.address;
  variables["mask"] = std::to_string(lease.prefix);
  variables["router"] = joined(lease.routers);
  variables["dns"] = joined(lease.dns);
  variables["ntpsrv"] = joined(lease.ntp);
  variables["hostname"] = lease.host_name;
  variables["siaddr"] = lease.next_server;
  variables["refused_hostname"] = lease.refused_name;
  variables["refused_domain"] = lease.refused_domain;
  std::string text;
  for (const auto& [name, value] : variables)
    if (!value.empty()) text += name + "=" + shell_quote(value) + "\n";
  return text;
}

Result<Lease> parse_lease(std::string_view text, const std::string& interface) {
  Lease lease;
  lease.interface = interface;
  for (const auto line : split(text, '\n')) {
    const auto equals = line.find('=');
    if (equals == std::string_view::npos || equals == 0) continue;
    lease.variables.emplace(line.substr(0, equals), unquote(line.substr(equals + 1)));
  }
  const auto variable = [&](const char* name) {
    const auto at = lease.variables.find(name);
    return at == lease.variables.end() ? std::string() : at->second;
  };
  const auto addresses = [&](const char* name) {
    auto list = words(variable(name));
    std::erase_if(list, [](const std::string& word) { return !is_ipv4(word); });
    return list;
  };

  if (const auto origin = variable("origin"); !origin.empty()) lease.origin = printable(origin);
  if (const auto ipv6 = variable("ipv6"); is_ipv6(ipv6)) {
    lease.ipv6 = true;
    if (variable("origin").empty()) lease.origin = "DHCPv6";
    lease.address = ipv6;
    lease.prefix = static_cast<unsigned>(std::min<std::uint64_t>(parse_unsigned(variable("mask")).value_or(128), 128));
    lease.dns = words(variable("dns"));
    std::erase_if(lease.dns, [](const std::string& word) { return !is_ipv6(word); });
    take_names(lease, "search");
    lease.boot_file = printable(variable("bootfile_url"));
    return lease;
  }
  lease.address = variable("ip");
  if (!is_ipv4(lease.address)) return fail(ErrorKind::network, "the lease on {} has no usable address: `{}`", interface, printable(lease.address));
  if (const auto bits = parse_unsigned(variable("mask")); bits && *bits <= 32)
    lease.prefix = static_cast<unsigned>(*bits);
  else
    lease.prefix = mask_bits(variable("subnet")).value_or(24);
  lease.routers = addresses("router");
  lease.dns = addresses("dns");
  take_names(lease, "domain");
  if (const auto next = variable("siaddr"); is_ipv4(next) && next != "0.0.0.0") lease.next_server = next;
  const auto text_option = [&](const char* name) { return printable(from_hex(variable(name)).value_or("")); };
  lease.boot_file = variable("bootfile").empty() ? variable("boot_file") : variable("bootfile");
  lease.tftp_server = is_ipv4(variable("tftp")) ? variable("tftp") : host_name_or_nothing(variable("tftp"));
  lease.ntp = addresses("ntpsrv");
  lease.configuration_file = printable(variable("pxeconffile"));
  lease.path_prefix = printable(variable("pxepathprefix"));
  lease.image_server = text_option("opt140");
  // A server that knows no better sends an address as four bytes.
  if (const auto bytes = from_hex(variable("opt140")); bytes && bytes->size() == 4 && !is_ipv4(lease.image_server)) {
    const auto part = [&](std::size_t at) { return static_cast<unsigned>(static_cast<unsigned char>((*bytes)[at])); };
    lease.image_server = std::format("{}.{}.{}.{}", part(0), part(1), part(2), part(3));
  }
  lease.signet_url = from_hex(variable("opt224")).value_or("");
  lease.seconds = static_cast<unsigned>(std::min<std::uint64_t>(parse_unsigned(variable("lease")).value_or(0), UINT32_MAX));
  return lease;
}

}  // namespace signet
