#include "base/options.h"

#include <getopt.h>

#include <format>

#include "base/text.h"

namespace signet {

Result<Parsed> parse_arguments(std::string_view verb, std::string advice, std::span<const OptionText> options, int count, char** arguments,
                               const std::function<void(std::size_t, const char*)>& set) {
  constexpr int first = 256;  // above every short option's character
  constexpr int help_code = 'h';
  std::vector<option> table;
  for (std::size_t i = 0; i < options.size(); ++i)
    table.push_back({options[i].name, options[i].argument ? required_argument : no_argument, nullptr, first + static_cast<int>(i)});
  table.push_back({"help", no_argument, nullptr, help_code});
  table.push_back({nullptr, 0, nullptr, 0});
  const auto complain = [&](std::string message) {
    return std::unexpected(Error(ErrorKind::usage, std::format("{}: {}", verb, message)).advise(std::move(advice)));
  };

  Parsed parsed;
  opterr = 0;
  optind = 1;
  while (optind < count) {
    const int at = optind;
    const int code = getopt_long(count, arguments, "+:h", table.data(), nullptr);
    if (code == -1) {
      if (optind < count) parsed.words.emplace_back(arguments[optind++]);
      continue;
    }
    if (code == help_code) return Parsed{.help = true, .words = {}};
    const std::string word = arguments[at];
    if (code == ':') return complain(printable(word) + " wants a value");
    if (code == '?') {
      std::vector<std::string_view> names;
      for (const auto& known : options) names.emplace_back(known.name);
      const auto bare = word.starts_with("--") ? word.substr(2, word.find('=') - 2) : word;
      const auto near = nearest(bare, names);
      return complain(std::format("unknown option {}{}", printable(word), near ? "; did you mean --" + *near + "?" : ""));
    }
    set(static_cast<std::size_t>(code - first), optarg);
  }
  return parsed;
}

std::string options_text(std::span<const OptionText> options) {
  std::string text;
  for (const auto& known : options) {
    const auto left = std::format("--{}{}{}", known.name, known.argument ? " " : "", known.argument ? known.argument : "");
    text += std::format("  {:<26} {}\n", left, known.help);
  }
  return text + std::format("  {:<26} {}\n", "--help", "this text");
}

}  // namespace signet
