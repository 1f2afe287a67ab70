#include "network/parameters.h"

#include <arpa/inet.h>

#include <algorithm>
#include <bit>
#include <format>
#include <map>

#include "base/text.h"

namespace signet {
namespace {

bool is_family(int family, const std::string& text) {
  unsigned char binary[sizeof(in6_addr)];
  return ::inet_pton(family, text.c_str(), binary) == 1;
}

// Fields between colons; a colon inside [brackets] divides nothing, and the brackets go.
std::vector<std::string> fields_of(std::string_view text) {
  std::vector<std::string> fields(1);
  bool inside = false;
  for (const char c : text) {
    if (c == '[' || c == ']')
      inside = c == '[';
    else if (c == ':' && !inside)
      fields.emplace_back();
    else
      fields.back() += c;
  }
  return fields;
}

std::optional<Autoconf> parse_autoconf(std::string_view word) {
  if (word == "off" || word == "none") return Autoconf::none;
  if (word == "dhcp" || word == "on" || word == "any" || word == "both" || word == "either") return Autoconf::any;
  if (word == "dhcp4") return Autoconf::dhcp4;
  if (word == "auto6" || word == "dhcp6" || word == "either6") return Autoconf::ipv6;
  return std::nullopt;
}

std::optional<unsigned> prefix_of(const std::string& mask, bool ipv6) {
  if (const auto bits = parse_unsigned(mask); bits && *bits <= (ipv6 ? 128U : 32U)) return static_cast<unsigned>(*bits);
  in_addr binary{};
  if (ipv6 || ::inet_pton(AF_INET, mask.c_str(), &binary) != 1) return std::nullopt;
  const std::uint32_t value = ntohl(binary.s_addr);
  const auto bits = static_cast<unsigned>(std::countl_one(value));
  if (bits < 32 && value << bits != 0) return std::nullopt;
  return bits;
}

bool is_interface_name(std::string_view name) {
  return !name.empty() && name.size() < 16 && name != "." && name != ".." && name.find_first_of("/ \t:") == std::string_view::npos;
}

// What a netmask would be if nobody says one, as the kernel guesses it (ic_guess_netmask).
unsigned class_prefix(const std::string& address) {
  const auto first = parse_unsigned(address.substr(0, address.find('.'))).value_or(255);
  return first < 128 ? 8 : first < 192 ? 16 : 24;
}

}  // namespace

Result<AddressRule> parse_ip_parameter(std::string_view text) {
  AddressRule rule;
  const auto wrong = [&](std::string_view field, std::string_view value, std::string_view what) {
    return std::unexpected(Error(ErrorKind::invalid, std::format("ip={}: {} `{}` is not {}", printable(text), field, printable(value), what))
                               .advise("write ip=dhcp, or ip=CLIENT:SERVER:GATEWAY:NETMASK:HOST:DEVICE:off:DNS0:DNS1:NTP0 (fields may be empty)"));
  };
  if (text.empty()) return rule;
  if (const auto autoconf = parse_autoconf(text)) {
    rule.autoconf = *autoconf;
    return rule;
  }
  auto fields = fields_of(text);
  if (fields.size() == 2)  // dracut's ip=DEVICE:AUTOCONF
    if (const auto autoconf = parse_autoconf(fields[1])) fields = {"", "", "", "", "", fields[0], fields[1]};
  if (fields.size() > 10) return wrong("field 11", fields[10], "known");
  fields.resize(10);
  const auto& client = fields[0];
  const bool ipv6 = client.contains(':');
  const auto address = [&](std::size_t at, const char* name, std::string& into) -> Result<> {
    if (fields[at].empty()) return {};
    if (!is_family(AF_INET, fields[at]) && !is_family(AF_INET6, fields[at])) return wrong(name, fields[at], "an address");
    into = fields[at];
    return {};
  };
  auto& lease = rule.fixed;
  TRY(address(0, "CLIENT", lease.address));
  TRY(address(1, "SERVER", lease.next_server));
  std::string gateway, dns;
  TRY(address(2, "GATEWAY", gateway));
  if (!gateway.empty()) lease.routers.push_back(gateway);
  if (!fields[3].empty()) {
    const auto prefix = prefix_of(fields[3], ipv6);
    if (!prefix) return wrong("NETMASK", fields[3], ipv6 ? "a number of bits" : "a netmask such as 255.255.255.0 or a number of bits");
    lease.prefix = *prefix;
  } else if (!lease.address.empty()) {
    lease.prefix = ipv6 ? 64 : class_prefix(lease.address);
  }
  if (!fields[4].empty()) {
    const auto name = HostName::parse(fields[4]);
    if (!name) return wrong("HOST", fields[4], "a host name (RFC 1123: letters, digits and hyphens)");
    lease.host_name = name->text();
  }
  if (!fields[5].empty() && !is_interface_name(fields[5])) return wrong("DEVICE", fields[5], "the name of an interface");
  lease.interface = fields[5];
  if (!fields[6].empty()) {
    const auto autoconf = parse_autoconf(fields[6]);
    if (!autoconf) return wrong("AUTOCONF", fields[6], "one of dhcp on any off none auto6 dhcp6");
    rule.autoconf = *autoconf;
  } else if (!lease.address.empty()) {
    rule.autoconf = Autoconf::none;
  }
  for (const std::size_t at : {7U, 8U}) {
    dns.clear();
    TRY(address(at, "DNS", dns));
    if (!dns.empty()) lease.dns.push_back(dns);
  }
  std::string ntp;
  TRY(address(9, "NTP0", ntp));
  if (!ntp.empty()) lease.ntp.push_back(ntp);
  if (rule.autoconf == Autoconf::none && lease.address.empty()) return wrong("CLIENT", client, "an address, which AUTOCONF off needs");
  if (rule.autoconf != Autoconf::none) lease.address.clear();
  return rule;
}

std::optional<std::string> parse_bootif(std::string_view text) {
  std::string mac = to_lower(text);
  if (mac.size() == 20 && mac.starts_with("01-")) mac.erase(0, 3);
  std::ranges::replace(mac, '-', ':');
  const auto parts = split(mac, ':');
  const bool fits = parts.size() == 6 && std::ranges::all_of(parts, [](std::string_view part) {
                      return part.size() == 2 && part.find_first_not_of("0123456789abcdef") == std::string_view::npos;
                    });
  if (!fits) return std::nullopt;
  return mac;
}

Result<VlanRule> parse_vlan_parameter(std::string_view text) {
  const auto fields = split(text, ':');
  const auto wrong = [&] {
    return std::unexpected(Error(ErrorKind::invalid, std::format("vlan={}: not understood", printable(text)))
                               .advise("write vlan=NAME:PARENT with the tag at the end of NAME, as in vlan=eth0.5:eth0 (tags are 1 to 4094)"));
  };
  if (fields.size() != 2 || !is_interface_name(fields[0]) || !is_interface_name(fields[1])) return wrong();
  const auto last = fields[0].find_last_not_of("0123456789");
  const auto tag = parse_unsigned(fields[0].substr(last == std::string_view::npos ? 0 : last + 1));
  if (!tag || *tag < 1 || *tag > 4094) return wrong();
  return VlanRule{std::string(fields[0]), std::string(fields[1]), static_cast<unsigned>(*tag)};
}

Result<BondRule> parse_bond_parameter(std::string_view text) {
  const auto fields = split(text, ':');
  const auto wrong = [&](std::string_view why) {
    return std::unexpected(Error(ErrorKind::invalid, std::format("bond={}: {}", printable(text), why))
                               .advise("write bond=NAME:SLAVE,SLAVE:mode=802.3ad,miimon=100, as in bond=bond0:eth0,eth1:mode=active-backup"));
  };
  BondRule rule;
  rule.name = fields[0];
  if (!is_interface_name(rule.name) || fields.size() > 4) return wrong("not understood");
  for (const auto member : split(fields.size() > 1 ? fields[1] : "", ',')) {
    if (member.empty()) continue;
    if (!is_interface_name(member)) return wrong(std::format("`{}` is no interface", printable(member)));
    rule.members.emplace_back(member);
  }
  if (rule.members.empty()) rule.members = {"eth0", "eth1"};
  rule.options = {{"mode", "active-backup"}, {"miimon", "100"}};
  for (const auto option : split(fields.size() > 2 ? fields[2] : "", ',')) {
    if (option.empty()) continue;
    const auto equals = option.find('=');
    const auto name = std::string(option.substr(0, equals));
    if (equals == std::string_view::npos || name.find_first_not_of("abcdefghijklmnopqrstuvwxyz_0123456789") != std::string::npos)
      return wrong(std::format("`{}` is no option", printable(option)));
    rule.options[name] = option.substr(equals + 1);
  }
  if (fields.size() > 3) rule.mtu = static_cast<unsigned>(parse_unsigned(fields[3]).value_or(0));
  return rule;
}

Result<NetworkOptions> network_options(const Machine& machine) {
  NetworkOptions options;
  if (const auto iface = machine.setting("iface")) options.only_interface = iface->value;
  if (const auto address = machine.setting("network")) options.address = TRY_WITHIN(parse_ip_parameter(address->value), address->source);
  if (!options.address.fixed.interface.empty()) options.only_interface = options.address.fixed.interface;
  if (const auto mac = machine.command_line.value("BOOTIF")) options.boot_mac = parse_bootif(*mac).value_or("");
  for (const auto& text : machine.command_line.values("bond")) options.bonds.push_back(TRY(parse_bond_parameter(text)));
  for (const auto& text : machine.command_line.values("vlan")) options.vlans.push_back(TRY(parse_vlan_parameter(text)));
  return options;
}

}  // namespace signet
