// The command line of a verb by getopt_long(3), and the help text that is made from the same table.
#pragma once

#include <functional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "base/result.h"

namespace signet {

struct OptionText {
  const char* name;      // "profile"
  const char* argument;  // "URI", or nullptr for a flag
  const char* help;
};

/// What was found: --help is answered by the caller, and so are words that are no options.
struct Parsed {
  bool help = false;
  std::vector<std::string> words;
};

/// Reads arguments[1…]; `set` gets an option's place in `options` and its value (nullptr for a flag). `verb` is named in errors, `advice` is where to
/// look for help. Errors are of kind usage; an unknown option is told with the nearest known one.
Result<Parsed> parse_arguments(std::string_view verb, std::string advice, std::span<const OptionText> options, int count, char** arguments,
                               const std::function<void(std::size_t, const char*)>& set);

/// "  --profile URI     what it does", a line for each, and --help.
std::string options_text(std::span<const OptionText> options);

}  // namespace signet
