// Whether a disk may be wiped.
//
//   rule        an empty disk   an install of this host      a finished system   the same of    anything
//                               that was begun, not finished   of this host      another host   else
//   blank             yes                  yes                      no                no            no
//   signet            yes                  yes                      yes               no            no
//   signet-any        yes                  yes                      yes               yes           no
//   any               yes                  yes                      yes               yes           yes
//
// An install that was cut leaves a disk that nobody needs, so the same profile installs it again. A disk that keeps data (Mark::keeps_data) goes by
// "any" only. An unfinished install without a host name was begun by a node without one: it counts as this host's, since nobody else can claim it.
#pragma once

#include <span>
#include <string>

#include "machine/machine.h"
#include "profile/profile.h"

namespace signet {

/// Why the rule does not allow the disk to be wiped, as the end of a sentence that begins with the disk, and which rule would; empty if it may be.
/// `hosts` are the names of this host, any of which a mark may have.
std::string why_not_wiped(WipeRule rule, const Disk& disk, std::span<const std::string> hosts);

/// The same host: names compared without regard to case and to a dot at the end. An empty name is not equal to anything.
bool same_host(std::string_view a, std::string_view b);

}  // namespace signet
