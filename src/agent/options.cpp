#include "agent/options.h"

#include <format>

#include "base/text.h"

namespace signet {
namespace {

std::vector<OptionText> texts_of(std::span<const Option* const> options) {
  std::vector<OptionText> texts;
  for (const auto* option : options) texts.push_back(*option);
  return texts;
}

}  // namespace

Result<Parsed> parse_options(std::string_view verb, std::span<const Option* const> options, int count, char** arguments, Settings& settings) {
  const auto advice = std::format("see `signet-agent {} --help`", verb);
  auto parsed = TRY(parse_arguments(verb, advice, texts_of(options), count, arguments,
                                    [&](std::size_t which, const char* value) { options[which]->set(settings, value); }));
  if (verb == "setting" || verb == "tool" || verb == "systems")
    settings.words = parsed.words;
  else if (!parsed.words.empty())
    return std::unexpected(Error(ErrorKind::usage, std::format("{}: unexpected word {}", verb, printable(parsed.words.front()))).advise(advice));
  return parsed;
}

std::string options_text(std::span<const Option* const> options) { return options_text(texts_of(options)); }

}  // namespace signet
