// Links as the kernel has them: up, down, bonds, VLANs, addresses. By BusyBox's ip(8) and sysfs.
#pragma once

#include <string>
#include <vector>

#include "network/network.h"

namespace signet {

Result<> set_link_up(const std::string& interface);

/// Makes bonds and VLANs that do not exist yet, as soon as the links below them do. The names of those on top, which are to be asked for a lease.
/// Members of a bond are taken by it, whatever addresses they had.
Result<std::vector<std::string>> make_virtual_links(const NetworkOptions& options);

/// The link with this name, also one that has no device behind it.
Link describe_link(const std::string& name);

/// The MTU that the lease says, if it says one; a card may refuse it.
Result<> set_mtu(const Lease& lease);
/// Address, routes and resolv.conf as the lease says.
Result<> configure_link(const Lease& lease);

/// A global IPv6 address of the interface that is ready for use (not tentative), as router advertisements gave it.
std::optional<Lease> autoconfigured_address(const std::string& interface);

}  // namespace signet
