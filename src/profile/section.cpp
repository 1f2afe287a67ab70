#include "profile/section.h"

#include <algorithm>
#include <format>

#include "base/text.h"

namespace signet {
namespace {

std::string_view type_word(toml::node_type type) {
  switch (type) {
    case toml::node_type::table: return "a table";
    case toml::node_type::array: return "an array";
    case toml::node_type::string: return "a string";
    case toml::node_type::integer: return "an integer";
    case toml::node_type::floating_point: return "a number with a fraction";
    case toml::node_type::boolean: return "a boolean";
    case toml::node_type::none: return "nothing";
    default: return "a date or time";
  }
}

Place to_place(const toml::source_region& region) {
  Place place;
  if (region.path) place.file = *region.path;
  place.line = static_cast<unsigned>(region.begin.line);
  place.column = static_cast<unsigned>(region.begin.column);
  return place;
}

}  // namespace

Place place_of(const toml::node& node) { return to_place(node.source()); }
Place place_of(const toml::key& key) { return to_place(key.source()); }

Section::Section(const toml::table& table, std::string name, std::initializer_list<std::string_view> known, Diagnostics& diagnostics)
    : table_(table), name_(std::move(name)), diagnostics_(diagnostics) {
  for (const auto& [key, value] : table) {
    if (std::ranges::find(known, key.str()) != known.end()) continue;
    const auto near = nearest(key.str(), std::span(known.begin(), known.size()));
    note(place_of(key), std::format("unknown key `{}` in {}{}", shorten(printable(key.str()), 64), name_.empty() ? "the profile" : name_,
                                    near ? "; did you mean `" + *near + "`?" : ""));
  }
}

void Section::missing(std::string_view key, std::string_view hint) { note(place(), std::format("{} is missing: {}", path(key), hint)); }

void Section::wrong_type(std::string_view key, std::string_view wanted) {
  note(place(key), std::format("{} must be {}, but here is {}", path(key), wanted, type_word(find(key)->type())));
}

std::optional<std::string> Section::string(std::string_view key) {
  const auto* node = find(key);
  if (!node) return std::nullopt;
  if (const auto* text = node->as_string()) return text->get();
  wrong_type(key, "a string");
  return std::nullopt;
}

std::optional<bool> Section::boolean(std::string_view key) {
  const auto* node = find(key);
  if (!node) return std::nullopt;
  if (const auto* value = node->as_boolean()) return value->get();
  wrong_type(key, "true or false");
  return std::nullopt;
}

std::optional<std::uint64_t> Section::number(std::string_view key) {
  const auto* node = find(key);
  if (!node) return std::nullopt;
  if (const auto* value = node->as_integer(); value && value->get() >= 0) return static_cast<std::uint64_t>(value->get());
  wrong_type(key, "a whole number, not negative");
  return std::nullopt;
}

std::vector<Element> Section::strings(std::string_view key) {
  std::vector<Element> found;
  const auto* node = find(key);
  if (!node) return found;
  const auto* array = node->as_array();
  if (!array) {
    wrong_type(key, "an array of strings");
    return found;
  }
  for (const auto& element : *array) {
    if (const auto* text = element.as_string())
      found.push_back({text->get(), place_of(element)});
    else
      note(place_of(element), std::format("{} must hold strings only, but here is {}", path(key), type_word(element.type())));
  }
  return found;
}

std::vector<const toml::table*> Section::tables(std::string_view key) {
  std::vector<const toml::table*> found;
  const auto* node = find(key);
  if (!node) return found;
  if (const auto* single = node->as_table()) return {single};
  const auto* array = node->as_array();
  if (!array) {
    wrong_type(key, "an array of tables");
    return found;
  }
  for (const auto& element : *array) {
    if (const auto* each = element.as_table())
      found.push_back(each);
    else
      note(place_of(element), std::format("{} must hold tables only, but here is {}", path(key), type_word(element.type())));
  }
  return found;
}

const toml::table* Section::table(std::string_view key) {
  const auto* node = find(key);
  if (!node) return nullptr;
  if (const auto* found = node->as_table()) return found;
  wrong_type(key, "a table");
  return nullptr;
}

std::optional<std::string> Section::checked(std::string_view key, Result<> (*check)(std::string_view)) {
  auto text = string(key);
  if (!text) return std::nullopt;
  if (const auto fine = check(*text); !fine) {
    note(place(key), std::format("{}: {}", path(key), fine.error().message()));
    return std::nullopt;
  }
  return text;
}

std::vector<std::string> Section::checked_list(std::string_view key, Result<> (*check)(std::string_view)) {
  std::vector<std::string> texts;
  for (auto& [text, place] : strings(key)) {
    if (const auto fine = check(text); !fine) note(place, std::format("{}: {}", path(key), fine.error().message()));
    texts.push_back(std::move(text));
  }
  return texts;
}

}  // namespace signet
