// A profile as the host script that does the same: SystemImager's autoinstall script, written by a program and kept by a person.
#pragma once

#include <string>

#include "profile/profile.h"

namespace signet {

/// A POSIX shell script of the agent's verbs. Run as hosts/NAME.sh (or by hand; its arguments go to `plan`, such as --target), it installs what the
/// profile installs, with the same checks before the first write. `name` is told in its head comment.
std::string to_script(const Profile& profile, std::string_view name);

}  // namespace signet
