#include <doctest/doctest.h>

#include "network/network.h"
#include "network/parameters.h"

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
  CHECK(parse_lease("ip='10.0.0.1'\ntzstr='it'\\''s'\n", "eth0")->variables.at("tzstr") == "it's");
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
  CHECK(identity.server->display() == "http://10.0.2.2/signet/");
  lease.signet_url = "http://224.example/s";
  CHECK(identify(machine, lease).server->display() == "http://224.example/s/");
  machine.command_line = KernelCommandLine::parse("signet.server=https://x:8443/a signet.host=Forced");
  identity = identify(machine, lease);
  CHECK(identity.server->display() == "https://x:8443/a/");
  CHECK(identity.host_name == "forced");
  CHECK(identity.host_name_source == "signet.host");
}

TEST_CASE("ip= is read as the kernel reads it") {
  CHECK(parse_ip_parameter("dhcp")->autoconf == Autoconf::any);
  CHECK(parse_ip_parameter("")->autoconf == Autoconf::any);
  CHECK(parse_ip_parameter("auto6")->autoconf == Autoconf::ipv6);
  const auto fixed = parse_ip_parameter("10.0.0.5:10.0.0.1:10.0.0.254:255.255.252.0:Node01:eth1:off:10.0.0.2:10.0.0.3:10.0.0.4").value();
  CHECK(fixed.autoconf == Autoconf::none);
  CHECK(fixed.fixed.address == "10.0.0.5");
  CHECK(fixed.fixed.prefix == 22);
  CHECK(fixed.fixed.routers == std::vector<std::string>{"10.0.0.254"});
  CHECK(fixed.fixed.host_name == "node01");
  CHECK(fixed.fixed.interface == "eth1");
  CHECK(fixed.fixed.dns == std::vector<std::string>{"10.0.0.2", "10.0.0.3"});
  CHECK(fixed.fixed.ntp == std::vector<std::string>{"10.0.0.4"});
  CHECK(fixed.fixed.next_server == "10.0.0.1");
  CHECK(parse_ip_parameter("192.168.1.5")->fixed.prefix == 24);  // as the kernel guesses it
  CHECK(parse_ip_parameter("10.1.1.5")->fixed.prefix == 8);
  const auto six = parse_ip_parameter("[fd00::5]::[fd00::1]:48:x:eth0:off").value();
  CHECK(six.fixed.address == "fd00::5");
  CHECK(six.fixed.prefix == 48);
  const auto asked = parse_ip_parameter(":::::eth2:dhcp").value();
  CHECK(asked.autoconf == Autoconf::any);
  CHECK(asked.fixed.interface == "eth2");
  CHECK(parse_ip_parameter("eth3:dhcp")->fixed.interface == "eth3");
  for (const char* bad :
       {"10.0.0.999", "10.0.0.1::::::sometimes", "10.0.0.1:::255.0.255.0", ":::::a/b:off", "::::::off", "1:2:3:4:5:6:7:8:9:10:11"}) {
    CAPTURE(bad);
    CHECK_FALSE(parse_ip_parameter(bad));
  }
}

TEST_CASE("BOOTIF, vlan= and bond= are read as their authors write them") {
  CHECK(parse_bootif("01-52-54-00-AA-bb-cc") == "52:54:00:aa:bb:cc");
  CHECK(parse_bootif("52:54:00:aa:bb:cc") == "52:54:00:aa:bb:cc");
  CHECK_FALSE(parse_bootif("eth0"));
  CHECK(parse_vlan_parameter("eth0.5:eth0")->tag == 5);
  CHECK(parse_vlan_parameter("vlan0042:bond0")->tag == 42);
  for (const char* bad : {"eth0", "eth0.0:eth0", "vlan4095:eth0", "vlan:eth0", "a/b5:eth0"}) {
    CAPTURE(bad);
    CHECK_FALSE(parse_vlan_parameter(bad));
  }
  const auto bond = parse_bond_parameter("bond0:eth0,eth1:mode=802.3ad,lacp_rate=fast:9000").value();
  CHECK(bond.members == std::vector<std::string>{"eth0", "eth1"});
  CHECK(bond.options.at("mode") == "802.3ad");
  CHECK(bond.options.at("miimon") == "100");
  CHECK(bond.mtu == 9000);
  CHECK(parse_bond_parameter("bond0")->members.size() == 2);
  CHECK_FALSE(parse_bond_parameter("bond0:eth0:mode"));
  CHECK_FALSE(parse_bond_parameter("bond0:../x"));
}

TEST_CASE("a lease is handed on from verb to verb") {
  auto lease = parse_lease("ip='10.0.2.15'\nmask='22'\nrouter='10.0.2.2'\nhostname='node01'\nntpsrv='10.0.2.9'\nopt140='0a000001'\n", "eth0").value();
  CHECK(lease.image_server == "10.0.0.1");
  const auto again = parse_lease(lease_text(lease), "eth0").value();
  CHECK(again.address == lease.address);
  CHECK(again.prefix == 22);
  CHECK(again.ntp == lease.ntp);
  CHECK(again.image_server == "10.0.0.1");
  auto fixed = parse_ip_parameter("[fd00::5]::[fd00::1]:48:x:eth0:off")->fixed;
  fixed.ipv6 = true;
  fixed.origin = "ip=";
  const auto six = parse_lease(lease_text(fixed), "eth0").value();
  CHECK((six.ipv6 && six.origin == "ip=" && six.prefix == 48 && six.host_name == "x"));
}

TEST_CASE("a boot file that is a profile is one, whoever serves it") {
  Lease lease;
  lease.next_server = "10.0.0.1";
  lease.boot_file = "install/sbin/kickstart.cgi?os=linux";
  CHECK(identify({}, lease).profile->secret_text() == "http://10.0.0.1/install/sbin/kickstart.cgi?os=linux");
  lease.boot_file = "https://x/p.toml";
  CHECK(identify({}, lease).profile->secret_text() == "https://x/p.toml");
  lease.boot_file = "pxelinux.0";
  CHECK_FALSE(identify({}, lease).profile);
  lease.tftp_server = "deploy";
  lease.domain = "example.org";
  lease.host_name = "node01";
  const auto identity = identify({}, lease);
  CHECK(identity.server->display() == "http://deploy/signet/");
  CHECK(identity.full_name() == "node01.example.org");
}
