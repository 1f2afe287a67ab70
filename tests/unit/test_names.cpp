// One type for every name, one function for every digest: what gets through holds only what names and digests hold.
#include <doctest/doctest.h>

#include <algorithm>
#include <random>

#include "agent/overrides.h"
#include "base/digest.h"
#include "base/host_name.h"
#include "configure/steps.h"
#include "machine/mark.h"
#include "network/network.h"
#include "network/parameters.h"

using namespace signet;

namespace {

bool is_clean(std::string_view name) { return name.find_first_not_of("abcdefghijklmnopqrstuvwxyz0123456789.-") == std::string_view::npos; }

// Texts near to names: letters, what parts them, and what has a meaning in files, shells, headers and terminals.
class Texts {
 public:
  explicit Texts(unsigned seed) : random_(seed) {}
  std::size_t number(std::size_t below) { return std::uniform_int_distribution<std::size_t>(0, below - 1)(random_); }
  std::string name() {
    constexpr std::string_view good = "abcxyzABC019-.";
    constexpr std::string_view bad = "\n\r\t\0\x1b '\"`$;|&<>\\/%#_:=*?~\x7f\x80\xc3\xff";
    std::string text;
    const bool hostile = number(2) == 0;
    for (auto length = number(hostile ? 24 : 300); length > 0; --length)
      text += hostile && number(4) == 0 ? bad[number(bad.size())] : good[number(good.size())];
    return text;
  }

 private:
  std::mt19937 random_;
};

std::string shell_word(std::string text) {
  std::string out = "'";
  for (const char c : text) {
    if (c == '\'')
      out += "'\\''";
    else
      out += c;
  }
  return out + "'";
}

}  // namespace

TEST_CASE("a host name is read, lowered, or refused with the reason") {
  CHECK(HostName::parse("Node01")->text() == "node01");
  CHECK(HostName::parse("node01.Example.org.")->text() == "node01.example.org");
  CHECK(HostName::parse("node01.example.org")->label() == "node01");
  CHECK(HostName::parse("42")->text() == "42");
  CHECK(HostName::parse(std::string(63, 'a'))->text().size() == 63);
  struct Case {
    std::string text, why;
  };
  const std::string longest = std::string(63, 'a') + "." + std::string(63, 'b') + "." + std::string(63, 'c') + "." + std::string(61, 'd');
  CHECK(HostName::parse(longest)->text().size() == 253);
  const Case cases[] = {
      {"", "`` is not a host name: it is empty"},
      {"01-52-54-00-77-00-01", "`01-52-54-00-77-00-01` is not a host name: it has the form of a network card's or a machine's id"},
      {"8f0b2a4e-55c1-4b7c-9d5e-0a1b2c3d4e5f.example.org",
       "`8f0b2a4e-55c1-4b7c-9d5e-0a1b2c3d4e5f.example.org` is not a host name: it has the form of a network card's or a machine's id"},
      {".", "`.` is not a host name: it is empty"},
      {"a..b", "`a..b` is not a host name: it has an empty part between dots"},
      {"-a", "`-a` is not a host name: it has a part that begins or ends with a hyphen"},
      {"a-.b", "`a-.b` is not a host name: it has a part that begins or ends with a hyphen"},
      {"node_01", "`node_01` is not a host name: only letters, digits, hyphens and dots are allowed (RFC 1123)"},
      {"a\n203.0.113.66 b", "`a\\x0a203.0.113.66 b` is not a host name: only letters, digits, hyphens and dots are allowed (RFC 1123)"},
      {"../../etc", "`../../etc` is not a host name: only letters, digits, hyphens and dots are allowed (RFC 1123)"},
      {"10.0.2.15", "`10.0.2.15` is not a host name: it is an address"},
      {std::string(64, 'a'), "it has a part of more than 63 characters"},
      {longest + "e", "it has more than 253 characters"},
  };
  for (const auto& [text, why] : cases) {
    CAPTURE(text);
    const auto parsed = HostName::parse(text);
    REQUIRE(!parsed);
    CHECK(parsed.error().kind() == ErrorKind::invalid);
    CHECK(parsed.error().message().contains(why));
  }
  CHECK(HostName::parse(std::string(1 << 20, 'a')).error().message().size() < 200);
}

TEST_CASE("10,000 leases, DNS names and hosts lines let through [a-z0-9.-] and nothing else") {
  Texts texts(20261121);
  unsigned through = 0, refused = 0;
  for (int i = 0; i < 10'000; ++i) {
    const auto name = texts.name(), domain = texts.name();
    CAPTURE(name);
    CAPTURE(domain);
    const auto lease =
        parse_lease("ip='10.0.2.15'\nhostname=" + shell_word(name) + "\ndomain=" + shell_word(domain) + "\ntftp=" + shell_word(name) + "\n", "eth0");
    REQUIRE(lease);
    REQUIRE(is_clean(lease->host_name));
    REQUIRE(is_clean(lease->domain));
    REQUIRE(is_clean(lease->tftp_server));
    for (const char* variable : {"hostname", "domain"})
      if (const auto at = lease->variables.find(variable); at != lease->variables.end()) REQUIRE(is_clean(at->second));
    const auto handed_on = parse_lease(lease_text(*lease), "eth0");
    REQUIRE(handed_on);
    REQUIRE(handed_on->host_name == lease->host_name);
    const auto identity = identify({}, *lease);
    REQUIRE(is_clean(identity.full_name()));
    for (const auto& candidate : lookup_candidates(identity)) REQUIRE(!candidate.contains('/'));
    for (const auto& clue : identity.clues)
      if (clue.skipped) {
        REQUIRE(!clue.won);
        REQUIRE(clue.value.contains("is not a host name"));
      }
    const auto hosts = name_in_hosts("# comment\n52:54:00:12:34:56\t" + name + "\n", "52:54:00:12:34:56", "10.0.2.15");
    if (hosts && *hosts) REQUIRE(is_clean((*hosts)->text()));
    const auto dns = HostName::parse(name);
    if (dns) REQUIRE(is_clean(dns->text()));
    (lease->host_name.empty() ? refused : through) += 1;
    // What reaches the installed system's hosts(5) is one line with this node's address and names, nothing else.
    if (const auto full = identity.full_name(); !full.empty()) {
      const auto written = hosts_text("127.0.0.1\tlocalhost\n", full);
      REQUIRE(written.starts_with("127.0.0.1\tlocalhost\n127.0.1.1\t" + full));
      REQUIRE(std::ranges::count(written, '\n') == 2);
      REQUIRE(written.find_first_not_of("abcdefghijklmnopqrstuvwxyz0123456789.- \t\n") == std::string::npos);
    }
  }
  CHECK(through > 500);
  CHECK(refused > 4000);
}

TEST_CASE("a name that is none is a clue and not a name") {
  auto lease = parse_lease("ip='10.0.2.15'\nhostname='node_01'\ndomain='a b'\n", "eth0").value();
  CHECK(lease.domain == "a");
  CHECK(!lease.variables.contains("hostname"));
  const auto identity = identify({}, parse_lease(lease_text(lease), "eth0").value());
  CHECK(identity.host_name.empty());
  unsigned skipped = 0;
  for (const auto& clue : identity.clues)
    if (clue.skipped) {
      ++skipped;
      CHECK(clue.source == "DHCP option 12");
      CHECK(clue.value == "`node_01` is not a host name: only letters, digits, hyphens and dots are allowed (RFC 1123)");
    }
  CHECK(skipped == 1);
  // udhcpc's own word for a name that it refuses must not name a machine.
  const auto withheld = parse_lease("ip='10.0.2.15'\nhostname='bad'\ndomain='bad'\n", "eth0").value();
  CHECK(withheld.host_name.empty());
  CHECK(withheld.domain.empty());
  unsigned told = 0;
  const auto unnamed = identify({}, parse_lease(lease_text(withheld), "eth0").value());
  for (const auto& clue : unnamed.clues) told += clue.skipped ? 1 : 0;
  CHECK(told == 2);
  const auto hosts = name_in_hosts("10.0.0.1 good\n10.0.0.2 $(reboot)\n10.0.0.3\n", "", "10.0.0.2");
  CHECK(hosts.error().message() == "line 2: `$(reboot)` is not a host name: only letters, digits, hyphens and dots are allowed (RFC 1123)");
  CHECK((*name_in_hosts("10.0.0.1 Good # x\n", "", "10.0.0.1"))->text() == "good");
  CHECK(!*name_in_hosts("10.0.0.3\n", "", "10.0.0.3"));
}

TEST_CASE("a name that an admin has mistyped is an error") {
  Machine machine;
  machine.command_line = KernelCommandLine::parse("signet.host=node_01");
  CHECK(check_names(machine).error().message().starts_with("signet.host: `node_01` is not a host name"));
  machine.command_line = KernelCommandLine::parse("signet.host=node01");
  CHECK(check_names(machine));
  CHECK(parse_local_config("host = \"a b\"\n", "local.cfg").error().message().starts_with("local.cfg:1:1: host: `a b` is not a host name"));
  CHECK(parse_ip_parameter("10.0.0.5:::24:node_01:eth0:off").error().message().contains("HOST `node_01` is not a host name"));
  Identity identity;
  Settings settings;
  settings.host = "";
  CHECK(apply_host(settings, identity).error().kind() == ErrorKind::usage);
  settings.host = "Node01";
  CHECK(apply_host(settings, identity));
  CHECK(identity.host_name == "node01");
  Profile profile;
  settings.hostname = "a/b";
  CHECK(apply_overrides(settings, profile).error().message().starts_with("--hostname: `a/b` is not a host name"));
}

TEST_CASE("a mark's host is a name or nothing") {
  Mark mark{.version = "1", .host = "node01", .table = "x"};
  CHECK(decode_mark(encode_mark(mark))->host == "node01");
  mark.host = "a\nb";
  CHECK(decode_mark(encode_mark(mark))->host.empty());
}

TEST_CASE("digests are checked and lowered in one place") {
  const std::string upper(64, 'A'), lower(64, 'a');
  CHECK(parse_sha256(upper) == lower);
  for (const std::string& bad : {std::string(), std::string(63, 'a'), std::string(65, 'a'), std::string(64, 'g'), " " + std::string(63, 'a')}) {
    CAPTURE(bad);
    CHECK(!parse_sha256(bad));
  }
  Profile profile;
  Settings settings;
  settings.sha256 = upper;
  CHECK(apply_overrides(settings, profile));
  CHECK(profile.image.sha256 == lower);
  settings.sha256 = "";
  const auto empty = apply_overrides(settings, profile);
  CHECK(empty.error().kind() == ErrorKind::usage);
  CHECK(empty.error().message() == "--sha256: the SHA-256 digest is empty; it has 64 hexadecimal digits");
}
