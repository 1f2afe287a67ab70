#include <doctest/doctest.h>
#include <stdlib.h>
#include <unistd.h>

#include <filesystem>

#include "base/fd.h"
#include "configure/steps.h"
#include "configure/target_root.h"

using namespace signet;

TEST_CASE("hosts gets the host's own line and keeps the others") {
  CHECK(hosts_text("127.0.0.1\tlocalhost\n::1\tlocalhost\n10.0.0.1 server\n", "node01") ==
        "127.0.0.1\tlocalhost\n127.0.1.1\tnode01\n::1\tlocalhost\n10.0.0.1 server\n");
  CHECK(hosts_text("127.0.0.1 localhost\n127.0.1.1 golden\n", "node01.example.org") == "127.0.0.1 localhost\n127.0.1.1\tnode01.example.org node01\n");
  CHECK(hosts_text("", "a") == "127.0.0.1\tlocalhost\n127.0.1.1\ta\n");
  const auto once = hosts_text("127.0.0.1\tlocalhost\n", "node01");
  CHECK(hosts_text(once, "node01") == once);
}

TEST_CASE("fstab names file systems by UUID") {
  Plan plan;
  plan.disks.resize(1);
  auto& partitions = plan.disks.front().partitions;
  partitions.resize(3);
  partitions[0].format = FormatType::vfat;
  partitions[0].mount = "/boot/efi";
  partitions[0].uuid = "1A2B-3C4D";
  partitions[1].format = FormatType::swap;
  partitions[1].uuid = "s";
  partitions[2].format = FormatType::ext4;
  partitions[2].mount = "/";
  partitions[2].uuid = "r";
  const auto text = fstab_text(plan);
  CHECK(text.contains("UUID=r  /  ext4  errors=remount-ro  0  1\nUUID=1A2B-3C4D  /boot/efi  vfat  umask=0077  0  2\nUUID=s  none  swap  sw  0  0\n"));
}

TEST_CASE("an interface is written in each program's own words") {
  InterfaceRule rule;
  rule.name = "eth0";
  rule.dhcp = false;
  rule.addresses = {"10.0.0.5/24", "fd00::5/64"};
  rule.gateway = "10.0.0.1";
  rule.dns = {"10.0.0.2"};
  rule.mtu = 9000;
  CHECK(networkd_text(rule).contains(
      "[Match]\nName=eth0\n\n[Link]\nMTUBytes=9000\n\n[Network]\nAddress=10.0.0.5/24\nAddress=fd00::5/64\nGateway=10.0.0.1\nDNS=10.0.0.2\n"));
  CHECK(
      ifupdown_text({rule}).contains("auto eth0\niface eth0 inet static\n  address 10.0.0.5/24\n  gateway 10.0.0.1\n  dns-nameservers 10.0.0.2\n  "
                                     "mtu 9000\niface eth0 inet6 static\n"));
  CHECK(netplan_text({rule}).contains("dhcp4: false"));
  CHECK(keyfile_text(rule, "signet-1").contains("[ipv4]\nmethod=manual\naddress1=10.0.0.5/24\ngateway=10.0.0.1\ndns=10.0.0.2;\n"));
}

TEST_CASE("accounts are replaced or added, never doubled") {
  CHECK(with_account("root:x:0:\nops:x:1:\n", "ops", "ops:x:2:") == "root:x:0:\nops:x:2:\n");
  CHECK(with_account("root:x:0:\n", "ops", "ops:x:2:") == "root:x:0:\nops:x:2:\n");
  CHECK(with_member("sudo:x:27:\nadm:x:4:a,b\n", "adm", "c") == "sudo:x:27:\nadm:x:4:a,b,c\n");
  CHECK(with_member("adm:x:4:a,b\n", "adm", "a") == "adm:x:4:a,b\n");
}

TEST_CASE("one setting changes and the rest of the file stays") {
  CHECK(with_setting("A=1\n# B=2\nB=3\n", "B", "4") == "A=1\n# B=2\nB=4\n");
  CHECK(with_setting("A=1\n", "B", "4") == "A=1\nB=4\n");
  CHECK(with_setting("", "B", "4") == "B=4\n");
}

TEST_CASE("no link in the image leads a write out of the target") {
  char name[] = "/tmp/signet-test-XXXXXX";
  const std::string scratch = ::mkdtemp(name);
  std::filesystem::create_directories(scratch + "/root/etc");
  REQUIRE(write_file(scratch + "/outside", "untouched"));
  REQUIRE(::symlink((scratch + "/outside").c_str(), (scratch + "/root/etc/hostname").c_str()) == 0);
  REQUIRE(::symlink("../../..", (scratch + "/root/etc/up").c_str()) == 0);
  const auto target = TargetRoot::open(scratch + "/root").value();
  [[maybe_unused]] const auto written = target.write("/etc/hostname", "changed");
  [[maybe_unused]] const auto climbed = target.write("/etc/up/outside", "changed");
  CHECK(read_file(scratch + "/outside") == "untouched");
  CHECK(read_file(scratch + "/root/outside") == "changed");
  CHECK(target.write("/etc/new/deep/file", "x"));
  CHECK(target.read("/etc/new/deep/file") == "x");
  std::filesystem::remove_all(scratch);
}
