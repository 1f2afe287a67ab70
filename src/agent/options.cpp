#include "agent/options.h"

#include <getopt.h>

#include <format>

#include "base/text.h"

namespace signet {

Result<Parsed> parse_options(std::string_view verb, std::span<const Option* const> options, int count, char** arguments, Settings& settings) {
  constexpr int first = 256;  // above every short option's character
  constexpr int help_code = 'h';
  std::vector<option> table;
  for (std::size_t i = 0; i < options.size(); ++i)
    table.push_back({options[i]->name, options[i]->argument ? required_argument : no_argument, nullptr, first + static_cast<int>(i)});
  table.push_back({"help", no_argument, nullptr, help_code});
  table.push_back({nullptr, 0, nullptr, 0});

  const auto advice = std::format("see `signet-agent {} --help`", verb);
  opterr = 0;
  optind = 1;
  for (;;) {
    const int at = optind;
    const int code = getopt_long(count, arguments, "+:h", table.data(), nullptr);
    if (code == -1) break;
    if (code == help_code) return Parsed{.help = true};
    const std::string word = arguments[at];
    if (code == ':') return std::unexpected(Error(ErrorKind::usage, std::format("{}: {} wants a value", verb, printable(word))).advise(advice));
    if (code == '?') {
      std::vector<std::string_view> names;
      for (const auto* known : options) names.emplace_back(known->name);
      const auto bare = word.starts_with("--") ? word.substr(2, word.find('=') - 2) : word;
      const auto near = nearest(bare, names);
      return std::unexpected(
          Error(ErrorKind::usage, std::format("{}: unknown option {}{}", verb, printable(word), near ? "; did you mean --" + *near + "?" : ""))
              .advise(advice));
    }
    options[static_cast<std::size_t>(code - first)]->set(settings, optarg);
  }
  if (optind < count)
    return std::unexpected(Error(ErrorKind::usage, std::format("{}: unexpected word {}", verb, printable(arguments[optind]))).advise(advice));
  return Parsed{};
}

std::string options_text(std::span<const Option* const> options) {
  std::string text;
  for (const auto* known : options) {
    const auto left = std::format("--{}{}{}", known->name, known->argument ? " " : "", known->argument ? known->argument : "");
    text += std::format("  {:<26} {}\n", left, known->help);
  }
  return text + std::format("  {:<26} {}\n", "--help", "this text");
}

}  // namespace signet
