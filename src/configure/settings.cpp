// Files of NAME=value lines.
#include <algorithm>
#include <optional>

#include "base/text.h"
#include "configure/steps.h"

namespace signet {
namespace {

std::optional<std::string> value_of(std::string_view text, std::string_view name) {
  const auto own = std::string(name) + "=";
  std::optional<std::string> value;
  for (const auto line : split(text, '\n'))
    if (trim(line).starts_with(own)) value = trim(trim(line).substr(own.size()));  // the shell's last assignment counts
  return value;
}

// One word inside double quotes, so that a shell that reads the file takes it as it is.
std::string quoted(std::string_view word) {
  std::string text;
  for (const char c : word) {
    if (c == '"' || c == '\\' || c == '$' || c == '`') text += '\\';
    text += c;
  }
  return text;
}

}  // namespace

std::string with_setting(std::string_view text, std::string_view name, std::string_view value) {
  std::string out;
  bool placed = false;
  const auto own = std::string(name) + "=";
  for (const auto line : split(text, '\n')) {
    if (trim(line).starts_with(own)) {
      if (!placed) out.append(own).append(value).append("\n");
      placed = true;
      continue;
    }
    out.append(line).append("\n");
  }
  while (out.ends_with("\n\n")) out.pop_back();
  if (out == "\n") out.clear();
  if (!placed) out.append(own).append(value).append("\n");
  return out;
}

std::string with_words(std::string_view text, std::string_view name, std::string_view words) {
  auto value = value_of(text, name).value_or("");
  if (value.size() >= 2 && value.front() == value.back() && (value.front() == '"' || value.front() == '\'')) {
    const bool plain = value.front() == '\'';  // between single quotes nothing is special
    value = value.substr(1, value.size() - 2);
    if (plain) value = quoted(value);
  }
  for (const auto word : split(words, ' ')) {
    const auto present = split(value, ' ');
    if (word.empty() || std::ranges::find(present, quoted(word)) != present.end()) continue;
    value.append(value.empty() ? "" : " ").append(quoted(word));
  }
  return with_setting(text, name, "\"" + value + "\"");
}

}  // namespace signet
