// toml++ as Signet uses it: header only, no exceptions, no formatters.
#pragma once

#define TOML_EXCEPTIONS 0
#define TOML_ENABLE_FORMATTERS 0
#define TOML_ENABLE_WINDOWS_COMPAT 0
#define TOML_HEADER_ONLY 1
#define TOML_MAX_NESTED_VALUES 64  // no profile nests deeper; what is nested is taken apart recursively

// toml++ assumes things of its input that `[=]` breaks, and in a release build an assumption that does not hold is undefined behaviour. As assertions
// that do nothing they leave the word to the check that stands behind them.
#define TOML_ASSERT(expression) static_cast<void>(0)
#pragma push_macro("NDEBUG")
#undef NDEBUG
#pragma clang diagnostic push
#pragma clang diagnostic ignored "-Weverything"
#include <toml++/toml.hpp>
#pragma clang diagnostic pop
#pragma pop_macro("NDEBUG")
