#include <arpa/inet.h>
#include <netdb.h>
#include <netinet/in.h>

#include <algorithm>
#include <format>
#include <memory>

#include "base/text.h"
#include "network/network.h"

namespace signet {
namespace {

// The name that DNS has for an address (a PTR record), or nothing.
std::string reverse_dns(const std::string& address) {
  addrinfo hints{};
  hints.ai_flags = AI_NUMERICHOST;
  addrinfo* found = nullptr;
  if (::getaddrinfo(address.c_str(), nullptr, &hints, &found) != 0) return {};
  const std::unique_ptr<addrinfo, decltype(&::freeaddrinfo)> list(found, ::freeaddrinfo);
  char name[NI_MAXHOST];
  if (::getnameinfo(list->ai_addr, list->ai_addrlen, name, sizeof name, nullptr, 0, NI_NAMEREQD) != 0) return {};
  return name;
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

// ROCKS' way: what DHCP calls the boot file is the profile, as a URL or on next-server.
bool is_profile_path(std::string_view path) {
  const auto bare = path.substr(0, path.find('?'));
  return bare.ends_with(".toml") || bare.ends_with(".sh") || bare.ends_with(".cgi");
}

std::string on_server(const std::string& server, const std::string& path) {
  if (path.contains("://") || path.empty()) return path;
  if (server.empty()) return {};
  return "http://" + server + (path.starts_with('/') ? "" : "/") + path;
}

}  // namespace

std::string Identity::full_name() const {
  if (host_name.empty() || host_name.contains('.') || domain.empty()) return host_name;
  const auto whole = HostName::parse(host_name + "." + domain);  // both are names, but together they may be too long
  return whole ? whole->text() : host_name;
}

Result<> check_names(const Machine& machine) {
  if (const auto said = machine.setting("host")) TRY_WITHIN(HostName::parse(said->value), said->source);
  return {};
}

Result<std::optional<HostName>> name_in_hosts(std::string_view text, std::string_view mac, std::string_view address) {
  std::size_t number = 0;
  for (const auto line : split(text, '\n')) {
    ++number;
    std::string plain = to_lower(line.substr(0, line.find('#')));
    std::ranges::replace(plain, '\t', ' ');
    std::vector<std::string_view> fields;
    for (const auto word : split(plain, ' '))
      if (const auto bare = trim(word); !bare.empty()) fields.push_back(bare);
    // An interface without an address must not match an empty text, which no field is.
    if (fields.size() < 2 || (fields[0] != mac && fields[0] != address)) continue;
    return TRY_WITHIN(HostName::parse(fields[1]), std::format("line {}", number));
  }
  return std::optional<HostName>();
}

Identity identify(const Machine& machine, const std::optional<Lease>& lease) {
  Identity identity;
  identity.uuid = machine.smbios.uuid;
  const Lease none;
  const auto& known = lease ? *lease : none;
  identity.address = known.address;
  identity.domain = known.domain;
  for (const auto& link : machine.links) {
    if (link.name == known.interface) identity.mac = link.mac;
    identity.macs.push_back(link.name + " " + link.mac);
  }
  const auto note = [&](const char* wanted, std::string source, std::string value, bool won) {
    identity.clues.push_back({wanted, std::move(source), std::move(value), won});
  };

  const auto take_server = [&](const std::string& text, std::string source) {
    const auto uri = server_uri(text);
    const bool won = uri && !identity.server;
    note("server", source, uri ? uri->display() : printable(hide_secrets(text)), won);
    if (!won) return;
    identity.server = uri;
    identity.server_source = std::move(source);
  };
  const auto setting = [&](const char* name) { return machine.setting(name).value_or(Setting{"", std::string("signet.") + name}); };
  const auto signet_tree = [](const std::string& server) { return server.empty() ? std::string() : "http://" + server + "/signet/"; };
  take_server(setting("server").value, setting("server").source);
  take_server(known.signet_url, "DHCP option 224");
  take_server(known.image_server.contains("://") ? known.image_server : signet_tree(known.image_server), "DHCP option 140");
  take_server(known.path_prefix.contains("://") ? known.path_prefix : "", "DHCP option 210");
  // Some servers put themselves into the header's next-server unasked; option 66 is always somebody's will.
  take_server(signet_tree(known.tftp_server), "DHCP option 66");
  take_server(signet_tree(known.next_server), known.origin == "ip=" ? "ip=" : "DHCP next-server");

  const auto take_profile = [&](const std::string& text, std::string source) {
    auto uri = text.empty() ? std::optional<Uri>()
                            : parse_uri(text).transform([](Uri each) { return std::optional(std::move(each)); }).value_or(std::nullopt);
    const bool won = uri && !identity.profile;
    note("profile", source, uri ? uri->display() : printable(hide_secrets(text)), won);
    if (!won) return;
    identity.profile = std::move(uri);
    identity.profile_source = std::move(source);
  };
  take_profile(setting("profile").value, setting("profile").source);
  const auto& boot_server = known.tftp_server.empty() ? known.next_server : known.tftp_server;
  take_profile(is_profile_path(known.configuration_file) ? on_server(boot_server, known.configuration_file) : "", "DHCP option 209");
  take_profile(is_profile_path(known.boot_file) ? on_server(boot_server, known.boot_file) : "", known.ipv6 ? "DHCPv6 option 59" : "DHCP boot file");

  const auto take_name = [&](const std::string& text, std::string source) {
    if (text.empty()) return note("host", source, "", false);
    const auto name = HostName::parse(text);
    const bool won = identity.host_name.empty() && name;
    note("host", source, name ? name->text() : name.error().message(), won);
    identity.clues.back().skipped = !name;
    if (!won) return;
    identity.host_name = name->text();
    identity.host_name_source = std::move(source);
  };
  take_name(setting("host").value, setting("host").source);
  if (const auto refused = HostName::parse(known.refused_domain); !known.refused_domain.empty() && !refused) {
    note("domain", "DHCP option 15", refused.error().message(), false);
    identity.clues.back().skipped = true;
  }
  take_name(known.host_name.empty() ? known.refused_name : known.host_name, known.origin == "ip=" ? "ip=" : "DHCP option 12");
  if (identity.host_name.empty()) take_name(known.dns.empty() ? std::string() : reverse_dns(known.address), "reverse DNS");
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
  add(identity.full_name());
  add(identity.host_name);
  add(short_name);
  add(base_name(short_name));
  for (std::string hex = hex_address(identity.address); !hex.empty(); hex.pop_back()) add(hex);
  add("default");
  return candidates;
}

}  // namespace signet
