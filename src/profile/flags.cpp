// Rules of a profile as flags of a verb, and back.
#include <algorithm>
#include <format>

#include "base/text.h"
#include "profile/reader.h"
#include "profile/values.h"
#include "profile/words.h"

namespace signet {
namespace {

constexpr std::string_view special = ",+\\";  // what a backslash stands before if it belongs to a value

Error flag_error(const Diagnostics& diagnostics) {
  std::string text;
  for (const auto& diagnostic : diagnostics) text += (text.empty() ? "" : "; ") + diagnostic.message;
  return {ErrorKind::usage, std::move(text)};
}

// The parts between separators that no backslash stands before; the backslashes stay.
std::vector<std::string_view> split_unescaped(std::string_view text, char separator) {
  std::vector<std::string_view> parts;
  std::size_t start = 0;
  for (std::size_t i = 0; i < text.size(); ++i) {
    if (text[i] == '\\') {
      ++i;
    } else if (text[i] == separator) {
      parts.push_back(text.substr(start, i - start));
      start = i + 1;
    }
  }
  parts.push_back(text.substr(start));
  return parts;
}

std::string unescaped(std::string_view text) {
  std::string out;
  for (std::size_t i = 0; i < text.size(); ++i) {
    if (text[i] == '\\' && i + 1 < text.size() && special.contains(text[i + 1])) ++i;
    out += text[i];
  }
  return out;
}

std::string escaped(std::string_view text) {
  std::string out;
  for (const char c : text) {
    if (special.contains(c)) out += '\\';
    out += c;
  }
  return out;
}

// "a=1,b=>=2GiB" as the table { a = "1", b = ">=2GiB" }; words that TOML has as other types are turned into those.
Result<toml::table> table_from_flag(std::string_view text) {
  toml::table table;
  std::string last;
  for (const auto part : split_unescaped(text, ',')) {
    const auto equals = part.find('=');
    // A bound may have two parts: size=>=1GiB,<2GiB
    if (!last.empty() && (equals == std::string_view::npos || equals == 0 || part.starts_with('<') || part.starts_with('>'))) {
      table.insert_or_assign(last, std::string(*table.get_as<std::string>(last)) + "," + unescaped(part));
      continue;
    }
    if (equals == std::string_view::npos || equals == 0) return fail(ErrorKind::usage, "`{}` is not KEY=VALUE", printable(part));
    last = part.substr(0, equals);
    const auto value = part.substr(equals + 1);
    if (last == "options") {
      toml::array list;
      for (const auto option : split_unescaped(value, '+')) list.push_back(unescaped(option));
      table.insert_or_assign(last, std::move(list));
      last.clear();
    } else if (last == "rotational" && (value == "true" || value == "false")) {
      table.insert_or_assign(last, value == "true");
      last.clear();
    } else if (const auto number = parse_unsigned(value); last == "index" && number) {
      table.insert_or_assign(last, static_cast<std::int64_t>(*number));
      last.clear();
    } else {
      table.insert_or_assign(last, unescaped(value));
    }
  }
  return table;
}

// KEY=VALUE,… of what is not empty.
class Flag {
 public:
  void add(std::string_view key, std::string_view value) {
    if (!value.empty()) text_ += std::format("{}{}={}", text_.empty() ? "" : ",", key, value);
  }
  void text(std::string_view key, const std::optional<std::string>& value) {
    if (value) add(key, escaped(*value));
  }
  std::string take() { return std::move(text_); }

 private:
  std::string text_;
};

}  // namespace

Result<PartitionRule> parse_partition_flag(std::string_view text) {
  Diagnostics diagnostics;
  const auto table = TRY(table_from_flag(text));
  auto rule = Reader(diagnostics, Completeness::whole, {}).read_partition(table, TableType::gpt);
  if (!diagnostics.empty()) return std::unexpected(flag_error(diagnostics));
  return rule;
}

Result<DiskMatch> parse_match_flag(std::string_view text) {
  Diagnostics diagnostics;
  const auto table = TRY(table_from_flag(text));
  auto match = Reader(diagnostics, Completeness::whole, {}).read_match(table);
  if (!diagnostics.empty()) return std::unexpected(flag_error(diagnostics));
  return match;
}

std::string to_flag(const PartitionRule& rule) {
  Flag flag;
  flag.text("name", rule.name);
  flag.add("size", to_string(rule.size));
  if (rule.type != PartitionType::linux) flag.add("type", to_string(rule.type));
  if (rule.format != FormatType::none) flag.add("format", to_string(rule.format));
  if (rule.compat != Compat::automatic) flag.add("compat", to_string(rule.compat));
  flag.text("label", rule.label);
  flag.text("mount", rule.mount);
  std::string options;
  for (const auto& option : rule.options) options += (options.empty() ? "" : "+") + escaped(option);
  flag.add("options", options);
  return flag.take();
}

std::string to_flag(const DiskMatch& match) {
  Flag flag;
  flag.text("path", match.path);
  flag.text("wwn", match.wwn);
  flag.text("serial", match.serial);
  flag.text("model", match.model);
  flag.text("transport", match.transport);
  if (match.size) flag.add("size", match.size->text);
  if (match.rotational) flag.add("rotational", *match.rotational ? "true" : "false");
  if (match.index) flag.add("index", std::to_string(*match.index));
  return flag.take();
}

}  // namespace signet
