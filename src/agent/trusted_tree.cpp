#include "agent/trusted_tree.h"

#include <unistd.h>

#include <algorithm>
#include <array>
#include <ctime>
#include <format>

#include "base/date_time.h"
#include "base/fd.h"
#include "base/text.h"

namespace signet {
namespace {

constexpr const char* packed_keys = "/etc/signet/trust.pem";
constexpr const char* packed_serial = "/etc/signet/trust.serial";
constexpr const char* seen_serial = "trust.serial";  // in the state directory

std::unexpected<Error> refused(std::string message, std::string advice) {
  return std::unexpected(Error(ErrorKind::verification, std::move(message)).advise(std::move(advice)));
}

std::uint64_t serial_in(const std::string& file) {
  const auto text = read_file(file, 64);
  return text ? parse_unsigned(trim(*text)).value_or(0) : 0;
}

// Where the tree is: at the server, or around the first of its directories that a path names.
Uri tree_of(const Context& context, const Uri& uri) {
  if (context.identity.server) return *context.identity.server;
  Uri tree = uri;
  tree.query.clear();
  auto cut = std::string::npos;
  for (const auto* directory : {"/hosts/", "/groups/", "/components/", "/scripts/", "/hooks/", "/images/", "/keys/", "/boot/tools/"})
    if (const auto at = uri.path.rfind(directory); at != std::string::npos && (cut == std::string::npos || at > cut)) cut = at;
  tree.path = cut == std::string::npos ? tree.path.substr(0, tree.path.rfind('/') + 1) : tree.path.substr(0, cut + 1);
  return tree;
}

Result<> load_manifest(Context& context, const Uri& wanted) {
  if (context.manifest) return {};
  const auto tree = tree_of(context, wanted);
  const auto options = with_retries(context);
  const auto fetch = [&](std::string_view name, std::size_t limit) -> Result<std::string> {
    const auto uri = TRY(resolve_uri(tree, name));
    auto text = fetch_text(uri, options, limit);
    if (text || text.error().kind() != ErrorKind::not_found) return text;
    return refused(std::format("{} is not signed: there is no {}", tree.display(), uri.display()),
                   "this node has trusted keys, so it uses only what a signed manifest lists: run `signet tree sign` on the tree");
  };
  const auto text = TRY(fetch(manifest_name, largest_manifest));
  const auto signature = TRY(fetch(std::string(manifest_name) + ".sig", largest_manifest_signature));
  const auto name = TRY(resolve_uri(tree, manifest_name));
  const auto seen = context.state_file(seen_serial);
  const ManifestRules rules{.least_serial = std::max(packed_manifest_serial(), serial_in(seen)), .now = std::time(nullptr)};
  auto manifest = TRY(open_manifest(text, signature, context.trust, rules, name.display()));
  context.report.log("manifest {}: {} files, valid until {}", manifest.serial, manifest.files.size(), date_time_text(manifest.expires));
  if (manifest.serial > rules.least_serial) TRY(write_file(seen, std::to_string(manifest.serial) + "\n"));
  context.manifest = std::move(manifest);
  context.tree = tree;
  return {};
}

struct Listed {
  std::string path;
  ListedFile file;
};

Result<Listed> look_up(Context& context, const Uri& uri, std::span<const Purpose> purposes) {
  TRY(load_manifest(context, uri));
  auto path = TRY(path_in_tree(*context.tree, uri));
  const auto names = names_of(context.identity);
  const auto* file = TRY(find_listed(*context.manifest, path, purposes, names));
  return Listed{std::move(path), *file};
}

}  // namespace

std::uint64_t packed_manifest_serial() { return on_node() ? serial_in(packed_serial) : 0; }

FetchOptions with_retries(Context& context) {
  FetchOptions options = context.fetch;
  options.on_retry = [&context](std::string_view why) { context.report.log(why); };
  return options;
}

Result<> load_trust(Context& context) {
  context.trust = {};
  context.manifest.reset();
  context.tree.reset();
  const auto& named = context.settings.trust;
  if (named && named->empty()) return fail(ErrorKind::usage, "--trust is empty: name a file of public keys");
  const auto said = context.machine.setting("trust");
  if (said && said->value.empty())
    return std::unexpected(Error(ErrorKind::usage, said->source + ": `trust` is empty").advise("name a file of public keys, or remove the setting"));
  if (on_node() && ::access(packed_keys, F_OK) == 0) {
    if (named)
      return std::unexpected(Error(ErrorKind::usage, "--trust: this initrd has keys of its own, and no other source can add any")
                                 .advise("make the medium again with `signet media … --trust FILE`"));
    if (said) context.report.log("{} is ignored: this initrd has keys of its own, and no other source can add any", said->source);
    const auto pem = TRY_WITHIN(read_file(packed_keys), "trusted keys");
    return context.trust.add(pem, packed_keys);
  }
  const auto add = [&](const std::string& value, const std::string& source) -> Result<> {
    if (value.contains("-----BEGIN")) return context.trust.add(value, source);
    const auto pem = TRY_WITHIN(read_file(value), source);
    return context.trust.add(pem, value);
  };
  if (named) TRY(add(*named, "--trust"));
  if (said) TRY(add(said->value, said->source));
  return {};
}

std::vector<std::string> names_of(const Identity& identity) {
  std::vector<std::string> names;
  const auto add = [&](std::string name) {
    if (!name.empty() && std::ranges::find(names, name) == names.end()) names.push_back(std::move(name));
  };
  add(identity.full_name());
  add(identity.host_name);
  add(identity.host_name.substr(0, identity.host_name.find('.')));
  add(identity.uuid);
  if (!identity.mac.empty()) {
    auto dashed = "01-" + identity.mac;
    std::ranges::replace(dashed, ':', '-');
    add(std::move(dashed));
  }
  return names;
}

Result<std::string> path_in_tree(const Uri& tree, const Uri& uri) {
  const auto root = tree.file_path(), path = uri.file_path();
  if (uri.scheme == tree.scheme && uri.authority == tree.authority && uri.query.empty() && path.starts_with(root) && path.size() > root.size())
    return path.substr(root.size());
  return refused(std::format("{} is outside of the signed tree {}", uri.display(), tree.display()),
                 "put the file into the server's tree and sign it again; where keys are trusted, nothing else is used");
}

Result<std::string> fetch_file(Context& context, const Uri& uri, std::initializer_list<Purpose> purposes, const FetchOptions& options,
                               std::size_t limit) {
  if (context.trust.empty()) return fetch_text(uri, options, limit);
  const auto [path, file] = TRY(look_up(context, uri, purposes));
  if (file.size > limit) return refused(std::format("{} has {} bytes; at most {} are possible here", path, file.size, limit), "make it smaller");
  auto text = fetch_text(uri, options, static_cast<std::size_t>(file.size) + 1);
  constexpr const char* sign_again = "sign the tree again after every change, and publish files and manifest together";
  if (!text && text.error().kind() == ErrorKind::not_found)
    return refused(std::format("{}: the signed manifest lists it, but the server does not have it", uri.display()), sign_again);
  const bool too_long = !text && text.error().kind() == ErrorKind::invalid;
  if (!text && !too_long) return text;
  if (too_long || sha256_text(*text) != file.sha256)
    return refused(std::format("{}: it is not the file that the signed manifest lists", uri.display()), sign_again);
  return text;
}

Result<bool> may_exist(Context& context, const Uri& server, std::string_view path) {
  if (context.trust.empty()) return true;
  TRY(load_manifest(context, server));
  return context.manifest->files.contains(path);
}

Result<ImageStatement> image_statement(Context& context, const Uri& uri, const std::string& given, std::optional<std::uint64_t> size) {
  if (context.trust.empty()) {
    if (given.empty()) context.report.log("the profile has no image.sha256: the image will not be verified");
    return ImageStatement{given, size};
  }
  constexpr std::array image = {Purpose::image};
  const auto [path, file] = TRY_WITHIN(look_up(context, uri, image), "image");
  if (!given.empty() && given != file.sha256)
    return refused(std::format("image {}: the signed manifest has the SHA-256 {}, but the profile says {}", path, file.sha256, given),
                   "correct image.sha256 or remove it from the profile, and sign the tree again");
  if (size && *size != file.size)
    return refused(std::format("image {}: the signed manifest says {} bytes, but the server has {}", path, file.size, *size),
                   "put the right image there, or sign the tree again");
  return ImageStatement{file.sha256, file.size};
}

}  // namespace signet
