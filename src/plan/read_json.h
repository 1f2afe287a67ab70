// Strict reading of a JSON object: every key once, of the right type, none unknown; what is wrong is noted with its place.
#pragma once

#include <cstdint>
#include <format>
#include <string>
#include <string_view>
#include <vector>

#include "base/result.h"
#include "base/text.h"
#include "profile/words.h"

struct json_t;

namespace signet {

class JsonObject {
 public:
  /// `place` is the object's own: "disks[0]", or nothing for the outermost.
  JsonObject(const json_t* object, std::string place, std::vector<std::string>& mistakes)
      : object_(object), place_(std::move(place)), mistakes_(mistakes) {}

  bool has(const char* key) const;
  /// The key's value, or an empty one and a mistake if it is missing or of another type.
  std::string text(const char* key);
  std::uint64_t number(const char* key, std::uint64_t least, std::uint64_t most);
  bool flag(const char* key);
  std::vector<std::string> texts(const char* key);
  std::vector<JsonObject> objects(const char* key);

  template <class Enum, std::size_t size>
  Enum word(const char* key, const Words<Enum, size>& words) {
    const auto value = text(key);
    const auto found = value_of(words, value);
    if (!found && has(key)) wrong(key, std::format("must be {}, not `{}`", list_of(words), printable(value)));
    return found.value_or(words.front().second);
  }

  /// A text that a check of profile/values.h accepts.
  std::string checked(const char* key, Result<> (*check)(std::string_view));
  std::string checked_or_empty(const char* key, Result<> (*check)(std::string_view));

  void wrong(const char* key, std::string_view why);
  /// Notes the keys that nothing has asked for.
  void end();

 private:
  const json_t* find(const char* key);

  const json_t* object_;
  std::string place_;
  std::vector<std::string>& mistakes_;
  std::vector<std::string> asked_;
};

}  // namespace signet
