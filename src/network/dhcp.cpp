// The race for a lease: every link that has a carrier asks, the first answer wins.
#include <signal.h>
#include <unistd.h>

#include <algorithm>
#include <format>
#include <map>
#include <thread>

#include "base/fd.h"
#include "base/process.h"
#include "base/stop.h"
#include "base/text.h"
#include "network/links.h"
#include "network/network.h"

namespace signet {
namespace {

using Clock = std::chrono::steady_clock;
using std::chrono::milliseconds;
using std::chrono::seconds;

constexpr auto poll_interval = milliseconds(20);
constexpr auto boot_link_first = seconds(15);  // how long the others leave the first word to the link that BOOTIF names
constexpr auto dhcp_first = seconds(5);        // how long an IPv6 address waits for a DHCP server to answer

// What one link has done so far.
struct Attempt {
  std::optional<Child> client, client6;
  Clock::time_point carrier_since;
  std::optional<Clock::time_point> ipv6_since;
  bool broken = false;  // it cannot be brought up
};

std::string lease_file(const NetworkOptions& options, const std::string& interface, bool ipv6) {
  return std::format("{}/lease{}.{}", options.state, ipv6 ? "6" : "", interface);
}

Result<Child> start_client(const std::string& interface, const std::string& state, bool ipv6) {
  const char* program = ipv6 ? "udhcpc6" : "udhcpc";
  const auto pid_file = std::format("{}/{}.{}.pid", state, program, interface);
  // One that an earlier attempt has left would renew a lease beside ours.
  if (const auto earlier = read_file(pid_file))
    if (const auto pid = parse_unsigned(trim(*earlier));
        pid && *pid > 1 && read_file(std::format("/proc/{}/comm", *pid)) == program + std::string("\n"))
      ::kill(static_cast<pid_t>(*pid), SIGTERM);
  // Four requests a second apart, a pause of two seconds, and again, for as long as it takes: a switch port may need 40 s to forward (IEEE 802.1D).
  std::vector<std::string> arguments = {program, "-f", "-i", interface, "-t", "4", "-T", "1", "-A", "2", "-p", pid_file};
  if (!ipv6) {
    arguments.insert(arguments.end(), {"-V", "signet"});
    for (const char* option : {"hostname", "domain", "mtu", "ntpsrv", "tftp", "bootfile", "140", "141", "142", "143", "144", "209", "210", "224"})
      arguments.insert(arguments.end(), {"-O", option});
  } else {
    arguments.insert(arguments.end(), {"-s", "/usr/share/udhcpc/default.script", "-O", "bootfile_url"});
  }
  return Child::start({.arguments = std::move(arguments), .environment = {"SIGNET_STATE=" + state}});
}

class Race {
 public:
  Race(const NetworkOptions& options, Report& report) : options_(options), report_(report) {}

  Result<Lease> run() {
    deadline_ = started_ + options_.time_limit;
    auto next_news = started_ + seconds(1);
    [[maybe_unused]] const auto loopback = set_link_up("lo");
    for (;;) {
      TRY(check_stop());
      for (auto& link : TRY(links())) {
        if (!is_up(link)) continue;
        if (auto lease = TRY(step(link))) {
          merge_rule(*lease);
          if (auto set = set_mtu(*lease); !set) report_.log("{}; going on without", set.error().message());
          TRY_WITHIN(configure_link(*lease), "configure " + link.name);
          auto& winner = attempts_[link.name];
          if (winner.client && !lease->ipv6) winner.client->release();
          if (winner.client6 && lease->ipv6 && !lease->variables.empty()) winner.client6->release();
          return *lease;
        }
      }
      const auto now = Clock::now();
      if (now >= deadline_) return give_up(now);
      if (now >= next_news) {
        report_.progress(0, std::nullopt, "waiting for a lease: " + waiting_text(now));
        next_news = now + seconds(1);
      }
      std::this_thread::sleep_for(poll_interval);
    }
  }

 private:
  // The links that may bring a lease. A bond or VLAN whose links are not all there yet is waited for.
  Result<std::vector<Link>> links() {
    seen_.clear();
    if (!options_.bonds.empty() || !options_.vlans.empty()) {
      auto top = make_virtual_links(options_);
      if (!top && top.error().kind() != ErrorKind::not_found) return std::unexpected(std::move(top).error());
      missing_ = top ? "" : top.error().message();
      if (top)
        for (const auto& name : *top) seen_.push_back(describe_link(name));
    } else {
      seen_ = scan_links();
    }
    if (!options_.only_interface.empty()) std::erase_if(seen_, [&](const Link& link) { return link.name != options_.only_interface; });
    return seen_;
  }

  // A card that does not come up, as for want of firmware, is no reason to give up the others.
  bool is_up(const Link& link) {
    auto& attempt = attempts_[link.name];
    if (attempt.broken) return false;
    auto up = set_link_up(link.name);
    if (!up) report_.log("{}; this card is left out", up.error().message());
    attempt.broken = !up;
    return up.has_value();
  }

  bool may_ask(const Link& link) const {
    if (options_.boot_mac.empty() || link.mac == options_.boot_mac || Clock::now() - started_ >= boot_link_first) return true;
    return std::ranges::none_of(seen_, [&](const Link& each) { return each.mac == options_.boot_mac; });
  }

  Result<std::optional<Lease>> step(const Link& link) {
    auto& attempt = attempts_[link.name];
    if (!link.carrier || !may_ask(link)) return std::optional<Lease>();
    if (attempt.carrier_since == Clock::time_point()) attempt.carrier_since = Clock::now();
    const auto autoconf = options_.address.autoconf;
    if (autoconf == Autoconf::none) {
      auto lease = options_.address.fixed;
      lease.interface = link.name;
      lease.origin = "ip=";
      lease.ipv6 = lease.address.contains(':');
      return std::optional(std::move(lease));
    }
    if (autoconf != Autoconf::ipv6) {
      TRY(keep_asking(link, attempt.client, false));
      if (auto lease = lease_of(link, attempt.client, false)) return lease;
    }
    if (autoconf != Autoconf::dhcp4) return step_ipv6(link, attempt);
    return std::optional<Lease>();
  }

  Result<std::optional<Lease>> step_ipv6(const Link& link, Attempt& attempt) {
    const auto now = Clock::now();
    TRY(keep_asking(link, attempt.client6, true));
    auto lease = lease_of(link, attempt.client6, true);
    const bool leased = lease.has_value();
    if (!lease) lease = autoconfigured_address(link.name);
    if (!lease) return lease;
    if (!attempt.ipv6_since) attempt.ipv6_since = now;
    // DHCPv6 may yet tell a name server, and DHCP everything.
    const bool only_ipv6 = options_.address.autoconf == Autoconf::ipv6;
    const auto patience = only_ipv6 && leased ? seconds(0) : dhcp_first;
    if (now - *attempt.ipv6_since < patience) return std::optional<Lease>();
    return lease;
  }

  Result<> keep_asking(const Link& link, std::optional<Child>& client, bool ipv6) {
    if (client && client->running()) return {};
    const bool first = !client;
    ::unlink(lease_file(options_, link.name, ipv6).c_str());
    client = TRY(start_client(link.name, options_.state, ipv6));  // the first, or another for one that died
    if (first && !ipv6)
      report_.log("{} ({}, {}): link is up, asking for a lease", link.name, link.mac, link.driver.empty() ? "virtual" : link.driver);
    return {};
  }

  std::optional<Lease> lease_of(const Link& link, const std::optional<Child>& client, bool ipv6) {
    const auto path = lease_file(options_, link.name, ipv6);
    const auto text = read_file(path);
    if (!text || !client) return std::nullopt;
    auto lease = parse_lease(*text, link.name);
    if (lease) return std::move(*lease);
    report_.log("{}; asking again", lease.error().message());
    ::unlink(path.c_str());
    return std::nullopt;
  }

  // What ip= says wins over what the lease says.
  void merge_rule(Lease& lease) const {
    const auto& fixed = options_.address.fixed;
    if (!fixed.host_name.empty()) lease.host_name = fixed.host_name;
    if (!fixed.next_server.empty()) lease.next_server = fixed.next_server;
    if (!fixed.dns.empty()) lease.dns = fixed.dns;
    if (!fixed.ntp.empty()) lease.ntp = fixed.ntp;
  }

  std::string waiting_text(Clock::time_point now) const {
    std::string text = missing_;
    for (const auto& link : seen_) {
      if (!text.empty()) text += "; ";
      const auto attempt = attempts_.find(link.name);
      if (attempt != attempts_.end() && attempt->second.broken)
        text += std::format("{} ({}): does not come up", link.name, link.mac);
      else if (attempt == attempts_.end() || !link.carrier)
        text += std::format("{} ({}): no carrier", link.name, link.mac);
      else if (attempt->second.carrier_since == Clock::time_point())
        text += std::format("{} ({}): leaves the first word to {}", link.name, link.mac, options_.boot_mac);
      else
        text += std::format("{} ({}): asking for {} s", link.name, link.mac,
                            std::chrono::duration_cast<seconds>(now - attempt->second.carrier_since).count());
    }
    if (!text.empty()) return text;
    return options_.only_interface.empty() ? "no network interface found"
                                           : std::format("there is no interface {}", printable(options_.only_interface));
  }

  std::unexpected<Error> give_up(Clock::time_point now) const {
    return std::unexpected(
        Error(ErrorKind::network, std::format("no DHCP lease after {} s: {}", options_.time_limit.count(), waiting_text(now)))
            .advise("check the cable, the switch port and the DHCP server, or give an address by ip=; docs/booting.md has the cards "
                    "that each kernel drives"));
  }

  const NetworkOptions& options_;
  Report& report_;
  Clock::time_point started_ = Clock::now(), deadline_;
  std::map<std::string, Attempt> attempts_;
  std::vector<Link> seen_;
  std::string missing_;
};

}  // namespace

Result<Lease> acquire_lease(const NetworkOptions& options, Report& report) { return Race(options, report).run(); }

}  // namespace signet
