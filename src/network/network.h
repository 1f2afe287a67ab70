// network/: links up, a lease, and who am I.
#pragma once

#include <chrono>
#include <functional>
#include <map>
#include <optional>
#include <string>
#include <vector>

#include "base/host_name.h"
#include "base/result.h"
#include "base/uri.h"
#include "machine/machine.h"
#include "report/report.h"

namespace signet {

/// How a link came by its address: a DHCP lease as udhcpc's script left it (RFC 2131, RFC 8415; option names as udhcpc exports them), an address that
/// a router made us make (RFC 4862), or what ip= says.
struct Lease {
  std::string interface;
  std::string origin = "DHCP";  // "DHCP", "DHCPv6", "router advertisement", "ip="
  std::string address;          // "10.0.2.15"
  unsigned prefix = 24;         // bits
  std::vector<std::string> routers;
  std::vector<std::string> dns;
  std::string domain;
  std::string host_name;           // option 12, if it is a name (base/host_name.h)
  std::string refused_name;        // option 12 as it came, if it is not a name
  std::string refused_domain;      // option 15 likewise
  std::string next_server;         // siaddr
  std::string tftp_server;         // option 66: a name or an address
  std::string boot_file;           // option 67, else the header's `file`; DHCPv6: option 59
  std::vector<std::string> ntp;    // option 42
  std::string configuration_file;  // option 209 (RFC 5071)
  std::string path_prefix;         // option 210 (RFC 5071)
  std::string signet_url;          // option 224
  std::string image_server;        // option 140, SystemImager's IMAGESERVER
  bool ipv6 = false;
  unsigned seconds = 0;                          // lease time
  std::map<std::string, std::string> variables;  // all of them, by udhcpc's names
};

/// Parses the file that rootfs-overlay/usr/share/udhcpc/default.script writes: key='value' lines.
Result<Lease> parse_lease(std::string_view text, const std::string& interface);

/// A lease as parse_lease() reads it: how verbs that run one by one hand it on.
std::string lease_text(const Lease& lease);

enum class Autoconf {
  any,    // DHCP, and what IPv6 gives if no DHCP server answers
  dhcp4,  // DHCP only
  ipv6,   // router advertisements and DHCPv6 only
  none,   // the fixed address
};

struct AddressRule {
  Autoconf autoconf = Autoconf::any;
  Lease fixed;  // with Autoconf::none; else its host name, name servers and NTP servers win over the lease's
};

struct VlanRule {
  std::string name, parent;
  unsigned tag = 0;
};

struct BondRule {
  std::string name;
  std::vector<std::string> members;
  std::map<std::string, std::string> options;  // Documentation/networking/bonding.rst
  unsigned mtu = 0;                            // 0: as it is
};

struct NetworkOptions {
  std::string state = "/run/signet";  // where lease files appear
  std::string only_interface;         // signet.iface, or ip='s device; empty: all
  std::string boot_mac;               // BOOTIF: the link that the machine booted from, which is asked before the others
  AddressRule address;
  std::vector<VlanRule> vlans;
  std::vector<BondRule> bonds;
  std::chrono::seconds time_limit{90};
};

/// Sets every link up, asks on each as it gets a carrier, also on those that come up late, and takes the first lease; the others are stopped. With
/// bonds or VLANs only those on top are asked. Where BOOTIF names a link, the others are asked only if it has brought nothing in 15 s. An IPv6
/// address counts if no DHCP server has answered 5 s after it came. Configures address, routes and resolv.conf for the winner and leaves its udhcpc
/// running to renew. The report says once a second what it waits for.
Result<Lease> acquire_lease(const NetworkOptions& options, Report& report);

/// Between which times a node's clock is believed, in seconds since 1970.
struct ClockLimits {
  std::int64_t floor = 0, ceiling = 0;
};
/// From the day of this program's sources (or the later time of the signature that the initrd was made with, 0 if there is none) to 15 years after
/// that day; `any` (signet.clock=any) lifts the ceiling.
ClockLimits clock_limits(std::uint64_t packed_serial, bool any);
/// What is wrong with a time, as the end of "the clock says …"; empty if nothing is.
std::string clock_fault(std::int64_t now, const ClockLimits& limits);

/// If the clock is outside of the limits: sets it from the first of `servers` that answers by NTP (RFC 5905), each within 15 s, and reports by how
/// much it moved. An answer outside of the limits is undone and reported. A clock before the floor that no server corrects is set to the floor. True
/// if a server's time was taken.
bool set_absurd_clock(const std::vector<std::string>& servers, const ClockLimits& limits, Report& report);

/// One source of a name or a server that was asked, in the order of asking.
struct Clue {
  std::string wanted;  // "host", "server", "profile"
  std::string source;  // "DHCP option 12"
  std::string value;   // empty: it said nothing
  bool won = false;
  bool skipped = false;  // it said something unfit; `value` says what is wrong with it
};

/// Who this node is, and where each answer came from.
struct Identity {
  std::string host_name;
  std::string host_name_source;
  std::string uuid;
  std::string mac;  // of the interface that holds the lease
  std::string address;
  std::string domain;         // option 15
  std::optional<Uri> server;  // ends with '/'
  std::string server_source;
  std::optional<Uri> profile;  // said outright; the lookup on the server is skipped
  std::string profile_source;
  std::vector<std::string> macs;  // "eth0 52:54:00:12:34:56" of every link
  std::vector<Clue> clues;

  /// The host's name with the domain of the lease, if the name has none of its own.
  std::string full_name() const;
};

/// Checks the names that an admin has set: signet.host and local.cfg's `host`. What DHCP, DNS and hosts/hosts say is skipped instead if it is not a
/// name.
Result<> check_names(const Machine& machine);

/// The name that hosts/hosts (lines of "MAC-or-address name", # begins a comment) has for an interface with `mac` or `address`; nothing if it has
/// none. An error, with the line's number, if that line's name is not one.
Result<std::optional<HostName>> name_in_hosts(std::string_view text, std::string_view mac, std::string_view address);

/// Name: signet.host, local.cfg, ip=, DHCP option 12, reverse DNS; what is not a name becomes a clue that says why, and is skipped. Server:
/// signet.server, local.cfg, DHCP options 224, 140 (SystemImager), 210, 66 and next-server (the last two as http://next-server/signet/). Profile:
/// signet.profile, local.cfg, DHCP option 209, and the boot file if it is a profile or script (".toml", ".sh", ".cgi"), as ROCKS has it: a URL, or a
/// path on next-server.
Identity identify(const Machine& machine, const std::optional<Lease>& lease);

/// The names under hosts/ in DESIGN.md's order, without suffix: UUID, 01-MAC, host (with its domain, then without), base, hex IP and its
/// shortenings, default.
std::vector<std::string> lookup_candidates(const Identity& identity);

/// node01 → node, rack2-node17 → rack2-node; the name itself if nothing would be left.
std::string base_name(std::string_view host);

}  // namespace signet
