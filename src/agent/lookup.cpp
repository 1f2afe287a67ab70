#include "agent/lookup.h"

#include <unistd.h>

#include <algorithm>
#include <format>
#include <thread>

#include "agent/trusted_tree.h"
#include "base/fd.h"
#include "base/text.h"

namespace signet {
namespace {

// Who asks, for servers that make the answer when they are asked: as ROCKS and Red Hat's installers have always sent it, and in plain words.
FetchOptions with_identity(Context& context) {
  auto options = with_retries(context);
  const auto& identity = context.identity;
  for (std::size_t i = 0; i < identity.macs.size(); ++i) options.headers.push_back(std::format("X-RHN-Provisioning-MAC-{}: {}", i, identity.macs[i]));
  options.headers.push_back(std::format("X-Signet-Architecture: {}", SIGNET_ARCHITECTURE));
  options.headers.push_back(std::format("X-Signet-CPUs: {}", std::thread::hardware_concurrency()));
  if (!identity.host_name.empty()) options.headers.push_back("X-Signet-Host: " + identity.host_name);
  if (!identity.uuid.empty()) options.headers.push_back("X-Signet-UUID: " + identity.uuid);
  return options;
}

Result<Profile> parse(Context& context, std::string_view text, const Uri& uri) {
  const auto load = [&](const Uri& extended) { return fetch_file(context, extended, {Purpose::part, Purpose::profile}, with_retries(context)); };
  auto profile = parse_profile(text, uri, load);
  if (!profile) return std::unexpected(to_error(profile.error()));
  return std::move(*profile);
}

// What a program on the server answers is told by its first line.
bool is_script(const Uri& uri, std::string_view text) {
  return uri.path.ends_with(".sh") || (!uri.path.ends_with(".toml") && text.starts_with("#!"));
}

// Whoever answers DHCP must not give this node another host's profile, signed as that is.
Result<> check_own(Context& context, const Uri& uri) {
  const auto& identity = context.identity;
  if (context.trust.empty() || !identity.profile_source.starts_with("DHCP")) return {};
  const auto refuse = [&](const std::string& path) {
    return std::unexpected(Error(ErrorKind::verification, std::format("{} is not this host's profile; {} names it", path, identity.profile_source))
                               .advise("where keys are trusted, DHCP may name only the file that the lookup finds, too; or set signet.profile"));
  };
  if (!identity.server) return refuse(uri.display());
  const auto path = TRY(path_in_tree(*identity.server, uri));
  for (const auto& name : lookup_candidates(identity))
    for (const char* suffix : {".toml", ".sh"})
      if (const auto own = "hosts/" + name + suffix; TRY(may_exist(context, *identity.server, own)))
        return own == path ? Result<>() : Result<>(refuse(path));
  return refuse(path);
}

Result<> accept(Context& context, const Uri& uri, std::string text) {
  if (is_script(uri, text)) {
    context.script_name = uri.display();
    context.script = std::move(text);
    return {};
  }
  context.profile = TRY(parse(context, text, uri));
  context.profile_name = uri.display();
  return {};
}

}  // namespace

Result<> name_from_hosts_file(Context& context) {
  auto& identity = context.identity;
  if (!identity.host_name.empty() || !identity.server) return {};
  identity.clues.push_back({"host", "hosts/hosts", "", false});
  if (!TRY(may_exist(context, *identity.server, "hosts/hosts"))) return {};
  const auto uri = TRY(resolve_uri(*identity.server, "hosts/hosts"));
  const auto text = fetch_file(context, uri, {Purpose::names}, with_retries(context));
  // A list that somebody holds back must not make another node of this one.
  if (!text && !context.trust.empty()) return std::unexpected(text.error());
  if (!text) return {};
  const auto name = name_in_hosts(*text, identity.mac, identity.address);
  if (!name) {
    identity.clues.back() = {.wanted = "host", .source = "hosts/hosts", .value = name.error().message(), .skipped = true};
    return {};
  }
  if (!*name) return {};
  identity.host_name = (*name)->text();
  identity.host_name_source = "hosts/hosts";
  identity.clues.back() = {"host", "hosts/hosts", identity.host_name, true};
  return {};
}

Result<Profile> read_profile(Context& context, const Uri& uri) {
  const auto text = TRY_WITHIN(fetch_file(context, uri, {Purpose::profile}, with_retries(context)), "profile");
  return parse(context, text, uri);
}

Result<> find_profile(Context& context) {
  auto& identity = context.identity;
  const auto take = [&](const Uri& uri) -> Result<> {
    auto text = TRY_WITHIN(fetch_file(context, uri, {Purpose::profile, Purpose::script}, with_identity(context)), "profile");
    context.report.log("profile {}", uri.display());
    return accept(context, uri, std::move(text));
  };
  if (auto wanted = context.settings.profile; !wanted.empty()) {
    char here[4096];
    if (!wanted.contains("://") && !wanted.starts_with('/') && ::getcwd(here, sizeof here)) wanted = std::string(here) + "/" + wanted;
    return take(TRY(parse_uri(wanted)));
  }
  if (identity.profile) {
    TRY(check_own(context, *identity.profile));
    return take(*identity.profile);
  }

  if (!identity.server)
    return std::unexpected(
        Error(ErrorKind::network, "no server is known: signet.server is not set, and the lease has neither option 224 nor a next-server")
            .advise("add signet.server=http://SERVER/signet/ to the kernel command line, or set DHCP option 224"));
  const auto candidates = lookup_candidates(identity);
  const auto unreachable = [&](Error error) {
    return std::move(error)
        .within("look up the profile")
        .advise(std::format("check that a server runs at {} (known by {}) and that this network reaches it", identity.server->display(),
                            identity.server_source));
  };
  for (const auto& name : candidates) {
    for (const char* suffix : {".toml", ".sh"}) {
      const auto path = "hosts/" + name + suffix;
      const auto listed = may_exist(context, *identity.server, path);
      if (!listed) return std::unexpected(listed.error().kind() == ErrorKind::network ? unreachable(listed.error()) : listed.error());
      if (!*listed) {
        identity.clues.push_back({"profile", path, "", false});
        continue;
      }
      const auto uri = TRY(resolve_uri(*identity.server, path));
      auto text = fetch_file(context, uri, {Purpose::profile, Purpose::script}, with_identity(context));
      const bool missing = !text && text.error().kind() == ErrorKind::not_found;
      identity.clues.push_back({"profile", "hosts/" + name + suffix, missing ? "" : text ? "found" : text.error().message(), text.has_value()});
      if (missing) continue;
      if (!text) {
        // A certificate that does not fit needs other advice than a server that is not there.
        return std::unexpected(text.error().kind() == ErrorKind::network ? unreachable(text.error())
                                                                         : std::move(text).error().within("look up the profile"));
      }
      context.report.log("profile {}", uri.display());
      return accept(context, uri, std::move(*text));
    }
  }
  return std::unexpected(Error(ErrorKind::not_found, std::format("no profile for this host on {}: tried hosts/ {} (each as .toml and .sh)",
                                                                 identity.server->display(), join(candidates, ", ")))
                             .advise("put hosts/default.toml, or a file by one of those names, on the server"));
}

Result<> fetch_hooks(Context& context) {
  const auto fetch_all = [&](const std::vector<std::string>& sources, std::vector<Hook>& hooks, const char* kind) -> Result<> {
    hooks.clear();
    for (const auto& source : sources) {
      const auto uri = TRY(parse_uri(source));
      hooks.push_back({uri.display(), TRY_WITHIN(fetch_file(context, uri, {Purpose::hook}, with_retries(context)), kind)});
    }
    return {};
  };
  TRY(fetch_all(context.profile.hooks.pre_install, context.pre_install, "pre_install hook"));
  return fetch_all(context.profile.hooks.post_install, context.post_install, "post_install hook");
}

}  // namespace signet
