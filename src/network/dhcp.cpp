#include <arpa/inet.h>
#include <net/if.h>
#include <signal.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <unistd.h>

#include <algorithm>
#include <cstring>
#include <format>
#include <map>
#include <thread>

#include "base/fd.h"
#include "base/process.h"
#include "base/text.h"
#include "network/network.h"

namespace signet {
namespace {

using Clock = std::chrono::steady_clock;
using std::chrono::milliseconds;

constexpr auto poll_interval = milliseconds(20);
constexpr auto tool_limit = std::chrono::seconds(10);

Result<> set_up(const std::string& interface) {
  const Fd socket(::socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0));
  if (!socket) return fail_errno("open a socket");
  ifreq request{};
  std::strncpy(request.ifr_name, interface.c_str(), IFNAMSIZ - 1);
  if (::ioctl(socket.get(), SIOCGIFFLAGS, &request) != 0) return fail_errno("read the flags of {}", interface);
  if (request.ifr_flags & IFF_UP) return {};
  request.ifr_flags = static_cast<short>(request.ifr_flags | IFF_UP);
  if (::ioctl(socket.get(), SIOCSIFFLAGS, &request) != 0) return fail_errno("set {} up", interface);
  return {};
}

Result<> ip(std::vector<std::string> arguments) {
  arguments.insert(arguments.begin(), "ip");
  TRY(run_checked({.arguments = std::move(arguments), .time_limit = tool_limit}));
  return {};
}

Result<> configure_interface(const Lease& lease) {
  const auto& interface = lease.interface;
  TRY(ip({"addr", "flush", "dev", interface}));
  if (const auto mtu = lease.variables.find("mtu"); mtu != lease.variables.end())
    if (const auto bytes = parse_unsigned(mtu->second); bytes && *bytes >= 576 && *bytes <= 65535)
      TRY(ip({"link", "set", interface, "mtu", mtu->second}));
  TRY(ip({"addr", "add", std::format("{}/{}", lease.address, lease.prefix), "dev", interface}));
  if (!lease.routers.empty()) {
    const auto& router = lease.routers.front();
    // A router outside the subnet (a /32 from a cloud) is reached over the link itself.
    if (!ip({"route", "add", "default", "via", router, "dev", interface})) {
      TRY(ip({"route", "add", router + "/32", "dev", interface}));
      TRY(ip({"route", "add", "default", "via", router, "dev", interface}));
    }
  }
  if (lease.dns.empty()) return {};
  std::string resolv = "options timeout:2 attempts:2\n";
  if (!lease.domain.empty()) resolv += "search " + lease.domain + "\n";
  for (const auto& server : lease.dns) resolv += "nameserver " + server + "\n";
  return write_file("/etc/resolv.conf", resolv);
}

// One link on its way to a lease.
struct Attempt {
  std::optional<Child> client;
  Clock::time_point carrier_since;
};

Result<Child> start_client(const std::string& interface, const std::string& state) {
  // Four requests a second apart, a pause of two seconds, and again, for as long as it takes: a switch port may need 40 s to forward (IEEE 802.1D).
  std::vector<std::string> arguments = {"udhcpc", "-f", "-i", interface, "-t", "4", "-T", "1", "-A", "2", "-V", "signet"};
  const auto pid_file = std::format("{}/udhcpc.{}.pid", state, interface);
  // One that an earlier attempt has left would renew a lease beside ours.
  if (const auto earlier = read_file(pid_file))
    if (const auto pid = parse_unsigned(trim(*earlier)); pid && *pid > 1 && read_file(std::format("/proc/{}/comm", *pid)) == "udhcpc\n")
      ::kill(static_cast<pid_t>(*pid), SIGTERM);
  arguments.insert(arguments.end(), {"-p", pid_file});
  for (const char* option : {"hostname", "domain", "mtu", "ntpsrv", "224"}) arguments.insert(arguments.end(), {"-O", option});
  return Child::start({.arguments = std::move(arguments), .environment = {"SIGNET_STATE=" + state}});
}

std::string waiting_text(const std::vector<Link>& links, const std::map<std::string, Attempt>& attempts, Clock::time_point now) {
  if (links.empty()) return "no network interface found";
  std::string text;
  for (const auto& link : links) {
    if (!text.empty()) text += "; ";
    const auto attempt = attempts.find(link.name);
    if (attempt == attempts.end() || !link.carrier)
      text += std::format("{} ({}): no carrier", link.name, link.mac);
    else
      text += std::format("{} ({}): asking for {} s", link.name, link.mac,
                          std::chrono::duration_cast<std::chrono::seconds>(now - attempt->second.carrier_since).count());
  }
  return text;
}

}  // namespace

Result<Lease> acquire_lease(const NetworkOptions& options, Report& report) {
  const auto started = Clock::now();
  const auto deadline = started + options.time_limit;
  std::map<std::string, Attempt> attempts;
  auto next_news = started + std::chrono::seconds(1);
  [[maybe_unused]] const auto loopback = set_up("lo");

  for (;;) {
    auto links = scan_links();
    if (!options.only_interface.empty()) std::erase_if(links, [&](const Link& link) { return link.name != options.only_interface; });
    for (const auto& link : links) {
      TRY(set_up(link.name));
      auto& attempt = attempts[link.name];
      if (link.carrier && !attempt.client) {
        ::unlink(std::format("{}/lease.{}", options.state, link.name).c_str());
        attempt.carrier_since = Clock::now();
        attempt.client = TRY(start_client(link.name, options.state));
        report.log("{} ({}, {}): link is up, asking for a lease", link.name, link.mac, link.driver);
      } else if (attempt.client && !attempt.client->running()) {
        attempt.client.reset();  // it died; the next round starts another
      }
      const auto text = read_file(std::format("{}/lease.{}", options.state, link.name));
      if (!text || !attempt.client) continue;
      auto lease = parse_lease(*text, link.name);
      if (!lease) {
        report.log("{}", lease.error().message());
        ::unlink(std::format("{}/lease.{}", options.state, link.name).c_str());
        continue;
      }
      TRY_WITHIN(configure_interface(*lease), "configure " + link.name);
      attempt.client->release();
      return lease;
    }

    const auto now = Clock::now();
    if (now >= deadline) {
      auto where = waiting_text(links, attempts, now);
      return std::unexpected(Error(ErrorKind::network, std::format("no DHCP lease after {} s: {}", options.time_limit.count(), where))
                                 .advise("check the cable, the switch port and the DHCP server; this kernel drives virtio, e1000 and e1000e cards"));
    }
    if (now >= next_news) {
      report.progress(0, std::nullopt, "waiting for a lease: " + waiting_text(links, attempts, now));
      next_news = now + std::chrono::seconds(1);
    }
    std::this_thread::sleep_for(poll_interval);
  }
}

}  // namespace signet
