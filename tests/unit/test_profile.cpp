#include <doctest/doctest.h>

#include <format>
#include <map>

#include "base/size.h"
#include "base/text.h"
#include "profile/profile.h"

using namespace signet;

namespace {

const Uri here = parse_uri("http://server/hosts/node01.toml").value();

Result<std::string> no_file(const Uri& uri) { return fail(ErrorKind::not_found, "{}: not there", uri.secret_text()); }

std::expected<Profile, Diagnostics> parse(std::string_view text) { return parse_profile(text, here, no_file); }

constexpr std::string_view good = R"(schema = 1
[image]
source = "../images/debian.tar.zst"
sha256 = "9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08"

[[disk]]
id    = "system"
match = { transport = "nvme", size = ">=100GiB", rotational = false }
wipe  = "blank"
partition = [
  { name = "esp",  size = "512MiB", type = "esp",  format = "vfat", mount = "/boot/efi" },
  { name = "swap", size = "2GiB",   format = "swap" },
  { name = "root", size = "rest",   format = "ext4", mount = "/", options = ["noatime"] },
]

[network]
hostname = "node01"
[[network.interface]]
match = "52:54:00:12:34:56"
addresses = ["10.0.0.5/24", "fd00::5/64"]
gateway = "10.0.0.1"
[configure]
timezone = "Europe/Berlin"
[[configure.users]]
name = "ops"
sudo = true
[hooks]
post_install = ["../scripts/last.sh"]
timeout = "45min"
[finish]
on_success = "poweroff"
)";

// What is wrong with a good profile in which `from` has been replaced by `to`.
std::string mistake(std::string from, std::string to) {
  std::string text(good);
  const auto at = text.find(from);
  REQUIRE(at != std::string::npos);
  text.replace(at, from.size(), to);
  const auto profile = parse(text);
  if (profile) return "none";
  REQUIRE(profile.error().size() == 1);
  return profile.error().front().text();
}

}  // namespace

TEST_CASE("a whole profile is read") {
  const auto profile = parse(good);
  if (!profile)
    for (const auto& diagnostic : profile.error()) MESSAGE(diagnostic.text());
  REQUIRE(profile);
  CHECK(profile->image.source == "http://server/images/debian.tar.zst");
  REQUIRE(profile->disks.size() == 1);
  const auto& disk = profile->disks.front();
  CHECK(disk.match.size->minimum == 100 * GiB);
  CHECK(disk.match.rotational == false);
  REQUIRE(disk.partitions.size() == 3);
  CHECK(disk.partitions[1].type == PartitionType::swap);
  CHECK(disk.partitions[2].size.kind == SizeRule::Kind::rest);
  CHECK(disk.partitions[2].options == std::vector<std::string>{"noatime"});
  CHECK_FALSE(profile->network.interfaces.front().dhcp);
  CHECK(profile->hooks.post_install == std::vector<std::string>{"http://server/scripts/last.sh"});
  CHECK(profile->finish.on_success == FinishAction::poweroff);
  CHECK(profile->finish.on_failure == FinishAction::shell);
}

TEST_CASE("each mistake is told at its place") {
  const std::string at = "http://server/hosts/node01.toml:";
  CHECK(mistake("schema = 1", "schema = 7") == at + "1:10: schema 7 is not known to this agent (0.1.0); it reads schema 1");
  CHECK(mistake("schema = 1\n", "") == at + "1:1: schema is missing: write `schema = 1` at the top");
  CHECK(mistake("options =", "optoins =") == at + "13:67: unknown key `optoins` in disk.partition; did you mean `options`?");
  CHECK(mistake("wipe  = \"blank\"", "wipe = \"all\"") == at + "9:8: disk.wipe must be blank, signet, signet-any or any, not `all`");
  CHECK(mistake("wipe  = \"blank\"\n", "").contains("disk.wipe is missing"));
  CHECK(mistake("\"2GiB\"", "2.5") == at + "12:27: disk.partition.size must be a string, but here is a number with a fraction");
  CHECK(mistake("\"2GiB\"", "\"two\"").contains("12:27: disk.partition.size: `two` is not a size"));
  CHECK(mistake("\"2GiB\"", "\"rest\"").contains("\"rest\" stands twice on disk `system`"));
  CHECK(mistake("\"2GiB\"", "\"120%\"").contains("is not a percentage"));
  CHECK(mistake("/boot/efi", "/boot/../efi").contains("has empty, `.` or `..` parts"));
  CHECK(mistake("name = \"swap\"", "name = \"esp\"").contains("`esp` is used twice on disk `system`"));
  CHECK(mistake(">=100GiB", ">=1TiB,<1GiB").contains("a bound that no disk can meet"));
  CHECK(mistake("10.0.0.5/24", "10.0.0.5").contains("needs a prefix length"));
  CHECK(mistake("hostname = \"node01\"", "hostname = \"node_01\"").contains("is not a host name"));
  CHECK(mistake("9f86d081", "9f86d08").contains("is not a SHA-256 digest"));
  CHECK(mistake("Europe/Berlin", "../../etc/shadow").contains("is not a time zone"));
  CHECK(mistake("poweroff", "explode").contains("finish.on_success must be reboot, poweroff"));
  CHECK(mistake("[finish]", "[[raid]]\nname = \"x\"\n[finish]").contains("raid: this version of Signet makes partitions and file systems only"));
  CHECK(mistake("id    = \"system\"", "id = \"system").contains("7:"));
  CHECK(mistake("id    = \"system\"", "id = \"system").contains("not TOML"));
}

TEST_CASE("all mistakes are told at once, in the order of the file") {
  const auto profile = parse(R"(schema = 1
[image]
sorce = "x"
[[disk]]
wipe = "maybe"
partition = [ { name = "root", size = "1 parsec", format = "ext4", mount = "/" } ]
)");
  REQUIRE_FALSE(profile);
  std::vector<std::string> texts;
  for (const auto& diagnostic : profile.error()) texts.push_back(diagnostic.text());
  REQUIRE(texts.size() == 4);
  CHECK(texts[0].contains("node01.toml:2:1: image.source is missing"));
  CHECK(texts[1] == "http://server/hosts/node01.toml:3:1: unknown key `sorce` in image; did you mean `source`?");
  CHECK(texts[2].contains(":5:8: disk.wipe must be"));
  CHECK(texts[3].contains(":6:39: disk.partition.size"));
  CHECK(to_error(profile.error()).message().starts_with("4 mistakes in the profile\n"));
}

TEST_CASE("profiles extend each other; this file wins, places stay where they were written") {
  const std::map<std::string, std::string> files = {
      {"http://server/groups/base.toml",
       "extends = [\"../common.toml\"]\n[configure]\ntimezone = \"UTC\"\nkernel_args = \"quiet\"\n[image]\nsource = \"local.tar\"\n"},
      {"http://server/common.toml",
       "schema = 1\n[finish]\non_failure = \"poweroff\"\non_success = \"halt\"\n[[disk]]\nwipe = \"any\"\npartition = [ { name = \"r\", size = "
       "\"rest\", format = \"ext4\", mount = "
       "\"/\" } ]\n"},
      {"http://server/groups/loop.toml", "extends = [\"loop.toml\"]\n"},
      {"http://server/groups/bad.toml", "[configure]\n\ntimezon = \"UTC\"\n"},
  };
  const auto load = [&](const Uri& uri) -> Result<std::string> {
    const auto file = files.find(uri.secret_text());
    return file == files.end() ? no_file(uri) : Result<std::string>(file->second);
  };
  const auto profile = parse_profile(
      "extends = [\"../groups/base.toml\"]\n[configure]\ntimezone = \"Europe/Berlin\"\n[finish]\non_success = \"poweroff\"\n", here, load);
  REQUIRE(profile);
  CHECK(profile->configure.timezone == "Europe/Berlin");
  CHECK(profile->configure.kernel_args == "quiet");
  CHECK(profile->finish.on_success == FinishAction::poweroff);
  CHECK(profile->finish.on_failure == FinishAction::poweroff);
  CHECK(profile->image.source == "http://server/groups/local.tar");

  const auto problem = [&](std::string text) { return parse_profile(text, here, load).error().front().text(); };
  CHECK(problem("extends = [\"../groups/loop.toml\"]\n").contains("extends goes in a circle"));
  CHECK(problem("extends = [\"missing.toml\"]\n") == "http://server/hosts/node01.toml:1:12: extends: http://server/hosts/missing.toml: not there");
  CHECK(problem("extends = [\"../groups/base.toml\", \"../groups/bad.toml\"]\n") ==
        "http://server/groups/bad.toml:3:1: unknown key `timezon` in configure; did you mean `timezone`?");
}

TEST_CASE("a profile survives being written and read again") {
  const auto profile = parse(good).value();
  const auto text = to_toml(profile);
  const auto again = parse(text);
  if (!again) MESSAGE(text, again.error().front().text());
  REQUIRE(again);
  CHECK(to_toml(*again) == text);
  CHECK(again->image.source == profile.image.source);
  CHECK(again->disks.front().match.text() == profile.disks.front().match.text());
  CHECK(again->network.interfaces.front().addresses == profile.network.interfaces.front().addresses);
  CHECK(again->hooks.post_install == profile.hooks.post_install);
  CHECK(again->hooks.timeout == std::chrono::minutes(45));
  CHECK(again->finish.on_success == profile.finish.on_success);
  CHECK(parse_profile(to_toml(Profile{}), here, no_file, Completeness::partial));
}

TEST_CASE("what TOML has a meaning for is written so that it is read back") {
  auto profile = parse(good).value();
  auto& disk = profile.disks.front();
  disk.match = {};
  disk.match.model = R"(A\*B "C" \)";
  disk.match.serial = "[xyz]*";
  disk.match.index = 3;
  profile.configure.kernel_args = R"(a="b c" d=\x)";
  const auto again = parse(to_toml(profile));
  REQUIRE(again);
  CHECK(again->disks.front().match.model == disk.match.model);
  CHECK(again->disks.front().match.serial == disk.match.serial);
  CHECK(again->disks.front().match.index == 3U);
  CHECK_FALSE(again->disks.front().match.size);
  CHECK(again->configure.kernel_args == profile.configure.kernel_args);
}

TEST_CASE("bounds of a size mean what they say") {
  const auto bound = [](std::string text) { return parse_match_flag("size=" + text).value().size.value(); };
  struct Row {
    const char* text;
    std::uint64_t size;
    bool holds;
  };
  for (const auto& [text, size, holds] :
       {Row{">=100GiB", 100 * GiB, true}, Row{">=100GiB", 100 * GiB - 1, false}, Row{">100GiB", 100 * GiB, false},
        Row{">100GiB", 100 * GiB + 1, true}, Row{"<1GiB", GiB, false}, Row{"<1GiB", GiB - 1, true}, Row{"<=1GiB", GiB, true},
        Row{"<=1GiB", GiB + 1, false}, Row{"=1GiB", GiB, true}, Row{"=1GiB", GiB + 1, false}, Row{"1GiB", GiB, true}, Row{"1GiB", GiB - 1, false},
        Row{">=1GiB,<2GiB", 2 * GiB, false}, Row{">=1GiB,<2GiB", GiB, true}, Row{"> 1 GB", 1'000'000'001, true},
        Row{">=1.5GiB", GiB + GiB / 2, true}}) {
    CAPTURE(text);
    CAPTURE(size);
    CHECK(bound(text).holds(size) == holds);
  }
}

TEST_CASE("nothing that a server can send takes the parser apart") {
  const auto first = [](const std::string& text) { return parse(text).error().front().message; };
  std::string dots = "a";
  for (int i = 0; i < 200'000; ++i) dots += ".a";
  CHECK(first(dots + " = 1\n").contains("a key of more than 64 parts"));
  CHECK(first("x = { k = \"\"\"\n # \"\"\", " + dots + " = 1 }\n").contains("a key of more than 64 parts"));
  CHECK(first("[" + dots + "]\n").contains("a key of more than 64 parts"));
  CHECK(first("x = " + std::string(50'000, '[') + "\n").contains("nested too deeply"));
  CHECK(first("x = " + std::string(200'000, '[') + "\n").contains("more than 100000 values"));
  CHECK(first(std::string(2'000'000, '\n')).contains("more than 1 MiB"));
  std::string many;
  for (int i = 0; i < 1000; ++i) many += "key" + std::to_string(i) + " = 1\n";
  CHECK(to_error(parse(many).error()).message().contains("… and 953 more"));

  // Two files that each extend the other level twice over would be 2^16 loads.
  unsigned loads = 0;
  const auto load = [&](const Uri& uri) -> Result<std::string> {
    ++loads;
    const auto level = parse_unsigned(uri.path.substr(uri.path.rfind('/') + 1)).value();
    return std::format("extends = [\"{0}\", \"{0}\"]\n", level + 1);
  };
  const auto profile = parse_profile("extends = [\"1\", \"1\"]\n", here, load);
  REQUIRE_FALSE(profile);
  CHECK(loads <= 64);
  CHECK(profile.error().size() < 100);
}

TEST_CASE("a profile and what it extends are bounded in all") {
  // 99 files of 0.9 MB each were 3.3 GB of memory and two minutes.
  std::string extends = "extends = [";
  for (int i = 0; i < 99; ++i) extends += std::format("\"{}\", ", i);
  unsigned loads = 0;
  std::string large = "x = \"" + std::string(900'000, 'x') + "\"\n";
  const auto load = [&](const Uri&) -> Result<std::string> {
    ++loads;
    return large;
  };
  auto profile = parse_profile(extends + "]\n", here, load);
  REQUIRE_FALSE(profile);
  CHECK(loads <= 6);
  CHECK(to_error(profile.error()).message().contains("more than 4 MiB with all that it extends"));

  // Small files that are nothing but values: each costs a hundred times its two bytes.
  loads = 0;
  large = "x = [";
  for (int i = 0; i < 40'000; ++i) large += "1,";
  large += "]\n";
  profile = parse_profile(extends + "]\n", here, load);
  REQUIRE_FALSE(profile);
  CHECK(loads == 3);
  CHECK(to_error(profile.error()).message().contains("more than 100000 values, with all that it extends"));
}

TEST_CASE("mistakes are short whatever is wrong") {
  const std::string million(900'000, 'k');
  for (const auto& text : {million + " = 1\n", "[" + million + "]\n", "schema = 1\nextends = [\"" + million + "\"]\n",
                           "[image]\nsource = \"" + million + "\"\n", "[configure]\ntimezone = \"" + million + "\"\n",
                           "[[disk]]\nid = \"" + million + "\"\nwipe = \"" + million + "\"\n", million + "\n", "schema = 1\nimage = \"" + million}) {
    CAPTURE(text.substr(0, 40));
    const auto profile = parse(text);
    REQUIRE_FALSE(profile);
    const auto error = to_error(profile.error());
    CHECK(error.message().size() < 10'000);
    CHECK(error.advice().size() < 10'000);
  }
  std::string many;
  for (int i = 0; i < 30'000; ++i) many += "key" + std::to_string(i) + " = 1\n";
  CHECK(parse(many).error().size() == most_diagnostics);
  CHECK(to_error(parse(many).error()).message().size() < 50 * 600);
}

TEST_CASE("flags of a verb say what an inline table says") {
  const auto partition = parse_partition_flag("name=root,size=rest,format=ext4,mount=/,options=noatime+discard").value();
  CHECK(partition.mount == "/");
  CHECK(partition.options == std::vector<std::string>{"noatime", "discard"});
  CHECK(parse_match_flag("transport=virtio,size=>=2GiB,<1TiB,index=0,rotational=false")->text() ==
        "transport = \"virtio\", size = \">=2GiB,<1TiB\", rotational = false, index = 0");
  CHECK(parse_partition_flag("name=root,sise=rest").error().message().contains("did you mean `size`?"));
  CHECK_FALSE(parse_partition_flag("root"));
}

TEST_CASE("a rule as a flag reads back to itself") {
  for (const char* text : {"name=root,size=rest,format=ext4,label=it's\\, root,mount=/,options=noatime+x-note=a\\+b",
                           "name=a\\\\b,size=25%,type=swap,format=swap", "name=bios,size=1MiB,type=bios"}) {
    const auto rule = parse_partition_flag(text);
    REQUIRE(rule);
    CHECK(to_flag(*rule) == text);
  }
  for (const char* text : {"serial=a\\,b,size=>=1GiB,<2GiB,rotational=false,index=3", "model=Some\\, Disk*,transport=nvme", "path=/dev/sda", ""}) {
    if (!*text) {
      CHECK(to_flag(DiskMatch{}) == text);
      continue;
    }
    const auto match = parse_match_flag(text);
    REQUIRE(match);
    CHECK(to_flag(*match) == text);
  }
  CHECK(parse_partition_flag("name=root,size=rest,label=a\\,b,mount=/,format=ext4")->label == "a,b");
}

TEST_CASE("install says what becomes of a system that is there already") {
  CHECK(parse(good)->install == InstallRule::once);
  CHECK_FALSE(to_toml(*parse(good)).contains("\ninstall ="));
  const auto always = parse("install = \"always\"\n" + std::string(good));
  REQUIRE(always);
  CHECK(always->install == InstallRule::always);
  CHECK(parse(to_toml(*always))->install == InstallRule::always);
  CHECK(parse("install = \"when-changed\"\n" + std::string(good))->install == InstallRule::when_changed);
  CHECK(mistake("schema = 1", "schema = 1\ninstall = \"twice\"").contains("install must be once, when-changed or always, not `twice`"));
}
