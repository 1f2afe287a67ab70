// A node that netboots though its system is complete: the system is started, nothing is installed (docs/booting.md).
#pragma once

#include <string>
#include <string_view>

#include "agent/context.h"

namespace signet {

/// Asked after each stage up to `plan` with how that stage ended. Starts this host's system, and then does not return, unless the install is armed
/// (install_rule()) or there is no such system; also where the network or the server is what failed. Success means that the caller goes on as if it
/// had not asked. It fails if there is such a system but this machine cannot start it from here.
///
/// The system's kernel is started by kexec, else UEFI firmware is asked to start the disk. Nothing is written to the disk.
Result<> start_installed_instead(Context& context, std::string_view stage, const Result<>& ran);

/// What that would do, a line for each system that is there: "node01, installed on 2026-11-21 (/dev/vda); would start the local disk".
std::string installed_text(Context& context);

}  // namespace signet
