// The examples of docs/profile.md are read by the parser that they document.
#include <doctest/doctest.h>

#include <set>

#include "base/fd.h"
#include "base/text.h"
#include "machine/settings.h"
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

TEST_CASE("docs/booting.md has every setting of the kernel command line, and no other") {
  const auto text = read_file(SIGNET_SOURCE_DIRECTORY "/docs/booting.md");
  REQUIRE(text);
  std::set<std::string> documented, known;
  bool inside = false;
  for (const auto line : split(*text, '\n')) {
    if (line.starts_with("## ")) inside = line == "## Settings";
    if (!inside || !line.starts_with("| `signet.")) continue;
    const auto name = line.substr(std::string_view("| `signet.").size());
    documented.emplace(name.substr(0, name.find_first_of("=`")));
  }
  for (const auto& rule : known_settings()) {
    if (!rule.only_local_config) known.emplace(rule.name);
    CHECK_FALSE(rule.help.empty());
  }
  CHECK(documented == known);
}
