// The signed manifest: 10,000 mutants of it and of its signature, replays, other hosts, other purposes, passed dates: each is refused, with its
// message.
#include <doctest/doctest.h>
#include <unistd.h>

#include <array>
#include <cstdlib>
#include <random>

#include "admin/keys.h"
#include "agent/trusted_tree.h"
#include "base/date_time.h"
#include "base/fd.h"
#include "base/node_set.h"
#include "fetch/manifest.h"
#include "machine/medium.h"
#include "network/network.h"
#include "plan/match.h"

using namespace signet;

namespace {

constexpr std::int64_t now = 1'795'262'400;

class Site {
 public:
  Site() {
    std::string name = "/tmp/signet-trust-XXXXXX";
    path = ::mkdtemp(name.data());
    REQUIRE(make_key(path + "/key"));
    secret = read_file(path + "/key").value();
    REQUIRE(keys.add(read_file(path + "/key.pub").value(), "key.pub"));
  }
  ~Site() {
    for (const char* file : {"/key", "/key.pub", "/other", "/other.pub"}) ::unlink((path + file).c_str());
    ::rmdir(path.c_str());
  }
  std::string sign(std::string_view text) const { return sign_text(text, secret, "key").value(); }

  std::string path, secret;
  TrustedKeys keys;
};

Manifest sample() {
  Manifest manifest{.serial = 100, .expires = now + 86'400, .files = {}};
  const std::string digest(64, 'a');
  manifest.files["hosts/default.toml"] = {.sha256 = digest, .size = 12, .hosts = {}};
  manifest.files["hosts/db.toml"] = {.sha256 = digest, .size = 12, .hosts = {"db[01-04]", "01-52-54-00-12-34-56"}};
  manifest.files["scripts/last.sh"] = {.sha256 = digest, .size = 12, .hosts = {}};
  manifest.files["images/debian-13.tar.zst"] = {.sha256 = digest, .size = 1 << 30, .hosts = {}};
  return manifest;
}

Result<const ListedFile*> find(const Manifest& manifest, std::string_view path, Purpose purpose, std::vector<std::string> names) {
  const std::array purposes = {purpose};
  return find_listed(manifest, path, purposes, names);
}

}  // namespace

TEST_CASE("a manifest is written and read back") {
  const auto manifest = sample();
  const auto text = to_toml(manifest);
  const auto again = parse_manifest(text);
  REQUIRE(again);
  CHECK(again->serial == 100);
  CHECK(again->expires == now + 86'400);
  CHECK(again->files == manifest.files);
  CHECK(to_toml(*again) == text);
  CHECK(date_time_text(now) == "2026-11-21T12:00:00Z");
  CHECK(parse_date_time("2026-11-21T12:00:00Z") == now);
  CHECK(parse_date_time("2026-11-21") == now - 43'200);
  for (const char* bad : {"", "2026-02-30", "2026-11-21T24:00:00Z", "2026-11-21 12:00:00Z", "2026-11-21T12:00:00", "26-11-21"})
    CHECK(!parse_date_time(bad));
}

TEST_CASE("a manifest that deviates from its form is an error with its line") {
  struct Case {
    std::string text, why;
  };
  const std::string digest(64, 'a'), head = "schema = 1\nserial = 1\nexpires = 2027-01-01T00:00:00Z\n[files]\n";
  const auto entry = [&](const std::string& path, const std::string& more) {
    return head + "\"" + path + "\" = { sha256 = \"" + digest + "\"" + more + "\n";
  };
  const Case cases[] = {
      {"", "schema is missing"},
      {"schema = 1\nserial = 1\n[files]\n", "expires is missing"},
      {"schema = 2\n", "line 1: schema 2 is not known"},
      {"serial = -1\n", "line 1: `serial` is unknown, listed twice or not a number"},
      {"serial = 1\nserial = 2\n", "line 2: `serial`"},
      {"expires = tomorrow\n", "line 1: `tomorrow` is not a date"},
      {"schema = 1 1\n", "line 1: unexpected text"},
      {entry("../x", ", size = 1 }"), "line 5: a path of the tree in quotes is expected"},
      {entry("/x", ", size = 1 }"), "line 5: a path"},
      {entry("a//x", ", size = 1 }"), "line 5: a path"},
      {entry("a\x1b", ", size = 1 }"), "line 5: a path"},
      {entry("a", " }"), "line 5: sha256 and size are required"},
      {entry("a", ", size = 1"), "line 5: the line does not end with }"},
      {entry("a", ", size = 1 } x"), "line 5: the line does not end with }"},
      {entry("a", ", size = 1, size = 2 }"), "line 5: `size` is unknown or listed twice"},
      {entry("a", ", size = 1, mode = 2 }"), "line 5: `mode` is unknown"},
      {entry("a", ", size = 1, hosts = [\"$x\"] }"), "line 5: `$x` is not a node set"},
      {entry("a", ", size = 1, hosts = [] }"), "line 5: hosts must be an array of strings"},
      {entry("a", ", size = 1 }") + "\"a\" = { sha256 = \"" + digest + "\", size = 1 }\n", "line 6: a is listed twice"},
      {head + "\"a\" = { sha256 = \"b\", size = 1 }\n", "line 5: `b` is not a SHA-256 digest"},
      {head + std::string(20'000, 'x'), "line 5: it has more than 16384 bytes"},
  };
  for (const auto& [text, why] : cases) {
    CAPTURE(text);
    const auto parsed = parse_manifest(text);
    REQUIRE(!parsed);
    CHECK(parsed.error().message().starts_with(why));
  }
  CHECK(!parse_manifest(std::string(largest_manifest + 1, '\n')));
}

TEST_CASE("of 10,000 mutants of manifest and signature none is accepted") {
  const Site site;
  const auto text = to_toml(sample());
  const auto signature = site.sign(text);
  const ManifestRules rules{.least_serial = 100, .now = now};
  REQUIRE(open_manifest(text, signature, site.keys, rules, "m"));
  std::mt19937 random(8);
  const auto number = [&](std::size_t below) { return std::uniform_int_distribution<std::size_t>(0, below - 1)(random); };
  unsigned accepted = 0, same = 0;
  for (int i = 0; i < 10'000; ++i) {
    auto mutant = text, signed_by = signature;
    auto& victim = i % 2 == 0 ? mutant : signed_by;
    for (auto edits = 1 + number(3); edits > 0 && !victim.empty(); --edits) {
      const auto at = number(victim.size());
      switch (number(5)) {
        case 0: victim[at] = static_cast<char>(victim[at] ^ (1 << number(8))); break;
        case 1: victim.erase(at, 1 + number(8)); break;
        case 2: victim.insert(at, 1, static_cast<char>(number(256))); break;
        case 3: victim.resize(at); break;
        default: victim += victim.substr(at); break;
      }
    }
    if (mutant == text && signed_by == signature) {
      ++same;
      continue;
    }
    const auto opened = open_manifest(mutant, signed_by, site.keys, rules, "m");
    accepted += opened.has_value();
    if (!opened) REQUIRE(opened.error().kind() == ErrorKind::verification);
  }
  CHECK(accepted == 0);
  CHECK(same < 100);
}

TEST_CASE("replayed, expired, signed by another, swapped: each is refused with its message") {
  const Site site;
  const auto refuse = [&](const Manifest& manifest, const ManifestRules& rules, std::string_view why) {
    const auto text = to_toml(manifest);
    const auto opened = open_manifest(text, site.sign(text), site.keys, rules, "m");
    REQUIRE(!opened);
    CHECK(opened.error().kind() == ErrorKind::verification);
    CHECK(opened.error().message() == why);
    CHECK(!opened.error().advice().empty());
  };
  refuse(sample(), {.least_serial = 101, .now = now}, "m: its serial 100 is older than 101, which this node has seen or was made with");
  refuse(sample(), {.least_serial = 100, .now = now + 86'400}, "m: it expired on 2026-11-22T12:00:00Z; the clock says 2026-11-22T12:00:00Z");

  const auto text = to_toml(sample());
  auto later = sample();
  later.serial = 101;
  const auto swapped = open_manifest(text, site.sign(to_toml(later)), site.keys, {.least_serial = 0, .now = now}, "m");
  CHECK(swapped.error().message() == "m: its signature is not by a key that this initrd trusts");
  REQUIRE(make_key(site.path + "/other"));
  const auto other = sign_text(text, read_file(site.path + "/other").value(), "other").value();
  CHECK(open_manifest(text, other, site.keys, {.least_serial = 0, .now = now}, "m").error().message() ==
        "m: its signature is not by a key that this initrd trusts");
  // Either of two keys counts while one takes the place of the other.
  TrustedKeys both;
  REQUIRE(both.add(read_file(site.path + "/key.pub").value() + read_file(site.path + "/other.pub").value(), "both"));
  CHECK(open_manifest(text, other, both, {.least_serial = 0, .now = now}, "m"));
  CHECK(open_manifest(text, site.sign(text), both, {.least_serial = 0, .now = now}, "m"));
  // What is signed and yet no manifest is refused all the same.
  CHECK(open_manifest("schema = 1\n", site.sign("schema = 1\n"), site.keys, {.least_serial = 0, .now = now}, "m").error().message() ==
        "m: serial is missing");
}

TEST_CASE("a path says what a file is for, and hosts say for whom") {
  const auto manifest = sample();
  CHECK(find(manifest, "hosts/default.toml", Purpose::profile, {}));
  CHECK(find(manifest, "hosts/db.toml", Purpose::profile, {"db03.example.org", "db03"}));
  CHECK(find(manifest, "hosts/db.toml", Purpose::profile, {"web", "01-52-54-00-12-34-56"}));
  CHECK(find(manifest, "hosts/db.toml", Purpose::profile, {"web01"}).error().message() ==
        "hosts/db.toml is not for this host (web01) but for db[01-04], 01-52-54-00-12-34-56");
  CHECK(find(manifest, "hosts/other.toml", Purpose::profile, {}).error().message() == "hosts/other.toml is not listed in the signed manifest");
  CHECK(find(manifest, "scripts/last.sh", Purpose::script, {}).error().message() == "scripts/last.sh is a hook, so it cannot be a host script");
  CHECK(find(manifest, "hosts/default.toml", Purpose::hook, {}).error().message() == "hosts/default.toml is a host profile, so it cannot be a hook");
  CHECK(find(manifest, "README", Purpose::profile, {}).error().kind() == ErrorKind::verification);
  CHECK(purpose_of("hosts/hosts") == Purpose::names);
  CHECK(purpose_of("components/slurm/profile.toml") == Purpose::part);
  CHECK(purpose_of("components/slurm/last.sh") == Purpose::hook);
  CHECK(purpose_of("boot/tools/dropbear") == Purpose::tool);
  CHECK(!purpose_of("boot/vmlinuz"));
  CHECK(!purpose_of("hosts/.toml"));

  CHECK(node_matches("node[01-16,20]", "node01"));
  CHECK(node_matches("node[01-16,20]", "node20"));
  CHECK(node_matches("node[1-16]", "node16"));
  CHECK(!node_matches("node[01-16]", "node1"));
  CHECK(!node_matches("node[01-16]", "node17"));
  CHECK(!node_matches("node[1-16]", "node010"));
  CHECK(node_matches("rack[1-2]n[1-9]*", "rack2n7.example.org"));
  CHECK(node_matches("*", ""));
  CHECK(node_matches("db?", "db1"));
  CHECK(!node_matches("db", "db1"));
  for (const char* bad : {"", "[", "node[]", "node[a-b]", "node[5-1]", "a b", "*****", "Node"}) {
    CAPTURE(bad);
    CHECK(!check_node_pattern(bad));
    CHECK(!node_matches(bad, bad));
  }
}

TEST_CASE("what lies outside of the tree is refused") {
  const auto tree = parse_uri("http://server:8080/signet/").value();
  CHECK(path_in_tree(tree, parse_uri("http://server:8080/signet/hosts/a%20b.toml").value()) == "hosts/a b.toml");
  for (const char* outside : {"http://server:8080/other/x", "http://server/signet/x", "https://server:8080/signet/x", "http://server:8080/signet/",
                              "http://server:8080/signet/x?y", "file:///signet/x", "http://server:8080/signet/../x"}) {
    CAPTURE(outside);
    const auto path = path_in_tree(tree, parse_uri(outside).value());
    REQUIRE(!path);
    CHECK(path.error().kind() == ErrorKind::verification);
  }
}

TEST_CASE("what comes from a server names no local file") {
  const auto profile = parse_uri("http://server/hosts/a.toml").value();
  const auto refused = resolve_uri(profile, "file:///etc/shadow");
  CHECK(refused.error().kind() == ErrorKind::refused);
  CHECK(refused.error().message() == "`file:///etc/shadow` is a local file, which http://server/hosts/a.toml may not name");
  CHECK(resolve_uri(parse_uri("/srv/hosts/a.toml").value(), "file:///srv/images/x"));
  const auto load = [](const Uri&) -> Result<std::string> { return std::string("schema = 1\n"); };
  for (const char* text :
       {"extends = [\"file:///etc/x.toml\"]\n", "[image]\nsource = \"file:///dev/sda\"\n", "[hooks]\npre_install = [\"file:///proc/kmsg\"]\n"}) {
    CAPTURE(text);
    const auto parsed = parse_profile(std::string("schema = 1\n") + text, profile, load, Completeness::partial);
    REQUIRE(!parsed);
    CHECK(to_error(parsed.error()).message().contains("is a local file"));
  }
}

TEST_CASE("a clock is believed between the build and 15 years after it") {
  const auto built = parse_date_time(SIGNET_DATE).value();
  const auto limits = clock_limits(0, false);
  CHECK(limits.floor == built);
  CHECK(clock_fault(built, limits).empty());
  CHECK(clock_fault(built - 1, limits).contains("which is before"));
  CHECK(clock_fault(0, limits).starts_with("1970-01-01, which is before"));
  CHECK(clock_fault(built + 20LL * 366 * 86'400, limits).contains("which is after"));
  CHECK(clock_fault(built + 20LL * 366 * 86'400, clock_limits(0, true)).empty());
  // The initrd's manifest was signed then, so it is at least that late.
  CHECK(clock_limits(static_cast<std::uint64_t>(built) + 1000, false).floor == built + 1000);
  CHECK(clock_limits(7, false).floor == built);
  CHECK(clock_limits(~std::uint64_t{0}, false).floor == built);
}

TEST_CASE("keys are made once, and times of validity have units") {
  const Site site;
  CHECK(make_key(site.path + "/key").error().message() == site.path + "/key exists; a key is never overwritten");
  CHECK(!sign_text("x", "nonsense", "k"));
  CHECK(parse_validity("90d") == 90 * 86'400U);
  CHECK(parse_validity("12h") == 12 * 3600U);
  for (const char* bad : {"", "d", "0d", "90", "-1d", "99999999999999999999d", "51y"}) CHECK(!parse_validity(bad));
}

TEST_CASE("where keys are trusted, a medium sets where the server is and no more") {
  const auto fine =
      parse_local_config("server = \"http://x/\"\nhost = \"node01\"\nnetwork = \"dhcp\"\nconsole = \"ttyS1\"\n", "local.cfg on /dev/sda3").value();
  CHECK(check_medium_settings(fine));
  for (const char* setting : {"sshd = \"AAAA\"", "trust = \"x\"", "rescue = true", "break = \"plan\"", "profile = \"http://x/\"",
                              "on-failure = \"shell\"", "debug = true", "clock = \"any\""}) {
    CAPTURE(setting);
    const auto refused = check_medium_settings(parse_local_config(setting, "local.cfg on /dev/sda3").value());
    REQUIRE(!refused);
    CHECK(refused.error().kind() == ErrorKind::refused);
    CHECK(refused.error().message().starts_with("local.cfg on /dev/sda3: `"));
  }
}

TEST_CASE("no rule matches the medium that a machine was started from, and a label hides no disk") {
  Disk disk;
  disk.path = "/dev/sda";
  CHECK(why_not({}, disk).empty());
  disk.boot_medium = true;
  CHECK(why_not({}, disk) == "it is the boot medium");
  CHECK(!is_boot_medium("sda", ""));
  CHECK(!is_boot_medium("no-such-disk", "0123456789abcdef"));
}
