// The agent's options: a text for each, and the setting that it sets.
#pragma once

#include "agent/context.h"
#include "base/options.h"

namespace signet {

struct Option : OptionText {
  void (*set)(Settings&, const char* value);
};

/// Reads arguments[1…] by the given options into settings. A word that is no option is an error.
Result<Parsed> parse_options(std::string_view verb, std::span<const Option* const> options, int count, char** arguments, Settings& settings);

std::string options_text(std::span<const Option* const> options);

}  // namespace signet
