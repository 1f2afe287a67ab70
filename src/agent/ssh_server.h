// signet.sshd: a way into the node while it installs, for those who hold the key.
#pragma once

#include <string>

#include "agent/context.h"

namespace signet {

/// Refuses keys that came from elsewhere than the kernel command line and the initrd where no shell is allowed without a log-in: `source` is where
/// the setting was said. A list of keys on the server counts if it has to be signed.
Result<> may_log_in(const Context& context, const Setting& said);

/// Starts the SSH server (the tool `dropbear`) on port 22 for root and these keys, with a fresh host key whose fingerprint is reported; does nothing
/// if it runs already. `keys` is a public key as a .pub file has it, its middle part alone (AAAA…, which needs no quotes on a kernel command line),
/// or a URI or a path on the server of a file of such lines.
Result<> start_ssh_server(Context& context, const std::string& keys);

}  // namespace signet
