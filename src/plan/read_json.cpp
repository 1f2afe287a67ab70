#include "plan/read_json.h"

#include <jansson.h>

#include <algorithm>

namespace signet {

const json_t* JsonObject::find(const char* key) {
  asked_.emplace_back(key);
  const json_t* value = json_object_get(object_, key);
  if (!value) wrong(key, "is missing");
  return value;
}

void JsonObject::wrong(const char* key, std::string_view why) {
  mistakes_.push_back(std::format("{}{}{}: {}", place_, place_.empty() ? "" : ".", key, why));
}

bool JsonObject::has(const char* key) const { return json_object_get(object_, key) != nullptr; }

std::string JsonObject::text(const char* key) {
  const json_t* value = find(key);
  if (!value) return {};
  if (json_is_string(value)) return {json_string_value(value), json_string_length(value)};
  wrong(key, "must be a string");
  return {};
}

std::uint64_t JsonObject::number(const char* key, std::uint64_t least, std::uint64_t most) {
  const json_t* value = find(key);
  if (!value) return least;
  const auto given = json_integer_value(value);
  if (json_is_integer(value) && given >= 0 && static_cast<std::uint64_t>(given) >= least && static_cast<std::uint64_t>(given) <= most)
    return static_cast<std::uint64_t>(given);
  wrong(key, std::format("must be a whole number from {} to {}", least, most));
  return least;
}

bool JsonObject::flag(const char* key) {
  const json_t* value = find(key);
  if (value && !json_is_boolean(value)) wrong(key, "must be true or false");
  return json_is_true(value);
}

std::vector<std::string> JsonObject::texts(const char* key) {
  std::vector<std::string> found;
  const json_t* value = find(key);
  if (!value) return found;
  if (!json_is_array(value)) wrong(key, "must be an array of strings");
  std::size_t index = 0;
  json_t* each = nullptr;
  json_array_foreach(value, index, each) {
    if (json_is_string(each))
      found.emplace_back(json_string_value(each), json_string_length(each));
    else
      wrong(key, std::format("element {} must be a string", index));
  }
  return found;
}

std::vector<JsonObject> JsonObject::objects(const char* key) {
  std::vector<JsonObject> found;
  const json_t* value = find(key);
  if (!value) return found;
  if (!json_is_array(value)) wrong(key, "must be an array of objects");
  std::size_t index = 0;
  json_t* each = nullptr;
  json_array_foreach(value, index, each) {
    if (json_is_object(each))
      found.emplace_back(each, std::format("{}{}{}[{}]", place_, place_.empty() ? "" : ".", key, index), mistakes_);
    else
      wrong(key, std::format("element {} must be an object", index));
  }
  return found;
}

std::string JsonObject::checked(const char* key, Result<> (*check)(std::string_view)) {
  auto value = text(key);
  if (has(key))
    if (const auto fine = check(value); !fine) wrong(key, fine.error().message());
  return value;
}

std::string JsonObject::checked_or_empty(const char* key, Result<> (*check)(std::string_view)) {
  auto value = text(key);
  if (!value.empty())
    if (const auto fine = check(value); !fine) wrong(key, fine.error().message());
  return value;
}

void JsonObject::end() {
  const char* key = nullptr;
  json_t* value = nullptr;
  json_object_foreach(const_cast<json_t*>(object_), key, value) {
    if (!std::ranges::contains(asked_, std::string_view(key))) wrong(printable(key).c_str(), "is not known");
  }
}

}  // namespace signet
