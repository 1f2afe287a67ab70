// toml++ as this room uses it: header only, no exceptions, no formatters.
#pragma once

#define TOML_EXCEPTIONS 0
#define TOML_ENABLE_FORMATTERS 0
#define TOML_ENABLE_WINDOWS_COMPAT 0
#define TOML_HEADER_ONLY 1
#define TOML_MAX_NESTED_VALUES 64  // no profile nests deeper; what is nested is taken apart recursively

#pragma clang diagnostic push
#pragma clang diagnostic ignored "-Weverything"
#include <toml++/toml.hpp>
#pragma clang diagnostic pop
