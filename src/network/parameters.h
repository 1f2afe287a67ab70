// The kernel command line's words for a network: ip= (Documentation/admin-guide/nfs/nfsroot.rst), BOOTIF= (pxelinux), vlan= and bond=
// (dracut.cmdline(7)). No I/O.
#pragma once

#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "base/result.h"
#include "network/network.h"

namespace signet {

/// ip=CLIENT:SERVER:GATEWAY:NETMASK:HOST:DEVICE:AUTOCONF:DNS0:DNS1:NTP0, or ip=AUTOCONF. An IPv6 address stands in [brackets], its NETMASK is a
/// number of bits. AUTOCONF is dhcp, on, any, off, none, auto6, dhcp6, either6. Errors say which field and what it may be.
Result<AddressRule> parse_ip_parameter(std::string_view text);

/// "01-52-54-00-12-34-56" gives "52:54:00:12:34:56"; nothing for what is not an Ethernet address.
std::optional<std::string> parse_bootif(std::string_view text);

/// vlan=NAME:PARENT, where NAME ends in the tag: "eth0.5", "vlan5", "vlan0005".
Result<VlanRule> parse_vlan_parameter(std::string_view text);

/// bond=NAME[:SLAVE,SLAVE[:OPTION=VALUE,…[:MTU]]]. Options are bonding's own (mode, miimon, lacp_rate, …); mode is a name or a number.
Result<BondRule> parse_bond_parameter(std::string_view text);

/// What the kernel command line and local.cfg say about the network.
Result<NetworkOptions> network_options(const Machine& machine);

}  // namespace signet
