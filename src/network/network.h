// network/: links up, a lease, and who am I.
#pragma once

#include <chrono>
#include <functional>
#include <map>
#include <optional>
#include <string>
#include <vector>

#include "base/result.h"
#include "base/uri.h"
#include "machine/machine.h"
#include "report/report.h"

namespace signet {

/// A DHCP lease as udhcpc's script left it (RFC 2131; option names as udhcpc exports them).
struct Lease {
  std::string interface;
  std::string address;   // "10.0.2.15"
  unsigned prefix = 24;  // bits
  std::vector<std::string> routers;
  std::vector<std::string> dns;
  std::string domain;
  std::string host_name;    // option 12
  std::string next_server;  // siaddr
  std::string boot_file;
  std::string signet_url;                        // option 224
  unsigned seconds = 0;                          // lease time
  std::map<std::string, std::string> variables;  // all of them, by udhcpc's names
};

/// Parses the file that rootfs-overlay/usr/share/udhcpc/default.script writes: key='value' lines.
Result<Lease> parse_lease(std::string_view text, const std::string& interface);

struct NetworkOptions {
  std::string state = "/run/signet";  // where lease files appear
  std::string only_interface;         // signet.iface; empty: all
  std::chrono::seconds time_limit{90};
};

/// Sets every link up, runs udhcpc on each as it gets a carrier, also on those that come up late, and takes the first lease; the others are stopped.
/// Configures address, routes and resolv.conf for the winner and leaves its udhcpc running to renew. The report says once a second what it waits for.
Result<Lease> acquire_lease(const NetworkOptions& options, Report& report);

/// Who this node is, and where each answer came from.
struct Identity {
  std::string host_name;
  std::string host_name_source;
  std::string uuid;
  std::string mac;  // of the interface that holds the lease
  std::string address;
  std::optional<Uri> server;  // ends with '/'
  std::string server_source;
};

/// Name: signet.host, DHCP option 12, reverse DNS. Server: signet.server, option 224, next-server.
Identity identify(const Machine& machine, const std::optional<Lease>& lease);

/// The names under hosts/ in DESIGN.md's order, without suffix: UUID, 01-MAC, host, base, hex IP and its shortenings, default.
std::vector<std::string> lookup_candidates(const Identity& identity);

/// node01 → node, rack2-node17 → rack2-node; the name itself if nothing would be left.
std::string base_name(std::string_view host);

}  // namespace signet
