// Flags of a verb that say what a profile would say; this is how a host script of ten lines needs no profile.
#pragma once

#include "agent/context.h"

namespace signet {

/// Puts what the flags say over what the profile says. Flags of disks replace all disks of the profile; --settings replaces its [network] and
/// [configure]; hooks and keys are added.
Result<> apply_overrides(const Settings& settings, Profile& profile);

/// Puts --host over the name that was found; a usage error if it is not a host name.
Result<> apply_host(const Settings& settings, Identity& identity);

}  // namespace signet
