// What happens when an install ends, well or not.
#pragma once

#include "agent/context.h"

namespace signet {

/// Does it: reboot, poweroff and halt through init, kexec by kexec_file_load(2), beep until someone presses a key, shell by doing nothing (the
/// start script of the initrd opens one; where none is allowed it reboots after 60 s). On a machine that is no node it only says what it would do.
/// Returns if the machine lives on.
Result<> act(FinishAction action, Context& context);

/// What on_success asks for: signet.on-success, else what a host script's `finish` left, else the profile.
FinishAction success_action(const Context& context);
/// The same for on_failure.
FinishAction failure_action(const Context& context);

/// Loads the installed system's kernel and initrd for act(kexec); called while the target is still mounted.
Result<> load_kexec(const Context& context);

}  // namespace signet
