// The examples of docs/profile.md are read by the parser that they document.
#include <doctest/doctest.h>

#include "base/fd.h"
#include "base/text.h"
#include "profile/profile.h"

using namespace signet;

TEST_CASE("every example of docs/profile.md is a profile") {
  const auto text = read_file(SIGNET_SOURCE_DIRECTORY "/docs/profile.md");
  REQUIRE(text);
  std::vector<std::string> examples;
  bool inside = false;
  for (const auto line : split(*text, '\n')) {
    if (line == "```toml") examples.emplace_back();
    if (inside && line != "```") examples.back().append(line).append("\n");
    if (line.starts_with("```")) inside = line == "```toml";
  }
  REQUIRE(examples.size() == 4);
  for (const auto& example : examples) {
    CAPTURE(example);
    const auto load = [](const Uri&) -> Result<std::string> { return std::string("schema = 1\n"); };
    const auto profile = parse_profile(example, parse_uri("http://server/hosts/node01.toml").value(), load, Completeness::partial);
    if (!profile)
      for (const auto& diagnostic : profile.error()) MESSAGE(diagnostic.text());
    CHECK(profile);
  }
}
