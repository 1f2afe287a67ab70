#include <doctest/doctest.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#include <filesystem>

#include "base/fd.h"
#include "configure/boot_entry.h"
#include "configure/steps.h"
#include "configure/target_root.h"

using namespace signet;

namespace {

// A directory with a target in it, and a file beside the target that nothing may touch.
struct Scratch {
  Scratch() {
    char name[] = "/tmp/signet-test-XXXXXX";
    path = ::mkdtemp(name);
    std::filesystem::create_directories(path + "/root/etc");
    REQUIRE(write_file(path + "/outside", "untouched"));
  }
  ~Scratch() { std::filesystem::remove_all(path); }
  TargetRoot target() const { return TargetRoot::open(path + "/root").value(); }
  void file(const std::string& name, const std::string& text) const { REQUIRE(target().write(name, text)); }
  void link(const std::string& name, const std::string& text) const { REQUIRE(::symlink(text.c_str(), (path + "/root" + name).c_str()) == 0); }
  std::string path;
};

struct Formatted {
  FormatType format;
  const char* mount;
  const char* uuid;
};

Plan plan_of(std::initializer_list<Formatted> partitions) {
  Plan plan;
  auto& disk = plan.disks.emplace_back();
  for (const auto& [format, mount, uuid] : partitions) {
    auto& partition = disk.partitions.emplace_back();
    partition.format = format;
    partition.mount = mount;
    partition.uuid = uuid;
  }
  return plan;
}

}  // namespace

TEST_CASE("hosts gets the host's own line and keeps the others") {
  CHECK(hosts_text("127.0.0.1\tlocalhost\n::1\tlocalhost\n10.0.0.1 server\n", "node01") ==
        "127.0.0.1\tlocalhost\n127.0.1.1\tnode01\n::1\tlocalhost\n10.0.0.1 server\n");
  CHECK(hosts_text("127.0.0.1 localhost\n127.0.1.1 golden\n", "node01.example.org") == "127.0.0.1 localhost\n127.0.1.1\tnode01.example.org node01\n");
  CHECK(hosts_text("", "a") == "127.0.0.1\tlocalhost\n127.0.1.1\ta\n");
  const auto once = hosts_text("127.0.0.1\tlocalhost\n", "node01");
  CHECK(hosts_text(once, "node01") == once);
}

TEST_CASE("fstab names file systems by UUID") {
  const auto text = fstab_text(plan_of({{FormatType::vfat, "/boot/efi", "1A2B-3C4D"}, {FormatType::swap, "", "s"}, {FormatType::ext4, "/", "r"}}));
  CHECK(text.contains("UUID=r  /  ext4  errors=remount-ro  0  1\nUUID=1A2B-3C4D  /boot/efi  vfat  umask=0077  0  2\nUUID=s  none  swap  sw  0  0\n"));
}

TEST_CASE("fstab keeps what needs no disk of the golden machine") {
  const auto plan = plan_of({{FormatType::ext4, "/", "r"}, {FormatType::ext4, "/srv/my data", "d"}});
  constexpr auto golden =
      "# a comment\nUUID=old / ext4 defaults 0 1\n/dev/sda2 none swap sw 0 0\n/swapfile none swap sw 0 0\nLABEL=x /x xfs defaults 0 0\n"
      "server:/home\t/home  nfs  rw,soft 0 0\n/srv/a /srv/b none bind 0 0\ntmpfs /srv/my\\040data tmpfs size=1G 0 0\nbroken line\n";
  const auto text = fstab_text(plan, golden);
  CHECK(text.contains("UUID=d  /srv/my\\040data  ext4  defaults  0  2\n"));
  CHECK(text.ends_with("0  2\nserver:/home\t/home  nfs  rw,soft 0 0\n/srv/a /srv/b none bind 0 0\n"));
  CHECK(fstab_text(plan, text) == text);
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
  CHECK(netplan_text({rule}) ==
        "# Written by Signet. See netplan(5).\nnetwork:\n  version: 2\n  ethernets:\n    0signet0:\n      match:\n        name: \"eth0\"\n"
        "      dhcp4: false\n      dhcp6: false\n      addresses:\n        - \"10.0.0.5/24\"\n        - \"fd00::5/64\"\n      routes:\n"
        "        - to: default\n          via: \"10.0.0.1\"\n      nameservers:\n        addresses:\n          - \"10.0.0.2\"\n      mtu: 9000\n");
  CHECK(keyfile_text(rule, "signet-1").contains("[ipv4]\nmethod=manual\naddress1=10.0.0.5/24\ngateway=10.0.0.1\ndns=10.0.0.2;\n"));
}

TEST_CASE("a pattern means every link that fits it, a MAC address one") {
  InterfaceRule every;
  every.name = "en* eth*";
  CHECK(networkd_text(every).contains("[Match]\nName=en* eth*\n\n[Network]\nDHCP=yes\n"));
  CHECK(ifupdown_text({every}).contains("allow-hotplug /en*=signet0 /eth*=signet0\nauto /en*=signet0 /eth*=signet0\niface signet0 inet dhcp\n"));
  CHECK(keyfile_text(every, "signet-1").contains("multi-connect=3\n\n[ethernet]\n\n[match]\ninterface-name=en*;eth*;\n\n[ipv4]\nmethod=auto\n"));
  CHECK(netplan_text({every}).contains("name: \"en*\"\n      dhcp4: true\n"));
  CHECK(netplan_text({every}).contains("    0signet1:\n      match:\n        name: \"eth*\"\n"));

  InterfaceRule one;
  one.match_mac = "52:54:00:12:34:56";
  CHECK(networkd_text(one).contains("[Match]\nMACAddress=52:54:00:12:34:56\nType=ether\n"));
  CHECK(ifupdown_text({one}).contains("auto mac/52:54:00:12:34:56=signet0\niface signet0 inet dhcp\n"));
  CHECK(keyfile_text(one, "signet-1").contains("[ethernet]\nmac-address=52:54:00:12:34:56\n"));
  CHECK(netplan_text({one}).contains("macaddress: \"52:54:00:12:34:56\""));
  CHECK(resolv_text({"10.0.0.2", "fd00::2"}, "a.example.org") ==
        "# Written by Signet. See resolv.conf(5).\nsearch example.org\nnameserver 10.0.0.2\nnameserver fd00::2\n");
}

TEST_CASE("accounts are replaced or added, never doubled") {
  CHECK(with_account("root:x:0:\nops:x:1:\n", "ops", "ops:x:2:") == "root:x:0:\nops:x:2:\n");
  CHECK(with_account("root:x:0:\n", "ops", "ops:x:2:") == "root:x:0:\nops:x:2:\n");
  CHECK(with_member("sudo:x:27:\nadm:x:4:a,b\n", "adm", "c") == "sudo:x:27:\nadm:x:4:a,b,c\n");
  CHECK(with_member("adm:x:4:a,b\n", "adm", "a") == "adm:x:4:a,b\n");
}

TEST_CASE("one field of an account changes and the rest of the table stays") {
  constexpr auto shadow = "root:*:19000:0:99999:7:::\nops:!:1:2:3:4:5:6:7\n";
  CHECK(with_field(shadow, "root", 1, "$6$x") == "root:$6$x:19000:0:99999:7:::\nops:!:1:2:3:4:5:6:7\n");
  CHECK(with_field(shadow, "nobody", 1, "x") == shadow);
  CHECK(with_field("short\n", "short", 3, "x") == "short\n");
  CHECK(field_of(shadow, "ops", 8) == "7");
  CHECK(field_of(shadow, "ops", 9) == std::nullopt);
  CHECK(with_subordinate_ids("", "a") == "a:100000:65536\n");
  CHECK(with_subordinate_ids("a:100000:65536", "b") == "a:100000:65536\nb:165536:65536\n");
  CHECK(with_subordinate_ids("a:100000:65536\n", "a") == "a:100000:65536\n");
  CHECK(login_default("# UID_MIN 5\nUID_MINIMUM 7\nUID_MIN\t\t 500\n", "UID_MIN", 1000) == 500);
  CHECK(login_default("HOME_MODE\t0750\n", "HOME_MODE", 0700, 8) == 0750);
  CHECK(login_default("UID_MIN many\n", "UID_MIN", 1000) == 1000);
}

TEST_CASE("kernel arguments join those of the image") {
  CHECK(with_words("GRUB_TIMEOUT=1\nGRUB_CMDLINE_LINUX=\"net.ifnames=0\"\n", "GRUB_CMDLINE_LINUX", "console=ttyS0 quiet") ==
        "GRUB_TIMEOUT=1\nGRUB_CMDLINE_LINUX=\"net.ifnames=0 console=ttyS0 quiet\"\n");
  const auto once = with_words("", "A", "x y");
  CHECK(once == "A=\"x y\"\n");
  CHECK(with_words(once, "A", "y x") == once);
  CHECK(with_words("A='$x'\n", "A", "b") == "A=\"\\$x b\"\n");
  CHECK(with_words("A=plain\n", "A", "$(reboot) `id` \"") == "A=\"plain \\$(reboot) \\`id\\` \\\"\"\n");
  CHECK(with_words("A_B=\"1\"\n", "A", "x") == "A_B=\"1\"\nA=\"x\"\n");
}

TEST_CASE("one setting changes and the rest of the file stays") {
  CHECK(with_setting("A=1\n# B=2\nB=3\n", "B", "4") == "A=1\n# B=2\nB=4\n");
  CHECK(with_setting("A=1\n", "B", "4") == "A=1\nB=4\n");
  CHECK(with_setting("", "B", "4") == "B=4\n");
}

TEST_CASE("no link in the image leads a write out of the target") {
  const Scratch scratch;
  const auto target = scratch.target();
  scratch.link("/etc/absolute", scratch.path + "/outside");
  scratch.link("/etc/relative", "../../outside");
  scratch.link("/etc/up", "../../..");
  scratch.link("/etc/proc", "/proc/self/root");
  scratch.link("/etc/loop", "loop");
  for (const char* path : {"/etc/absolute", "/etc/relative", "/etc/up/outside"}) {
    CHECK(target.write(path, "changed"));
    CHECK(read_file(scratch.path + "/outside") == "untouched");
  }
  CHECK(read_file(scratch.path + "/root/outside") == "changed");
  CHECK(target.read_link("/etc/absolute") == scratch.path + "/outside");  // written through, not replaced
  CHECK_FALSE(target.write("/etc/proc/outside", "x"));
  CHECK_FALSE(target.write("/etc/loop", "x"));
  CHECK_FALSE(target.write("/etc/up", "x"));  // a directory
  CHECK(target.remove("/etc/absolute"));
  CHECK(target.remove("/etc/absolute"));
  CHECK(target.link("/etc/relative", "elsewhere"));
  CHECK(target.read_link("/etc/relative") == "elsewhere");
  CHECK(read_file(scratch.path + "/outside") == "untouched");
}

TEST_CASE("a write keeps owner and mode, makes directories, and leaves nothing beside the file") {
  const Scratch scratch;
  const auto target = scratch.target();
  scratch.file("/etc/shadow", "old");
  CHECK(target.set_mode("/etc/shadow", 0640));
  CHECK(target.write("/etc/shadow", "new", 0777));
  CHECK(target.read("/etc/shadow") == "new");
  CHECK((target.status("/etc/shadow")->st_mode & 07777) == 0640);
  const auto umask = ::umask(077);
  CHECK(target.write("/etc/new/deep/file", "x", 0644));
  ::umask(umask);
  CHECK((target.status("/etc/new/deep/file")->st_mode & 07777) == 0644);
  CHECK((target.status("/etc/new/deep")->st_mode & 07777) == 0755);
  CHECK(target.list("/etc/new/deep") == std::vector<std::string>{"file"});
}

TEST_CASE("what is no regular file is neither waited for nor written to") {
  const Scratch scratch;
  const auto target = scratch.target();
  REQUIRE(::mkfifo((scratch.path + "/root/etc/hosts").c_str(), 0644) == 0);
  scratch.link("/etc/hostname", "hosts");
  CHECK(target.read("/etc/hosts").error().message() == "/etc/hosts in the target is not a regular file");
  CHECK_FALSE(target.write("/etc/hostname", "x"));
  CHECK_FALSE(target.set_mode("/etc/hosts", 0600));
  CHECK_FALSE(target.read("/etc"));
  CHECK(configure_names(target, "node01").error().message().contains("not a regular file"));
  std::filesystem::create_directories(scratch.path + "/root/bin/tool");
  CHECK_FALSE(target.find_tool("tool"));  // a directory runs nothing
}

TEST_CASE("the network is written the way that the image brings it up") {
  struct Case {
    const char* tree;    // a file that makes the footprint
    const char* result;  // where the configuration goes
  };
  constexpr Case cases[] = {
      {"/usr/sbin/netplan", "/etc/netplan/90-signet.yaml"},
      {"/etc/systemd/system/multi-user.target.wants/NetworkManager.service", "/etc/NetworkManager/system-connections/signet-1.nmconnection"},
      {"/etc/systemd/system/multi-user.target.wants/systemd-networkd.service", "/etc/systemd/network/05-signet-1.network"},
      {"/usr/sbin/ifup", "/etc/network/interfaces"},
      {"/usr/lib/systemd/system/systemd-networkd.service", "/etc/systemd/network/05-signet-1.network"},
  };
  Report report;
  NetworkRule rule;
  rule.interfaces.resize(1);
  rule.interfaces[0].name = "eth0";
  rule.interfaces[0].dns = {"10.0.0.2"};
  // Each image has its own way and all that come after it: the first counts.
  for (std::size_t i = 0; i < std::size(cases); ++i) {
    const Scratch scratch;
    const auto target = scratch.target();
    for (std::size_t j = i; j < std::size(cases); ++j) {
      scratch.file(cases[j].tree, "");
      REQUIRE(target.set_mode(cases[j].tree, 0755));
    }
    CHECK(configure_network(target, rule, "node01", report));
    CHECK_MESSAGE(target.exists(cases[i].result), cases[i].tree);
    if (i + 1 < std::size(cases) && i != 2) CHECK_FALSE(target.exists(cases[i + 1].result));
    CHECK(target.exists("/etc/resolv.conf") == (i >= 2));  // the first two hand name servers on themselves
  }
  const Scratch scratch;
  CHECK_FALSE(configure_network(scratch.target(), rule, "node01", report));
  CHECK(configure_network(scratch.target(), {}, "node01", report));

  // Somebody keeps resolv.conf: it stays.
  scratch.file("/usr/sbin/ifup", "");
  REQUIRE(scratch.target().set_mode("/usr/sbin/ifup", 0755));
  scratch.link("/etc/resolv.conf", "../run/systemd/resolve/stub-resolv.conf");
  CHECK(configure_network(scratch.target(), rule, "node01", report));
  CHECK(scratch.target().read_link("/etc/resolv.conf") == "../run/systemd/resolve/stub-resolv.conf");
}

TEST_CASE("users that the image cannot have are refused in one message") {
  const Scratch scratch;
  const auto target = scratch.target();
  scratch.file("/etc/passwd", "root:x:0:0:root:/root:/bin/sh\n");
  scratch.file("/etc/group", "root:x:0:\nsudo:x:27:\n");
  scratch.file("/etc/shadow", "root:*:20000:0:99999:7:::\n");
  ConfigureRule rule;
  rule.users.resize(1);
  rule.users[0].name = "ops";
  rule.users[0].shell = "/bin/zsh";
  CHECK(configure_users(target, rule).error().message() == "user ops: the image has no /bin/zsh");
  rule.users[0].shell = "/bin/bash";
  CHECK(configure_users(target, rule).error().message() == "user ops: the image has no /bin/bash");
  scratch.file("/bin/sh", "");
  rule.users[0].groups = {"wheel"};
  CHECK(configure_users(target, rule).error().message() == "user ops: the image has no group `wheel`");
  rule.users[0].groups = {};
  CHECK(target.read("/etc/passwd") == "root:x:0:0:root:/root:/bin/sh\n");  // nothing was begun
  if (::getuid() != 0) return;                                             // homes get owners
  CHECK(configure_users(target, rule));
  CHECK(field_of(target.read("/etc/passwd").value(), "ops", 6) == "/bin/sh");
  rule.users[0].sudo = true;
  CHECK(configure_users(target, rule).error().message() == "user ops: the image has no sudo");
}

TEST_CASE("an image without a time zone or locale is told what it lacks") {
  const Scratch scratch;
  Report report;
  ConfigureRule rule;
  rule.timezone = "Europe/Atlantis";
  CHECK(configure_time_and_locale(scratch.target(), rule, report).error().message() ==
        "the image has no time zone `Europe/Atlantis` in /usr/share/zoneinfo");
  rule.timezone.clear();
  rule.locale = "xx_YY.UTF-8";
  CHECK(configure_time_and_locale(scratch.target(), rule, report).error().message().contains("neither the locale `xx_YY.UTF-8` nor locale-gen"));
  std::filesystem::create_directories(scratch.path + "/root/usr/lib/locale/xx_YY.utf8");
  CHECK(configure_time_and_locale(scratch.target(), rule, report));
  CHECK(scratch.target().read("/etc/locale.conf") == "LANG=xx_YY.UTF-8\n");
}

TEST_CASE("a boot entry is the bytes that UEFI wants") {
  const BootPartition partition{2, 0x800, 0x20000, "12345678-9abc-def0-1122-334455667788"};
  const auto option = load_option("Debian", partition, "/EFI/BOOT/BOOTX64.EFI").value();
  CHECK(option.size() == 6 + 14 + 42 + 4 + 2 * 22 + 4);
  CHECK(load_option_target(option).partition == "12345678-9abc-def0-1122-334455667788");
  CHECK(load_option_target(option).file == "/EFI/BOOT/BOOTX64.EFI");
  const auto node = option.begin() + 20;
  CHECK((node[0] == 4 && node[1] == 1 && node[2] == 42 && node[4] == 2));
  // The GUID's first three fields are little-endian.
  const Bytes guid(node + 24, node + 40);
  CHECK(guid == Bytes{0x78, 0x56, 0x34, 0x12, 0xbc, 0x9a, 0xf0, 0xde, 0x11, 0x22, 0x33, 0x44, 0x55, 0x66, 0x77, 0x88});
  CHECK_FALSE(load_option("x", {1, 1, 1, "not a guid"}, "/x"));
  const std::uint16_t order[] = {3, 1};
  CHECK(with_entry(order, 2, true) == std::vector<std::uint16_t>{2, 3, 1});
  CHECK(with_entry(order, 1, true) == std::vector<std::uint16_t>{1, 3});
  CHECK(with_entry(order, 2, false) == std::vector<std::uint16_t>{3, 1, 2});
  CHECK(with_entry(order, 1, false) == std::vector<std::uint16_t>{3, 1});
}
