// Finding what this host shall become: the profile or host script on the server, and what they name.
#pragma once

#include "agent/context.h"

namespace signet {

/// Completes the identity from the server's hosts/hosts file (lines of "MAC-or-IP name"), if it has no name yet.
/// An error only where keys are trusted and the server holds back what its manifest lists.
Result<> name_from_hosts_file(Context& context);

/// Fetches and parses the profile named in settings, or the first that exists under <server>/hosts/ (DESIGN.md, "Host identity and lookup"), or loads
/// the host script. Every mistake of a profile is reported at once.
Result<> find_profile(Context& context);

/// Parses a profile from a file or URI, fetching what it extends.
Result<Profile> read_profile(Context& context, const Uri& uri);

/// Fetches every hook before anything is changed.
Result<> fetch_hooks(Context& context);

}  // namespace signet
