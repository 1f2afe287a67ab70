#include "profile/profile.h"

#include <algorithm>
#include <format>
#include <set>

#include "base/text.h"
#include "profile/loader.h"
#include "profile/reader.h"

namespace signet {
namespace {

constexpr std::size_t most_lines = 50;  // of diagnostics in one message; a console has an end

std::string display_name(const std::string& file) {
  const auto uri = parse_uri(file);
  return uri ? uri->display() : file;
}

Error flag_error(const Diagnostics& diagnostics) {
  std::string text;
  for (const auto& diagnostic : diagnostics) text += (text.empty() ? "" : "; ") + diagnostic.message;
  return {ErrorKind::usage, std::move(text)};
}

// "a=1,b=>=2GiB" as the table { a = "1", b = ">=2GiB" }; words that TOML has as other types are turned into those.
Result<toml::table> table_from_flag(std::string_view text) {
  toml::table table;
  std::string last;
  for (const auto part : split(text, ',')) {
    const auto equals = part.find('=');
    // A bound may have two parts: size=>=1GiB,<2GiB
    if (!last.empty() && (equals == std::string_view::npos || equals == 0 || part.starts_with('<') || part.starts_with('>'))) {
      table.insert_or_assign(last, std::string(*table.get_as<std::string>(last)) + "," + std::string(part));
      continue;
    }
    if (equals == std::string_view::npos || equals == 0) return fail(ErrorKind::usage, "`{}` is not KEY=VALUE", printable(part));
    last = part.substr(0, equals);
    const auto value = part.substr(equals + 1);
    if (last == "options") {
      toml::array list;
      for (const auto option : split(value, '+')) list.push_back(std::string(option));
      table.insert_or_assign(last, std::move(list));
      last.clear();
    } else if (last == "rotational" && (value == "true" || value == "false")) {
      table.insert_or_assign(last, value == "true");
    } else if (const auto number = parse_unsigned(value); last == "index" && number) {
      table.insert_or_assign(last, static_cast<std::int64_t>(*number));
    } else {
      table.insert_or_assign(last, std::string(value));
    }
  }
  return table;
}

}  // namespace

std::string Diagnostic::text() const {
  if (place.line == 0) return place.file.empty() ? message : std::format("{}: {}", display_name(place.file), message);
  return std::format("{}:{}:{}: {}", display_name(place.file), place.line, place.column, message);
}

std::string DiskMatch::text() const {
  std::string text;
  const auto add = [&](std::string_view name, const std::string& value) { text += std::format("{}{} = {}", text.empty() ? "" : ", ", name, value); };
  const auto add_string = [&](std::string_view name, const std::optional<std::string>& value) {
    if (value) add(name, "\"" + *value + "\"");
  };
  add_string("path", path);
  add_string("wwn", wwn);
  add_string("serial", serial);
  add_string("model", model);
  add_string("transport", transport);
  if (size) add("size", "\"" + size->text + "\"");
  if (rotational) add("rotational", *rotational ? "true" : "false");
  if (index) add("index", std::to_string(*index));
  return text.empty() ? "any disk" : text;
}

std::expected<Profile, Diagnostics> parse_profile(std::string_view text, const Uri& where, const LoadText& load, Completeness completeness) {
  Diagnostics diagnostics;
  const auto document = load_document(text, where, load, diagnostics);
  Profile profile;
  if (document) profile = Reader(diagnostics, completeness, document->root).read(document->table);
  if (diagnostics.empty()) return profile;
  std::ranges::stable_sort(diagnostics, {}, [](const Diagnostic& each) { return std::tuple(each.place.file, each.place.line, each.place.column); });
  return std::unexpected(std::move(diagnostics));
}

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

Error to_error(const Diagnostics& diagnostics) {
  std::set<std::string> files;
  std::string lines;
  const auto count = diagnostics.size();
  for (std::size_t i = 0; i < count; ++i) {
    files.insert(display_name(diagnostics[i].place.file));
    if (i < most_lines) lines += "\n" + diagnostics[i].text();
  }
  if (count > most_lines) lines += std::format("\n… and {} more", count - most_lines);
  return Error(ErrorKind::invalid, std::format("{} mistake{} in the profile{}", count, count == 1 ? "" : "s", lines))
      .advise(std::format("correct {}; docs/profile.md lists every key", join(std::vector<std::string>(files.begin(), files.end()), ", ")));
}

}  // namespace signet
