// One table of a profile while it is read: typed access to its values, and every mistake noted with its place.
#pragma once

#include <initializer_list>
#include <string>
#include <string_view>
#include <vector>

#include "base/text.h"
#include "base/toml.h"
#include "profile/profile.h"
#include "profile/words.h"

namespace signet {

/// Where a node of the (merged) document was written.
Place place_of(const toml::node& node);
Place place_of(const toml::key& key);

/// A string of an array, and where it stands.
struct Element {
  std::string text;
  Place place;
};

class Section {
 public:
  /// Notes every key of `table` that is not in `known`. `name` is for messages: "disk.partition".
  Section(const toml::table& table, std::string name, std::initializer_list<std::string_view> known, Diagnostics& diagnostics);

  const toml::node* find(std::string_view key) const { return table_.get(key); }
  bool has(std::string_view key) const { return find(key) != nullptr; }
  Place place() const { return place_of(table_); }
  Place place(std::string_view key) const { return has(key) ? place_of(*find(key)) : place(); }

  void note(const Place& place, std::string message) {
    if (diagnostics_.size() < most_diagnostics) diagnostics_.push_back({place, std::move(message)});
  }
  /// "disk.wipe is missing: …".
  void missing(std::string_view key, std::string_view hint);

  /// The value, if the key is there and has the right type; else nothing, and a note if the type is wrong.
  std::optional<std::string> string(std::string_view key);
  std::optional<bool> boolean(std::string_view key);
  std::optional<std::uint64_t> number(std::string_view key);
  std::vector<Element> strings(std::string_view key);
  /// The tables of an array of tables; a single table counts as an array of one.
  std::vector<const toml::table*> tables(std::string_view key);
  const toml::table* table(std::string_view key);

  /// A string that `check` accepts.
  std::optional<std::string> checked(std::string_view key, Result<> (*check)(std::string_view));
  std::vector<std::string> checked_list(std::string_view key, Result<> (*check)(std::string_view));

  /// One word of a table of words.
  template <class Enum, std::size_t size>
  std::optional<Enum> word(std::string_view key, const Words<Enum, size>& words) {
    const auto text = string(key);
    if (!text) return std::nullopt;
    const auto value = value_of(words, *text);
    if (!value) note(place(key), path(key) + " must be " + list_of(words) + ", not `" + printable(*text) + "`");
    return value;
  }

  /// The key as messages name it: "disk.wipe".
  std::string path(std::string_view key) const { return name_.empty() ? std::string(key) : name_ + "." + std::string(key); }

 private:
  void wrong_type(std::string_view key, std::string_view wanted);

  const toml::table& table_;
  std::string name_;
  Diagnostics& diagnostics_;
};

}  // namespace signet
