// One file per kind of mistake in mistakes/, each with what is to be said of it, to the letter: `#! FILE:LINE:COLUMN: MESSAGE`.
#include <doctest/doctest.h>

#include <algorithm>
#include <filesystem>
#include <format>

#include "base/fd.h"
#include "base/text.h"
#include "profile/profile.h"

using namespace signet;

namespace {

const std::string directory = SIGNET_SOURCE_DIRECTORY "/tests/unit/mistakes";

std::string base_name(const std::string& file) { return file.substr(file.rfind('/') + 1); }

Result<std::string> load(const Uri& uri) {
  auto text = read_file(directory + "/" + base_name(uri.path));
  if (!text) return fail(ErrorKind::not_found, "{} is not there", uri.display());
  return text;
}

std::vector<std::string> expected_of(std::string_view text) {
  std::vector<std::string> expected;
  for (const auto line : split(text, '\n'))
    if (line.starts_with("#! ")) expected.emplace_back(line.substr(3));
  return expected;
}

std::vector<std::string> said_of(const std::string& name, std::string_view text) {
  std::vector<std::string> said;
  const auto profile = parse_profile(text, parse_uri("http://server/hosts/" + name).value(), load);
  if (profile) return said;
  for (const auto& [place, message] : profile.error())
    said.push_back(std::format("{}:{}:{}: {}", base_name(place.file), place.line, place.column, message));
  return said;
}

}  // namespace

TEST_CASE("every kind of mistake is told at its place, all of a file's at once") {
  std::vector<std::string> names;
  for (const auto& entry : std::filesystem::directory_iterator(directory)) names.push_back(entry.path().filename());
  std::ranges::sort(names);
  REQUIRE(names.size() >= 25);
  for (const auto& name : names) {
    CAPTURE(name);
    const auto text = read_file(directory + "/" + name).value();
    const auto expected = expected_of(text), said = said_of(name, text);
    CHECK_FALSE(expected.empty());
    CHECK(said.size() == expected.size());
    for (std::size_t i = 0; i < std::min(said.size(), expected.size()); ++i) CHECK(said[i] == expected[i]);
  }
}
