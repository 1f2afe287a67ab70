#include "network/links.h"

#include <arpa/inet.h>
#include <fcntl.h>
#include <net/if.h>
#include <sys/ioctl.h>
#include <sys/socket.h>

#include <algorithm>
#include <cstring>
#include <format>

#include "base/fd.h"
#include "base/process.h"
#include "base/text.h"
#include "machine/sysfs.h"

namespace signet {
namespace {

constexpr auto tool_limit = std::chrono::seconds(10);
const std::string net = "/sys/class/net/";

Result<> ip(std::vector<std::string> arguments) {
  arguments.insert(arguments.begin(), "ip");
  TRY(run_checked({.arguments = std::move(arguments), .time_limit = tool_limit}));
  return {};
}

// sysfs takes a value in one write and refuses it there.
Result<> set_value(const std::string& path, const std::string& value) {
  const Fd fd = TRY(open_file(path, O_WRONLY));
  if (auto written = write_all(fd.get(), value); !written) return fail(ErrorKind::invalid, "{} does not take `{}`", path, printable(value));
  return {};
}

Result<> make_bond(const BondRule& rule) {
  if (!sysfs::exists("/sys/class/net/bonding_masters")) return fail(ErrorKind::unsupported, "bond {}: this kernel has no bonding", rule.name);
  for (const auto& member : rule.members)
    if (!sysfs::exists(net + member)) return fail(ErrorKind::not_found, "bond {}: there is no link {}", rule.name, member);
  if (!sysfs::exists(net + rule.name)) TRY(set_value("/sys/class/net/bonding_masters", "+" + rule.name));
  const auto directory = net + rule.name + "/bonding/";
  if (!sysfs::text(directory + "slaves").empty()) return {};  // made before
  // The mode goes first: other options mean something only in some modes.
  TRY(set_value(directory + "mode", rule.options.at("mode")));
  for (const auto& [name, value] : rule.options)
    if (name != "mode") TRY_WITHIN(set_value(directory + name, value), "bond " + rule.name);
  for (const auto& member : rule.members) {
    TRY(ip({"addr", "flush", "dev", member}));
    TRY(ip({"link", "set", member, "down"}));
    TRY_WITHIN(set_value(directory + "slaves", "+" + member), "bond " + rule.name);
  }
  if (rule.mtu > 0) TRY(ip({"link", "set", rule.name, "mtu", std::to_string(rule.mtu)}));
  return set_link_up(rule.name);
}

Result<> make_vlan(const VlanRule& rule) {
  if (sysfs::exists(net + rule.name)) return {};
  if (!sysfs::exists(net + rule.parent)) return fail(ErrorKind::not_found, "VLAN {}: there is no link {}", rule.name, rule.parent);
  TRY(set_link_up(rule.parent));
  TRY_WITHIN(ip({"link", "add", "link", rule.parent, "name", rule.name, "type", "vlan", "id", std::to_string(rule.tag)}), "VLAN " + rule.name);
  return set_link_up(rule.name);
}

}  // namespace

Result<> set_link_up(const std::string& interface) {
  const Fd socket(::socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0));
  if (!socket) return fail_errno("open a socket");
  ifreq request{};
  std::strncpy(request.ifr_name, interface.c_str(), IFNAMSIZ - 1);
  if (::ioctl(socket.get(), SIOCGIFFLAGS, &request) != 0) return fail_errno("read the flags of {}", interface);
  if (request.ifr_flags & IFF_UP) return {};
  request.ifr_flags = static_cast<short>(request.ifr_flags | IFF_UP);
  if (::ioctl(socket.get(), SIOCSIFFLAGS, &request) != 0) return fail_errno("set {} up", interface);
  return {};
}

Result<std::vector<std::string>> make_virtual_links(const NetworkOptions& options) {
  std::vector<std::string> top;
  for (const auto& bond : options.bonds) {
    TRY(make_bond(bond));
    top.push_back(bond.name);
  }
  for (const auto& vlan : options.vlans) {
    TRY(make_vlan(vlan));
    std::erase(top, vlan.parent);
    top.push_back(vlan.name);
  }
  return top;
}

Link describe_link(const std::string& name) {
  return {.name = name,
          .mac = to_lower(sysfs::text(net + name + "/address")),
          .driver = sysfs::exists(net + name + "/bonding") ? "bonding" : sysfs::link_name(net + name + "/device/driver"),
          .carrier = sysfs::number(net + name + "/carrier") == 1};
}

Result<> set_mtu(const Lease& lease) {
  const auto mtu = lease.variables.find("mtu");
  if (mtu == lease.variables.end()) return {};
  const auto bytes = parse_unsigned(mtu->second);
  if (!bytes || *bytes < 576 || *bytes > 65535) return {};
  return ip({"link", "set", lease.interface, "mtu", mtu->second});
}

Result<> configure_link(const Lease& lease) {
  const auto& interface = lease.interface;
  const bool by_kernel = lease.origin == "router advertisement";  // the kernel has set address and route already
  if (!by_kernel) {
    if (!lease.ipv6) TRY(ip({"-4", "addr", "flush", "dev", interface}));
    const auto address = std::format("{}/{}", lease.address, lease.prefix);
    if (auto added = ip({"addr", "add", address, "dev", interface}); !added && !lease.ipv6) return added;
  }
  if (!lease.routers.empty()) {
    const auto& router = lease.routers.front();
    // A router outside the subnet (a /32 from a cloud) is reached over the link itself.
    if (!ip({"route", "add", "default", "via", router, "dev", interface})) {
      TRY(ip({"route", "add", router + (router.contains(':') ? "/128" : "/32"), "dev", interface}));
      TRY(ip({"route", "add", "default", "via", router, "dev", interface}));
    }
  }
  if (lease.dns.empty()) return {};
  std::string resolv = "options timeout:2 attempts:2\n";
  if (!lease.domain.empty()) resolv += "search " + lease.domain + "\n";
  for (const auto& server : lease.dns) resolv += "nameserver " + server + "\n";
  return write_file("/etc/resolv.conf", resolv);
}

std::optional<Lease> autoconfigured_address(const std::string& interface) {
  constexpr unsigned long global = 0x00, tentative = 0x40, failed = 0x08, temporary = 0x01;  // include/net/ipv6.h, linux/if_addr.h
  const auto table = read_file("/proc/net/if_inet6");
  if (!table) return std::nullopt;
  for (const auto line : split(*table, '\n')) {
    std::vector<std::string> words;
    for (const auto word : split(line, ' '))
      if (!word.empty()) words.emplace_back(word);
    if (words.size() != 6 || words[5] != interface || words[0].size() != 32) continue;
    const auto number = [&](std::size_t at) { return std::strtoul(words[at].c_str(), nullptr, 16); };
    if (number(3) != global || (number(4) & (tentative | failed | temporary))) continue;
    std::string text;
    for (std::size_t at = 0; at < 32; at += 4) text += (at ? ":" : "") + words[0].substr(at, 4);
    in6_addr binary{};
    char shown[INET6_ADDRSTRLEN];
    if (::inet_pton(AF_INET6, text.c_str(), &binary) != 1 || !::inet_ntop(AF_INET6, &binary, shown, sizeof shown)) continue;
    Lease lease;
    lease.interface = interface;
    lease.address = shown;
    lease.prefix = static_cast<unsigned>(number(2));
    lease.ipv6 = true;
    lease.origin = "router advertisement";
    return lease;
  }
  return std::nullopt;
}

}  // namespace signet
