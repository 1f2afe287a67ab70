#include "agent/ssh_server.h"

#include <signal.h>
#include <sys/stat.h>
#include <unistd.h>

#include <format>

#include "agent/lookup.h"
#include "agent/tools.h"
#include "agent/trusted_tree.h"
#include "base/fd.h"
#include "base/process.h"
#include "base/text.h"
#include "profile/values.h"

namespace signet {
namespace {

// A key's middle part begins with its type's length and name in base64 (RFC 4253 §6.6), so the type need not be said.
struct KeyType {
  std::string_view name, blob;
};
constexpr KeyType key_types[] = {
    {"ssh-ed25519", "AAAAC3NzaC1lZDI1NTE5"},
    {"ssh-rsa", "AAAAB3NzaC1yc2E"},
    {"ecdsa-sha2-nistp256", "AAAAE2VjZHNhLXNoYTItbmlzdHAyNTY"},
    {"ecdsa-sha2-nistp384", "AAAAE2VjZHNhLXNoYTItbmlzdHAzODQ"},
    {"ecdsa-sha2-nistp521", "AAAAE2VjZHNhLXNoYTItbmlzdHA1MjE"},
    {"sk-ssh-ed25519@openssh.com", "AAAAGnNrLXNzaC1lZDI1NTE5QG9wZW5zc2guY29t"},
    {"sk-ecdsa-sha2-nistp256@openssh.com", "AAAAInNrLWVjZHNhLXNoYTItbmlzdHAyNTZAb3BlbnNzaC5jb20"},
};

// Lines for authorized_keys.
Result<std::string> key_lines(Context& context, const std::string& keys) {
  if (keys.empty() || keys == "1")
    return std::unexpected(Error(ErrorKind::invalid, "signet.sshd names no key")
                               .advise("write signet.sshd=KEY: the AAAA… part of a .pub file, or a URI or path on the server of a file of keys"));
  if (keys.starts_with("AAAA") && !keys.contains(' ')) {
    for (const auto& [name, blob] : key_types)
      if (keys.starts_with(blob)) return std::format("{} {}", name, keys);
    return fail(ErrorKind::invalid, "signet.sshd: {}… is no SSH key of a type that is known here", printable(keys.substr(0, 24)));
  }
  if (keys.contains(' ')) return keys;
  if (!keys.contains("://") && !context.identity.server) return fail(ErrorKind::invalid, "signet.sshd: no server is known to fetch {} from", keys);
  const auto uri = TRY_WITHIN(keys.contains("://") ? parse_uri(keys) : resolve_uri(*context.identity.server, keys), "signet.sshd");
  return TRY_WITHIN(fetch_file(context, uri, {Purpose::keys}, with_retries(context)), "signet.sshd");
}

Result<> check_keys(std::string_view lines) {
  unsigned keys = 0;
  for (const auto line : split(lines, '\n')) {
    if (trim(line).empty() || trim(line).starts_with('#')) continue;
    TRY_WITHIN(check_ssh_key(trim(line)), "signet.sshd");
    ++keys;
  }
  return keys > 0 ? Result<>() : fail(ErrorKind::invalid, "signet.sshd: there is no key in what it names");
}

bool is_running(const std::string& pid_file) {
  const auto text = read_file(pid_file);
  const auto pid = text ? parse_unsigned(trim(*text)) : std::nullopt;
  return pid && *pid > 1 && ::kill(static_cast<pid_t>(*pid), 0) == 0;
}

}  // namespace

Result<> may_log_in(const Context& context, const Setting& said) {
  if (context.machine.shells_allowed()) return {};
  const bool packed = said.source == "signet.sshd" || said.source == "local.cfg of the initrd";
  const bool literal = said.value.starts_with("AAAA") || said.value.starts_with("ssh-") || said.value.starts_with("ecdsa-");
  if (packed && (literal || !context.trust.empty())) return {};
  return std::unexpected(Error(ErrorKind::refused, std::format("{}: no SSH server: signet.shell=no allows only packed keys", said.source))
                             .advise("put the key into the initrd or on its signed command line: signet media … --local-cfg FILE"));
}

Result<> start_ssh_server(Context& context, const std::string& keys) {
  const auto pid_file = context.state_file("sshd.pid"), host_key = context.state_file("sshd.key");
  if (is_running(pid_file)) return {};
  const auto lines = TRY(key_lines(context, keys));
  TRY(check_keys(lines));
  const auto server = TRY(provide_tool(context, "dropbear"));
  const auto directory = server.substr(0, server.rfind('/'));
  // One file, which is what its name says.
  for (const auto& link : {directory + "/dropbearkey", std::string("/usr/bin/scp")}) {
    ::unlink(link.c_str());
    if (::symlink(server.c_str(), link.c_str()) != 0) return fail_errno("make {}", link);
  }
  if (::mkdir("/root/.ssh", 0700) != 0 && errno != EEXIST) return fail_errno("make /root/.ssh");
  TRY(write_file("/root/.ssh/authorized_keys", lines + "\n", 0600));
  if (::access(host_key.c_str(), F_OK) != 0) TRY(run_checked({.arguments = {directory + "/dropbearkey", "-t", "ed25519", "-f", host_key}}));
  const auto shown = TRY(run_checked({.arguments = {directory + "/dropbearkey", "-y", "-f", host_key}}));
  std::string fingerprint = "unknown";
  for (const auto line : split(shown.output, '\n'))
    if (line.starts_with("Fingerprint: ")) fingerprint = line.substr(line.find(' ') + 1);
  // It goes into the background by itself; nothing of ours may stay open in it.
  TRY(run_checked({.arguments = {"sh", "-c", "exec \"$0\" -E -r \"$1\" -P \"$2\" </dev/null >\"$3\" 2>&1", server, host_key, pid_file,
                                 context.state_file("sshd.log")}}));
  context.report.log("ssh root@{} gets a shell here; host key {}", context.identity.address.empty() ? "…" : context.identity.address, fingerprint);
  return {};
}

}  // namespace signet
