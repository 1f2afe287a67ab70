// Static tools that only some installs need: not in the initrd, but on its boot medium and below boot/tools/ on the server.
#pragma once

#include <string>

#include "agent/context.h"

namespace signet {

/// The path of a tool, ready to run. The first time it is read from the boot medium (boot/tools/NAME), else fetched from <server>/boot/tools/NAME,
/// and used only if its SHA-256 is the one that /etc/signet/tools.sha256 has (sha256sum(1)'s format; initrd/pack writes it). not_found if this initrd
/// knows no such tool, verification if what came is another one.
Result<std::string> provide_tool(Context& context, std::string_view name);

}  // namespace signet
