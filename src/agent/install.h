// The whole install: every stage in order, or a host script, then the finish action or on_failure.
#pragma once

#include "agent/context.h"

namespace signet {

/// Exit status of signet-agent: 0 when the machine is installed, 1 when it is not.
int install(Context& context);

/// If signet.break names the stage: a shell on every console; returns when one of them is left.
void stop_at_breakpoint(Context& context, std::string_view stage);

}  // namespace signet
