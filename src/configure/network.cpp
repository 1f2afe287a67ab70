// Which program brings up the network of the image, and how it is told.
#include <algorithm>
#include <format>

#include "base/text.h"
#include "configure/steps.h"

namespace signet {
namespace {

InterfaceRule every_ethernet() {
  InterfaceRule rule;
  rule.name = "en* eth*";
  return rule;
}

bool is_ipv4(std::string_view address) { return !address.contains(':'); }

// The one of addresses and gateways that belongs to a family.
std::vector<std::string> of_family(const std::vector<std::string>& addresses, bool ipv4) {
  std::vector<std::string> found;
  for (const auto& address : addresses)
    if (is_ipv4(address) == ipv4) found.push_back(address);
  return found;
}

bool has_unit(const TargetRoot& target, std::string_view unit) {
  return target.exists("/usr/lib/systemd/system/" + std::string(unit)) || target.exists("/lib/systemd/system/" + std::string(unit));
}

// Ours come first by name: systemd-networkd takes the first file that fits a link, whatever the image has besides.
Result<> write_networkd(const TargetRoot& target, const std::vector<InterfaceRule>& rules) {
  unsigned number = 1;
  for (const auto& rule : rules) TRY(target.write(std::format("/etc/systemd/network/05-signet-{}.network", number++), networkd_text(rule)));
  // A network that nobody starts is no network.
  if (unit_enabled(target, "systemd-networkd.service")) return {};
  return target.link("/etc/systemd/system/multi-user.target.wants/systemd-networkd.service", "/usr/lib/systemd/system/systemd-networkd.service");
}

Result<> write_ifupdown(const TargetRoot& target, const std::vector<InterfaceRule>& rules) {
  return target.write("/etc/network/interfaces", ifupdown_text(rules));
}

Result<> write_network_manager(const TargetRoot& target, const std::vector<InterfaceRule>& rules) {
  unsigned number = 1;
  for (const auto& rule : rules) {
    const auto id = std::format("signet-{}", number++);
    const auto path = "/etc/NetworkManager/system-connections/" + id + ".nmconnection";
    TRY(target.write(path, keyfile_text(rule, id), 0600));
    TRY(target.set_mode(path, 0600));  // NetworkManager ignores what others can read
  }
  return {};
}

Result<> write_netplan(const TargetRoot& target, const std::vector<InterfaceRule>& rules) {
  const char* path = "/etc/netplan/90-signet.yaml";
  TRY(target.write(path, netplan_text(rules), 0600));
  return target.set_mode(path, 0600);
}

bool has_resolved(const TargetRoot& target) {
  return unit_enabled(target, "systemd-resolved.service") || target.exists("/etc/systemd/system/dbus-org.freedesktop.resolve1.service");
}
bool has_resolvconf(const TargetRoot& target) { return target.find_tool("resolvconf").has_value() || has_resolved(target); }
bool always(const TargetRoot&) { return true; }

// What an image that brings up its network this way has; the first that fits is used.
struct Footprint {
  const char* name;
  bool (*fits)(const TargetRoot&);
  Result<> (*write)(const TargetRoot&, const std::vector<InterfaceRule>&);
  bool (*tells_resolver)(const TargetRoot&);  // name servers that it was given reach resolv.conf
};
constexpr Footprint footprints[] = {
    {"netplan", [](const TargetRoot& target) { return target.find_tool("netplan").has_value(); }, write_netplan, always},
    {"NetworkManager", [](const TargetRoot& target) { return unit_enabled(target, "NetworkManager.service"); }, write_network_manager, always},
    {"systemd-networkd", [](const TargetRoot& target) { return unit_enabled(target, "systemd-networkd.service"); }, write_networkd, has_resolved},
    {"ifupdown", [](const TargetRoot& target) { return target.find_tool("ifup").has_value(); }, write_ifupdown, has_resolvconf},
    {"systemd-networkd", [](const TargetRoot& target) { return has_unit(target, "systemd-networkd.service"); }, write_networkd, has_resolved},
};

// Where nobody hands the profile's name servers on, resolv.conf is a plain file and ours to write.
Result<> write_resolver(const TargetRoot& target, const std::vector<InterfaceRule>& rules, const std::string& host_name) {
  std::vector<std::string> servers;
  for (const auto& rule : rules)
    for (const auto& server : rule.dns)
      if (std::ranges::find(servers, server) == servers.end()) servers.push_back(server);
  // A link leads to a file that a program of the image keeps.
  if (servers.empty() || target.read_link("/etc/resolv.conf")) return {};
  return target.write("/etc/resolv.conf", resolv_text(servers, host_name));
}

}  // namespace

bool unit_enabled(const TargetRoot& target, std::string_view unit) {
  for (const char* wants : {"/etc/systemd/system/multi-user.target.wants/", "/etc/systemd/system/network-online.target.wants/",
                            "/etc/systemd/system/sysinit.target.wants/"})
    if (target.status(wants + std::string(unit))) return true;
  return false;
}

std::string resolv_text(const std::vector<std::string>& servers, std::string_view host_name) {
  std::string text = "# Written by Signet. See resolv.conf(5).\n";
  if (const auto dot = host_name.find('.'); dot != std::string_view::npos) text += std::format("search {}\n", host_name.substr(dot + 1));
  for (const auto& server : servers) text += "nameserver " + server + "\n";
  return text;
}

std::string networkd_text(const InterfaceRule& rule) {
  std::string text = "# Written by Signet. See systemd.network(5).\n[Match]\n";
  text += rule.match_mac.empty() ? std::format("Name={}\n", rule.name) : std::format("MACAddress={}\nType=ether\n", rule.match_mac);
  if (rule.mtu) text += std::format("\n[Link]\nMTUBytes={}\n", *rule.mtu);
  text += "\n[Network]\n";
  if (rule.dhcp) text += "DHCP=yes\n";
  for (const auto& address : rule.addresses) text += "Address=" + address + "\n";
  if (!rule.gateway.empty()) text += "Gateway=" + rule.gateway + "\n";
  for (const auto& server : rule.dns) text += "DNS=" + server + "\n";
  return text;
}

std::string ifupdown_text(const std::vector<InterfaceRule>& rules) {
  std::string text = "# Written by Signet. See interfaces(5).\nsource /etc/network/interfaces.d/*\n\nauto lo\niface lo inet loopback\n";
  for (const auto& rule : rules) {
    // A pattern or a MAC address stands for whatever link it fits when it appears; ifupdown spells that /pattern=stanza.
    const bool plain = rule.match_mac.empty() && rule.name.find_first_of("*?[ ") == std::string::npos;
    std::vector<std::string> names;
    if (!rule.match_mac.empty())
      names.push_back("mac/" + rule.match_mac);
    else
      for (const auto word : split(rule.name, ' ')) names.push_back(plain ? std::string(word) : "/" + std::string(word));
    const auto stanza = plain ? rule.name : "signet" + std::to_string(&rule - rules.data());
    std::string which;
    for (const auto& name : names) which += " " + name + (plain ? "" : "=" + stanza);
    text += std::format("\n{}{}\n", plain ? "auto" : "allow-hotplug", which);
    if (!plain) text += std::format("auto{}\n", which);
    const auto v4 = of_family(rule.addresses, true), v6 = of_family(rule.addresses, false);
    const auto common = [&] {
      if (rule.mtu) text += std::format("  mtu {}\n", *rule.mtu);
    };
    if (rule.dhcp) {
      text += std::format("iface {} inet dhcp\n", stanza);
      common();
    }
    for (const bool ipv4 : {true, false}) {
      bool first = true;
      for (const auto& address : ipv4 ? v4 : v6) {
        text += std::format("iface {} {} static\n  address {}\n", stanza, ipv4 ? "inet" : "inet6", address);
        if (first && !rule.gateway.empty() && is_ipv4(rule.gateway) == ipv4) text += "  gateway " + rule.gateway + "\n";
        if (first && !rule.dns.empty()) text += "  dns-nameservers " + join(rule.dns, " ") + "\n";
        if (first) common();
        first = false;
      }
    }
  }
  return text;
}

std::string netplan_text(const std::vector<InterfaceRule>& rules) {
  std::string text = "# Written by Signet. See netplan(5).\nnetwork:\n  version: 2\n  ethernets:\n";
  unsigned number = 0;
  for (const auto& rule : rules) {
    std::vector<std::string> names;
    for (const auto word : split(rule.name, ' ')) names.emplace_back(word);
    for (const auto& name : names) {
      text += std::format("    0signet{}:\n      match:\n", number++);
      text += rule.match_mac.empty() ? std::format("        name: \"{}\"\n", name) : std::format("        macaddress: \"{}\"\n", rule.match_mac);
      text += std::format("      dhcp4: {0}\n      dhcp6: {0}\n", rule.dhcp ? "true" : "false");
      if (!rule.addresses.empty()) {
        text += "      addresses:\n";
        for (const auto& address : rule.addresses) text += "        - \"" + address + "\"\n";
      }
      if (!rule.gateway.empty()) text += std::format("      routes:\n        - to: default\n          via: \"{}\"\n", rule.gateway);
      if (!rule.dns.empty()) {
        text += "      nameservers:\n        addresses:\n";
        for (const auto& server : rule.dns) text += "          - \"" + server + "\"\n";
      }
      if (rule.mtu) text += std::format("      mtu: {}\n", *rule.mtu);
      if (!rule.match_mac.empty()) break;
    }
  }
  return text;
}

std::string keyfile_text(const InterfaceRule& rule, const std::string& id) {
  std::string text =
      std::format("# Written by Signet. See nm-settings-keyfile(5).\n[connection]\nid={}\ntype=ethernet\nautoconnect-priority=100\n", id);
  const bool pattern = rule.name.find_first_of("*? ") != std::string::npos;
  if (rule.match_mac.empty() && !pattern) text += "interface-name=" + rule.name + "\n";
  if (rule.match_mac.empty() && pattern) text += "multi-connect=3\n";  // on every link that fits, at the same time
  text += "\n[ethernet]\n";
  if (!rule.match_mac.empty()) text += "mac-address=" + rule.match_mac + "\n";
  if (rule.mtu) text += std::format("mtu={}\n", *rule.mtu);
  if (rule.match_mac.empty() && pattern) {
    std::string names;
    for (const auto word : split(rule.name, ' ')) names += std::string(word) + ";";
    text += "\n[match]\ninterface-name=" + names + "\n";
  }
  for (const bool ipv4 : {true, false}) {
    const auto addresses = of_family(rule.addresses, ipv4);
    text += std::format("\n[{}]\nmethod={}\n", ipv4 ? "ipv4" : "ipv6", rule.dhcp ? "auto" : addresses.empty() ? "disabled" : "manual");
    for (std::size_t i = 0; i < addresses.size(); ++i) text += std::format("address{}={}\n", i + 1, addresses[i]);
    if (!rule.gateway.empty() && is_ipv4(rule.gateway) == ipv4) text += "gateway=" + rule.gateway + "\n";
    std::string servers;
    for (const auto& server : of_family(rule.dns, ipv4)) servers += server + ";";
    if (!servers.empty()) text += "dns=" + servers + "\n";
  }
  return text;
}

Result<> configure_network(const TargetRoot& target, const NetworkRule& network, const std::string& host_name, Report& report) {
  const auto rules = network.interfaces.empty() ? std::vector{every_ethernet()} : network.interfaces;
  for (const auto& footprint : footprints) {
    if (!footprint.fits(target)) continue;
    report.log("network: {}, as the image has it", footprint.name);
    TRY(footprint.write(target, rules));
    return footprint.tells_resolver(target) ? Result<>() : write_resolver(target, rules, host_name);
  }
  if (network.interfaces.empty()) {
    report.log("network: the image has nothing that brings one up, so nothing was configured");
    return {};
  }
  return std::unexpected(
      Error(ErrorKind::unsupported,
            "the profile configures network interfaces, but the image has none of netplan, NetworkManager, systemd-networkd, ifupdown")
          .advise("put one of them into the image, or take [[network.interface]] out of the profile"));
}

}  // namespace signet
