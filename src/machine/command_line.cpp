#include <algorithm>

#include "base/fd.h"
#include "base/text.h"
#include "machine/machine.h"

namespace signet {

KernelCommandLine KernelCommandLine::parse(std::string_view text) {
  KernelCommandLine line;
  line.text_ = trim(text);
  std::string word;
  bool quoted = false;
  const auto finish = [&] {
    if (word.empty()) return;
    const auto equals = word.find('=');
    line.words_.emplace_back(word.substr(0, equals), equals == std::string::npos ? "" : word.substr(equals + 1));
    word.clear();
  };
  for (const char c : line.text_) {
    if (c == '"') {
      quoted = !quoted;
    } else if ((c == ' ' || c == '\t' || c == '\n') && !quoted) {
      finish();
    } else {
      word += c;
    }
  }
  finish();
  return line;
}

std::optional<std::string> KernelCommandLine::value(std::string_view name) const {
  const auto all = values(name);
  if (all.empty()) return std::nullopt;
  return all.back();
}

std::vector<std::string> KernelCommandLine::values(std::string_view name) const {
  std::vector<std::string> found;
  for (const auto& [word, value] : words_)
    if (word == name) found.push_back(value);
  return found;
}

std::optional<std::string> KernelCommandLine::signet(std::string_view name) const {
  const auto same = [](char a, char b) { return (a == '_' ? '-' : a) == (b == '_' ? '-' : b); };
  const std::string wanted = "signet." + std::string(name);
  std::optional<std::string> found;
  for (const auto& [word, value] : words_)
    if (std::ranges::equal(word, wanted, same)) found = value;
  return found;
}

bool KernelCommandLine::signet_flag(std::string_view name) const {
  const auto value = signet(name);
  return value && (value->empty() || *value == "1" || *value == "yes" || *value == "on" || *value == "true");
}

KernelCommandLine read_kernel_command_line(const std::string& proc) {
  const auto text = read_file(proc + "/cmdline");
  return KernelCommandLine::parse(text ? *text : "");
}

}  // namespace signet
