#include "profile/profile.h"

#include <algorithm>
#include <format>
#include <set>

#include "base/text.h"
#include "profile/loader.h"
#include "profile/reader.h"

namespace signet {
namespace {

// Of diagnostics in one message, lines and bytes of each; a console has an end.
constexpr std::size_t most_lines = 50, longest_line = 500, most_files = 5;

std::string display_name(const std::string& file) {
  const auto uri = parse_uri(file);
  return uri ? uri->display() : file;
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

Error to_error(const Diagnostics& diagnostics) {
  std::set<std::string> files;
  std::string lines;
  const auto count = diagnostics.size();
  for (std::size_t i = 0; i < count; ++i) {
    if (files.size() < most_files) files.insert(shorten(display_name(diagnostics[i].place.file), longest_line));
    if (i < most_lines) lines += "\n" + shorten(diagnostics[i].text(), longest_line);
  }
  if (count > most_lines) lines += std::format("\n… and {} more", count - most_lines);
  return Error(ErrorKind::invalid, std::format("{} mistake{} in the profile{}", count, count == 1 ? "" : "s", lines))
      .advise(std::format("correct {}; docs/profile.md lists every key", join(std::vector<std::string>(files.begin(), files.end()), ", ")));
}

}  // namespace signet
