// Sets of nodes as ClusterShell writes them: "node[01-16,20]", with the wildcards * and ? besides.
#pragma once

#include <string_view>

#include "base/result.h"

namespace signet {

/// Checks one pattern: letters, digits, `.`, `-`, `_`, `:`, the wildcards, and numbers or ranges in brackets. Errors are of kind invalid.
Result<> check_node_pattern(std::string_view pattern);

/// True if `pattern` means `name`. "node[01-16]" means node01 but not node1: a range has the digits of its first number, at least. Letters are
/// compared as they are. False for a pattern that check_node_pattern() refuses.
bool node_matches(std::string_view pattern, std::string_view name);

}  // namespace signet
