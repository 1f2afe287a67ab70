// Finding what this host shall become: the profile or host script on the server, and what they name.
#pragma once

#include "agent/context.h"

namespace signet {

/// Completes the identity from the server's hosts/hosts file (lines of "MAC-or-IP name"), if it has no name yet.
void name_from_hosts_file(Context& context);

/// Fetches and parses the profile named in settings, or the first that exists under <server>/hosts/ (DESIGN.md, "Host identity and lookup"), or loads
/// the host script. Every mistake of a profile is reported at once.
Result<> find_profile(Context& context);

/// Parses a profile from a file or URI, fetching what it extends.
Result<Profile> read_profile(Context& context, const Uri& uri);

/// The context's options for fetching, with a report of every new attempt.
FetchOptions with_retries(Context& context);

/// Gathers the keys that this node trusts: /etc/signet/trust.pem in the initrd, and --trust, signet.trust or local.cfg's `trust` (a file, or the PEM
/// text itself). An error if one of them cannot be read, so that a mistyped name does not mean that anything goes.
Result<> load_trust(Context& context);

/// fetch_text, and with trusted keys its signature from URI.sig: verification if there is none or a wrong one.
Result<std::string> fetch_trusted(Context& context, const Uri& uri, const FetchOptions& options);

/// Fetches every hook before anything is changed.
Result<> fetch_hooks(Context& context);

}  // namespace signet
