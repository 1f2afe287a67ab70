// What must differ between two machines that come from one image: machine-id, SSH host keys, seeds, leases.
#include "base/uuid.h"
#include "configure/steps.h"

namespace signet {
namespace {

// Files that belong to one machine only. Each is made anew by whoever needs it, at the latest when the machine starts.
struct Leftover {
  const char* directory;
  std::string_view prefix, suffix;
};
constexpr Leftover leftovers[] = {
    {"/etc/ssh", "ssh_host_", ""},                         // sshd(8)
    {"/var/lib/systemd", "random-seed", ""},               // systemd-random-seed(8): one seed twice is no seed
    {"/var/lib/systemd", "credential.secret", ""},         // systemd-creds(1)
    {"/var/lib/urandom", "random-seed", ""},               // the same of System V init
    {"/var/lib/dhcp", "", ".leases"},                      // dhclient.leases(5)
    {"/var/lib/dhcpcd", "", ".lease"},                     // dhcpcd(8)
    {"/var/lib/dhcpcd", "duid", ""},                       // one DUID for two machines gives both one address (RFC 8415 §11)
    {"/var/lib/dhcpcd", "secret", ""},                     //
    {"/var/lib/NetworkManager", "", ".lease"},             // NetworkManager(8)
    {"/var/lib/NetworkManager", "secret_key", ""},         //
    {"/var/lib/NetworkManager", "seen-bssids", ""},        //
    {"/var/lib/NetworkManager", "timestamps", ""},         //
    {"/etc/udev/rules.d", "70-persistent-net.rules", ""},  // names bound to another machine's MAC addresses
    {"/etc/udev/rules.d", "70-persistent-cd.rules", ""},   //
    {"/etc/nvme", "hostid", ""},                           // nvme-gen-hostnqn(1)
    {"/etc/nvme", "hostnqn", ""},                          //
};

// machine-id(5): 32 hexadecimal digits, a random UUID of version 4.
std::string new_machine_id() {
  auto uuid = random_uuid();
  std::erase(uuid, '-');
  return uuid;
}

}  // namespace

Result<> forget_identity(const TargetRoot& target) {
  for (const auto& leftover : leftovers)
    for (const auto& name : target.list(leftover.directory))
      if (name.starts_with(leftover.prefix) && name.ends_with(leftover.suffix)) {
        const auto path = std::string(leftover.directory) + "/" + name;
        if (const auto status = target.status(path); status && !S_ISDIR(status->st_mode)) TRY(target.remove(path));
      }

  const auto id = new_machine_id() + "\n";
  if (target.status("/etc/machine-id") || target.exists("/usr/lib/systemd")) TRY(target.write("/etc/machine-id", id, 0444));
  // D-Bus's copy: a link where there is systemd, else a file of its own. The two must agree.
  if (target.status("/var/lib/dbus/machine-id")) TRY(target.write("/var/lib/dbus/machine-id", id, 0444));
  return {};
}

Result<> configure_identity(const TargetRoot& target, Report& report) {
  const auto keygen = target.find_tool("ssh-keygen");
  if (!keygen || !target.find_tool("sshd")) return {};
  report.log("making SSH host keys");
  return run_tool(target, {*keygen, "-A"}).transform_error([](Error error) { return std::move(error).within("SSH host keys"); });
}

}  // namespace signet
