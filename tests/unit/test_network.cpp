#include <doctest/doctest.h>

#include "network/network.h"

using namespace signet;

TEST_CASE("a lease is read from what udhcpc's script wrote") {
  const auto lease = parse_lease(
      "ip='10.0.2.15'\nsubnet='255.255.252.0'\nrouter='10.0.2.2 10.0.2.3'\ndns='10.0.2.3 bogus'\nhostname='Node01.Cluster.Example'\n"
      "siaddr='10.0.2.4'\nopt224='687474703a2f2f78722f'\nlease='86400'\nbroken line\n",
      "eth0");
  REQUIRE(lease);
  CHECK(lease->address == "10.0.2.15");
  CHECK(lease->prefix == 22);
  CHECK(lease->routers == std::vector<std::string>{"10.0.2.2", "10.0.2.3"});
  CHECK(lease->dns == std::vector<std::string>{"10.0.2.3"});
  CHECK(lease->host_name == "node01.cluster.example");
  CHECK(lease->next_server == "10.0.2.4");
  CHECK(lease->signet_url == "http://xr/");
  CHECK(lease->seconds == 86400);
}

TEST_CASE("what a hostile server sends as a name is no name") {
  for (const char* name : {"../../etc", "a b", "$(reboot)", "-x", "a..b", "x;y"}) {
    CAPTURE(name);
    CHECK(parse_lease(std::string("ip='10.0.0.1'\nhostname='") + name + "'\n", "eth0")->host_name.empty());
  }
  CHECK(parse_lease("ip='10.0.0.1'\nhostname='it'\\''s'\n", "eth0")->variables.at("hostname") == "it's");
  CHECK_FALSE(parse_lease("ip='nonsense'\n", "eth0"));
  CHECK_FALSE(parse_lease("", "eth0"));
}

TEST_CASE("profile candidates stand in the order of the design") {
  Identity identity;
  identity.uuid = "4c4c4544-0042-3510-8052-b4c04f4d3232";
  identity.mac = "52:54:00:12:34:56";
  identity.host_name = "node01.example.org";
  identity.address = "10.10.2.135";
  const auto candidates = lookup_candidates(identity);
  const std::vector<std::string> expected = {"4c4c4544-0042-3510-8052-b4c04f4d3232",
                                             "01-52-54-00-12-34-56",
                                             "node01.example.org",
                                             "node01",
                                             "node",
                                             "0A0A0287",
                                             "0A0A028",
                                             "0A0A02",
                                             "0A0A0",
                                             "0A0A",
                                             "0A0",
                                             "0A",
                                             "0",
                                             "default"};
  CHECK(candidates == expected);
  CHECK(lookup_candidates({}) == std::vector<std::string>{"default"});
}

TEST_CASE("base names lose their number") {
  CHECK(base_name("node01") == "node");
  CHECK(base_name("rack2-node17") == "rack2-node");
  CHECK(base_name("rack-2") == "rack");
  CHECK(base_name("login") == "login");
  CHECK(base_name("42") == "42");
}

TEST_CASE("the kernel command line wins over the lease") {
  Machine machine;
  machine.links = {{.name = "eth0", .mac = "52:54:00:12:34:56", .driver = "virtio_net", .carrier = true}};
  Lease lease;
  lease.interface = "eth0";
  lease.address = "10.0.2.15";
  lease.host_name = "leased";
  lease.next_server = "10.0.2.2";
  auto identity = identify(machine, lease);
  CHECK(identity.host_name == "leased");
  CHECK(identity.mac == "52:54:00:12:34:56");
  CHECK(identity.server->text() == "http://10.0.2.2/signet/");
  lease.signet_url = "http://224.example/s";
  CHECK(identify(machine, lease).server->text() == "http://224.example/s/");
  machine.command_line = KernelCommandLine::parse("signet.server=https://x:8443/a signet.host=Forced");
  identity = identify(machine, lease);
  CHECK(identity.server->text() == "https://x:8443/a/");
  CHECK(identity.host_name == "forced");
  CHECK(identity.host_name_source == "signet.host");
}
