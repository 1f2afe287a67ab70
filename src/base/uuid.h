// Universally unique identifiers.
#pragma once

#include <string>

namespace signet {

/// A random UUID, "xxxxxxxx-xxxx-4xxx-yxxx-xxxxxxxxxxxx" in lower case (version 4, RFC 9562 §5.4), from getrandom(2).
std::string random_uuid();

}  // namespace signet
