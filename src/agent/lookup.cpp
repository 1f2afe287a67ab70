#include "agent/lookup.h"

#include <unistd.h>

#include <format>

#include "base/text.h"

namespace signet {
namespace {

FetchOptions with_retries(Context& context) {
  FetchOptions options = context.fetch;
  options.on_retry = [&context](std::string_view why) { context.report.log(why); };
  return options;
}

Result<Profile> parse(Context& context, std::string_view text, const Uri& uri) {
  const auto load = [&](const Uri& extended) { return fetch_text(extended, with_retries(context)); };
  auto profile = parse_profile(text, uri, load);
  if (!profile) return std::unexpected(to_error(profile.error()));
  return std::move(*profile);
}

bool is_script(std::string_view name) { return name.ends_with(".sh"); }

Result<> accept(Context& context, const Uri& uri, std::string text) {
  if (is_script(uri.path)) {
    context.script_name = uri.display();
    context.script = std::move(text);
    return {};
  }
  context.profile = TRY(parse(context, text, uri));
  return {};
}

}  // namespace

void name_from_hosts_file(Context& context) {
  auto& identity = context.identity;
  if (!identity.host_name.empty() || !identity.server) return;
  const auto uri = resolve_uri(*identity.server, "hosts/hosts");
  const auto text = uri ? fetch_text(*uri, with_retries(context)) : Result<std::string>(std::unexpected(uri.error()));
  if (!text) return;
  for (const auto line : split(*text, '\n')) {
    const auto words = split(trim(line.substr(0, line.find('#'))), ' ');
    std::vector<std::string> fields;
    for (const auto word : words)
      if (!trim(word).empty()) fields.emplace_back(to_lower(trim(word)));
    if (fields.size() < 2 || (fields[0] != identity.mac && fields[0] != identity.address)) continue;
    identity.host_name = fields[1];
    identity.host_name_source = "hosts/hosts";
    return;
  }
}

Result<Profile> read_profile(Context& context, const Uri& uri) {
  const auto text = TRY_WITHIN(fetch_text(uri, with_retries(context)), "profile");
  return parse(context, text, uri);
}

Result<> find_profile(Context& context) {
  std::string wanted = context.settings.profile;
  if (wanted.empty()) wanted = context.machine.command_line.signet("profile").value_or("");
  if (!wanted.empty()) {
    Uri uri;
    if (wanted.contains("://")) {
      uri = TRY(parse_uri(wanted));
    } else {
      char here[4096];
      if (!wanted.starts_with('/') && ::getcwd(here, sizeof here)) wanted = std::string(here) + "/" + wanted;
      uri = TRY(parse_uri(wanted));
    }
    auto text = TRY_WITHIN(fetch_text(uri, with_retries(context)), "profile");
    context.report.log("profile {}", uri.display());
    return accept(context, uri, std::move(text));
  }

  const auto& identity = context.identity;
  if (!identity.server)
    return std::unexpected(
        Error(ErrorKind::network, "no server is known: signet.server is not set, and the lease has neither option 224 nor a next-server")
            .advise("add signet.server=http://SERVER/signet/ to the kernel command line, or set DHCP option 224"));
  const auto candidates = lookup_candidates(identity);
  for (const auto& name : candidates) {
    for (const char* suffix : {".toml", ".sh"}) {
      const auto uri = TRY(resolve_uri(*identity.server, "hosts/" + name + suffix));
      auto text = fetch_text(uri, with_retries(context));
      if (!text && text.error().kind() == ErrorKind::not_found) continue;
      if (!text) {
        auto error = std::move(text).error().within("look up the profile");
        // A certificate that does not fit needs other advice than a server that is not there.
        if (error.kind() != ErrorKind::network) return std::unexpected(std::move(error));
        return std::unexpected(std::move(error).advise(std::format("check that a server runs at {} (known by {}) and that this network reaches it",
                                                                   identity.server->display(), identity.server_source)));
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
      hooks.push_back({uri.display(), TRY_WITHIN(fetch_text(uri, with_retries(context)), kind)});
    }
    return {};
  };
  TRY(fetch_all(context.profile.hooks.pre_install, context.pre_install, "pre_install hook"));
  return fetch_all(context.profile.hooks.post_install, context.post_install, "post_install hook");
}

}  // namespace signet
