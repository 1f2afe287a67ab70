#include <arpa/inet.h>
#include <netdb.h>
#include <netinet/in.h>

#include <algorithm>
#include <format>

#include "base/text.h"
#include "network/network.h"

namespace signet {
namespace {

// The name that DNS has for an IPv4 address (a PTR record), or nothing.
std::string reverse_dns(const std::string& address) {
  sockaddr_in socket_address{};
  socket_address.sin_family = AF_INET;
  if (::inet_pton(AF_INET, address.c_str(), &socket_address.sin_addr) != 1) return {};
  char name[NI_MAXHOST];
  if (::getnameinfo(reinterpret_cast<const sockaddr*>(&socket_address), sizeof socket_address, name, sizeof name, nullptr, 0, NI_NAMEREQD) != 0)
    return {};
  return to_lower(name);
}

std::optional<Uri> server_uri(std::string text) {
  if (text.empty()) return std::nullopt;
  if (!text.contains("://")) text = "http://" + text;
  if (!text.ends_with('/')) text += '/';
  auto uri = parse_uri(text);
  if (!uri) return std::nullopt;
  return std::move(*uri);
}

// 10.10.2.135 → 0A0A0287, as pxelinux spells it.
std::string hex_address(const std::string& address) {
  in_addr binary{};
  if (::inet_pton(AF_INET, address.c_str(), &binary) != 1) return {};
  return std::format("{:08X}", ntohl(binary.s_addr));
}

}  // namespace

Identity identify(const Machine& machine, const std::optional<Lease>& lease) {
  Identity identity;
  identity.uuid = machine.smbios.uuid;
  const auto& line = machine.command_line;
  if (lease) {
    identity.address = lease->address;
    for (const auto& link : machine.links)
      if (link.name == lease->interface) identity.mac = link.mac;
  }

  const auto take_server = [&](std::string text, const char* source) {
    if (identity.server) return;
    if (auto uri = server_uri(std::move(text))) {
      identity.server = std::move(uri);
      identity.server_source = source;
    }
  };
  take_server(line.signet("server").value_or(""), "signet.server");
  if (lease) {
    take_server(lease->signet_url, "DHCP option 224");
    if (!lease->next_server.empty()) take_server("http://" + lease->next_server + "/signet/", "DHCP next-server");
  }

  const auto take_name = [&](const std::string& name, const char* source) {
    if (!identity.host_name.empty() || name.empty()) return;
    identity.host_name = to_lower(name);
    identity.host_name_source = source;
  };
  take_name(line.signet("host").value_or(""), "signet.host");
  if (lease) {
    take_name(lease->host_name, "DHCP option 12");
    if (identity.host_name.empty() && !lease->dns.empty()) take_name(reverse_dns(lease->address), "reverse DNS");
  }
  return identity;
}

std::string base_name(std::string_view host) {
  const auto last = host.find_last_not_of("0123456789");
  if (last == std::string_view::npos) return std::string(host);
  auto base = host.substr(0, last + 1);
  if (base.size() != host.size())
    while (base.ends_with('-') || base.ends_with('_')) base.remove_suffix(1);
  return std::string(base.empty() ? host : base);
}

std::vector<std::string> lookup_candidates(const Identity& identity) {
  std::vector<std::string> candidates;
  const auto add = [&](std::string name) {
    if (!name.empty() && std::ranges::find(candidates, name) == candidates.end()) candidates.push_back(std::move(name));
  };
  add(identity.uuid);
  if (!identity.mac.empty()) {
    std::string dashed = "01-" + identity.mac;
    std::ranges::replace(dashed, ':', '-');
    add(std::move(dashed));
  }
  const std::string short_name = identity.host_name.substr(0, identity.host_name.find('.'));
  add(identity.host_name);
  add(short_name);
  add(base_name(short_name));
  for (std::string hex = hex_address(identity.address); !hex.empty(); hex.pop_back()) add(hex);
  add("default");
  return candidates;
}

}  // namespace signet
