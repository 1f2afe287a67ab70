// The command line of signet-agent, by getopt_long(3), and the help text that is made from the same table.
#pragma once

#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "agent/context.h"

namespace signet {

struct Option {
  const char* name;      // "profile"
  const char* argument;  // "URI", or nullptr for a flag
  const char* help;
  void (*set)(Settings&, const char* value);
};

/// Reads arguments[1…] by the given options into settings. --help is answered by the caller: it is reported as `help`.
struct Parsed {
  bool help = false;
};
Result<Parsed> parse_options(std::string_view verb, std::span<const Option* const> options, int count, char** arguments, Settings& settings);

/// "  --profile URI     what it does", a line (or more) for each.
std::string options_text(std::span<const Option* const> options);

}  // namespace signet
