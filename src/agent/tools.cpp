#include "agent/tools.h"

#include <sys/stat.h>
#include <unistd.h>

#include <format>

#include "agent/lookup.h"
#include "agent/trusted_tree.h"
#include "base/digest.h"
#include "base/fd.h"
#include "base/text.h"
#include "machine/medium.h"

namespace signet {
namespace {

constexpr const char* known_tools = "/etc/signet/tools.sha256";
constexpr std::size_t largest_tool = 64 << 20;

// sha256sum(1): "DIGEST  NAME" a line.
Result<std::string> digest_of(std::string_view name) {
  const auto list = TRY_WITHIN(read_file(known_tools), "tools of this initrd");
  std::string names;
  for (const auto line : split(list, '\n')) {
    const auto gap = line.find("  ");
    if (gap == std::string_view::npos) continue;
    const auto known = line.substr(gap + 2);
    if (known == name) return TRY_WITHIN(parse_sha256(line.substr(0, gap)), known_tools);
    names.append(names.empty() ? "" : " ").append(known);
  }
  return std::unexpected(Error(ErrorKind::not_found, std::format("this initrd knows no tool `{}`", printable(name)))
                             .advise(names.empty() ? "it knows none" : "it knows: " + names));
}

}  // namespace

Result<std::string> provide_tool(Context& context, std::string_view name) {
  const auto directory = context.state_file("tools");
  auto path = directory + "/" + std::string(name);
  const auto wanted = TRY(digest_of(name));
  if (const auto have = sha256_file(path); have && *have == wanted) return path;

  const auto keep = [&](const std::string& program, const std::string& from) -> Result<std::string> {
    if (const auto digest = sha256_text(program); digest != wanted)
      return std::unexpected(Error(ErrorKind::verification, std::format("{}: its SHA-256 is {}, but this initrd wants {}", from, digest, wanted))
                                 .advise("put the boot/tools/ of the build that this initrd comes from there"));
    if (::mkdir(directory.c_str(), 0755) != 0 && errno != EEXIST) return fail_errno("make {}", directory);
    TRY(write_file(path, program, 0755));
    context.report.log("{} from {}", name, from);
    return path;
  };
  const auto file = "boot/tools/" + std::string(name);
  if (const auto found = read_from_medium(file, largest_tool); found && *found) {
    auto kept = keep(**found, "the boot medium");
    // An older stick is no reason to go without, if the server has the right one.
    if (kept || !context.identity.server) return kept;
    context.report.log("{}", kept.error().message());
  }
  if (!context.identity.server)
    return std::unexpected(Error(ErrorKind::not_found, std::format("{} is not on a boot medium, and no server is known to fetch it from", name))
                               .advise("set signet.server, or boot from a medium that `signet media` made"));
  const auto uri = TRY(resolve_uri(*context.identity.server, file));
  const auto program = fetch_file(context, uri, {Purpose::tool}, with_retries(context), largest_tool);
  if (!program)
    return std::unexpected(Error(program.error().kind(), std::format("tool {}: {}", name, program.error().message()))
                               .advise("copy the boot/tools/ of this build (build/out, or what `signet media pxe` made) to the server"));
  return keep(*program, uri.display());
}

}  // namespace signet
