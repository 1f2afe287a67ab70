// signet.sshd: a way into the node while it installs, for those who hold the key.
#pragma once

#include <string>

#include "agent/context.h"

namespace signet {

/// Starts the SSH server (the tool `dropbear`) on port 22 for root and these keys, with a fresh host key whose fingerprint is reported; does nothing
/// if it runs already. `keys` is a public key as a .pub file has it, its middle part alone (AAAA…, which needs no quotes on a kernel command line),
/// or a URI or a path on the server of a file of such lines.
Result<> start_ssh_server(Context& context, const std::string& keys);

}  // namespace signet
