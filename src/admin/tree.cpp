// The manifest of a tree: made, compared with the last one, checked.
#include <dirent.h>
#include <sys/stat.h>

#include <algorithm>
#include <cstdio>
#include <ctime>
#include <filesystem>
#include <format>

#include "admin/keys.h"
#include "base/date_time.h"
#include "base/fd.h"
#include "base/node_set.h"
#include "base/size.h"
#include "base/text.h"
#include "fetch/fetch.h"
#include "fetch/manifest.h"

namespace signet {
namespace {

namespace fs = std::filesystem;

// Files of the tree that nodes fetch by the manifest, and the number of those that they do not.
struct Found {
  std::map<std::string, ListedFile, std::less<>> files;
  std::vector<std::string> others;
};

Result<Found> walk(const std::string& directory) {
  Found found;
  std::error_code error;
  if (!fs::is_directory(directory, error)) return fail(ErrorKind::not_found, "{} is not a directory", printable(directory));
  std::vector<std::string> paths;
  for (auto at = fs::recursive_directory_iterator(directory, fs::directory_options::follow_directory_symlink, error);
       !error && at != fs::recursive_directory_iterator(); at.increment(error))
    if (std::error_code dangling; at->is_regular_file(dangling)) paths.push_back(at->path().lexically_relative(directory).string());
  if (error) return fail(ErrorKind::io, "read {}: {}", directory, error.message());
  std::ranges::sort(paths);
  for (auto& path : paths) {
    if (path == manifest_name || path == std::string(manifest_name) + ".sig") continue;
    const bool temporary = path.contains("/.") || path.starts_with('.') || path.ends_with('~');
    if (temporary || !purpose_of(path)) {
      found.others.push_back(std::move(path));
      continue;
    }
    if (!is_manifest_path(path))
      return std::unexpected(Error(ErrorKind::invalid, std::format("{}: this name cannot be listed", printable(path)))
                                 .advise("rename it without quotes, backslashes and control characters; it must be UTF-8"));
    const auto full = directory + "/" + path;
    struct stat status{};
    if (::stat(full.c_str(), &status) != 0) return fail_errno("{}", full);
    found.files[path] = {.sha256 = TRY(sha256_file(full)), .size = static_cast<std::uint64_t>(status.st_size), .hosts = {}};
  }
  return found;
}

// "hosts/db.toml=db[1-4] db9", to the nodes of a path.
Result<> set_hosts(Found& found, const std::string& text) {
  const auto equals = text.find('=');
  const auto wrong = [&](std::string_view why) {
    return std::unexpected(Error(ErrorKind::usage, std::format("--hosts {}: {}", printable(text), why))
                               .advise("write PATH=NODES, such as --hosts 'hosts/db.toml=db[1-4] 01-52-54-00-12-34-56'; PATH= means all hosts"));
  };
  if (equals == std::string::npos) return wrong("`=` is missing");
  const auto at = found.files.find(text.substr(0, equals));
  if (at == found.files.end()) return wrong("there is no such file in the tree");
  at->second.hosts.clear();
  for (const auto node : split(std::string_view(text).substr(equals + 1), ' ')) {
    if (node.empty()) continue;
    if (const auto checked = check_node_pattern(node); !checked) return wrong(checked.error().message());
    at->second.hosts.emplace_back(node);
  }
  return {};
}

// What is in the one and not in the other, as lines for a person; true if nothing is.
bool print_changes(const Manifest& before, const Manifest& after) {
  bool same = true;
  const auto say = [&](char sign, const std::string& path) {
    std::printf("%c %s\n", sign, path.c_str());
    same = false;
  };
  for (const auto& [path, file] : after.files) {
    const auto at = before.files.find(path);
    if (at == before.files.end())
      say('+', path);
    else if (at->second != file)
      say('~', path);
  }
  for (const auto& [path, file] : before.files)
    if (!after.files.contains(path)) say('-', path);
  return same;
}

// The manifest that is there, if this key has signed it: its `hosts` and serial are taken over, and what has changed is told by it.
Result<Manifest> last_manifest(const std::string& path, std::string_view key, const TreeRequest& request) {
  const auto text = read_file(path, largest_manifest);
  if (!text && text.error().kind() == ErrorKind::not_found) return Manifest();
  if (!text) return std::unexpected(text.error());
  const auto opened = [&]() -> Result<Manifest> {
    TrustedKeys keys;
    const auto own = TRY(public_key_of(key, request.key));
    TRY(keys.add(own, request.key));
    if (!request.trust.empty()) {
      const auto others = TRY_WITHIN(read_file(request.trust, 1 << 20), "--trust");
      TRY_WITHIN(keys.add(others, request.trust), "--trust");
    }
    const auto signature = TRY(read_file(path + ".sig", largest_manifest_signature));
    TRY(keys.verify(*text, signature, path));
    return parse_manifest(*text);
  }();
  if (opened) return opened;
  return std::unexpected(
      Error(ErrorKind::verification, std::format("{}: the last manifest cannot be trusted: {}", path, opened.error().message()))
          .advise("find out who changed it. If another key of yours has signed it, name that with --trust; else look at every file, "
                  "remove the manifest, and sign again with --hosts for each file that is for some hosts only"));
}

}  // namespace

Result<std::uint64_t> parse_validity(std::string_view text) {
  constexpr std::pair<char, std::uint64_t> units[] = {{'h', 3600}, {'d', 86'400}, {'w', 7 * 86'400}, {'y', 365 * 86'400}};
  constexpr std::uint64_t longest = 50 * 365 * 86'400ULL;
  if (!text.empty())
    for (const auto& [unit, seconds] : units)
      if (const auto count = parse_unsigned(text.substr(0, text.size() - 1));
          count && text.back() == unit && *count > 0 && *count <= longest / seconds)
        return *count * seconds;
  return fail(ErrorKind::invalid, "`{}` is not a time such as 12h, 90d, 8w or 1y (at most 50y)", printable(text));
}

Result<> sign_tree(const TreeRequest& request) {
  if (request.key.empty())
    return std::unexpected(Error(ErrorKind::usage, "--key is missing").advise("name the private key that `signet key new` made"));
  const auto path = request.directory + "/" + std::string(manifest_name);
  const auto pem = TRY_WITHIN(read_file(request.key, 64 << 10), "--key");
  TRY(sign_text("", pem, request.key));  // a wrong key is told before hours of hashing
  auto found = TRY(walk(request.directory));
  if (found.files.empty())
    return std::unexpected(Error(ErrorKind::invalid, std::format("{} has nothing that a node could fetch", request.directory))
                               .advise("name the directory that has hosts/, groups/ and images/ in it"));
  const auto before = TRY(last_manifest(path, pem, request));
  for (auto& [name, file] : found.files)
    if (const auto at = before.files.find(name); at != before.files.end()) file.hosts = at->second.hosts;
  for (const auto& text : request.hosts) TRY(set_hosts(found, text));

  const auto now = std::time(nullptr);
  Manifest manifest;
  constexpr std::uint64_t largest_serial = UINT64_MAX >> 1;
  if (before.serial >= largest_serial) return fail(ErrorKind::invalid, "{}: its serial {} leaves none for the next", path, before.serial);
  manifest.serial = std::max(before.serial + 1, static_cast<std::uint64_t>(now));
  manifest.expires = now + static_cast<std::int64_t>(request.valid);
  manifest.files = std::move(found.files);
  const auto text = to_toml(manifest);
  if (text.size() > largest_manifest)
    return fail(ErrorKind::unsupported, "the manifest would have {}; 16 MiB are possible", format_size(text.size()));
  const auto signature = TRY(sign_text(text, pem, request.key));
  // Between the two a node sees a signature that does not fit, refuses, and may be started again.
  TRY(write_file(path + ".sig", signature));
  TRY(write_file(path, text));
  if (print_changes(before, manifest)) std::printf("no file has changed\n");
  for (const auto& other : found.others) std::printf("  %s is not listed: no node fetches it by the manifest\n", printable(other).c_str());
  std::printf("%s: %zu files, serial %llu, valid until %s\n", path.c_str(), manifest.files.size(), static_cast<unsigned long long>(manifest.serial),
              date_time_text(manifest.expires).c_str());
  return {};
}

Result<> verify_tree(const TreeRequest& request) {
  if (request.trust.empty()) return std::unexpected(Error(ErrorKind::usage, "--trust is missing").advise("name a file of public keys (PEM)"));
  TrustedKeys keys;
  const auto pem = TRY_WITHIN(read_file(request.trust, 1 << 20), "--trust");
  TRY_WITHIN(keys.add(pem, request.trust), "--trust");
  const auto path = request.directory + "/" + std::string(manifest_name);
  const auto advice = "make it with `signet tree sign`";
  auto text = read_file(path, largest_manifest);
  if (!text) return std::unexpected(std::move(text).error().advise(advice));
  auto signature = read_file(path + ".sig", largest_manifest_signature);
  if (!signature) return std::unexpected(std::move(signature).error().advise(advice));
  const auto manifest = TRY(open_manifest(*text, *signature, keys, {.least_serial = 0, .now = std::time(nullptr)}, path));

  const auto found = TRY(walk(request.directory));
  std::string wrong;
  const auto complain = [&](const std::string& name, std::string_view why) { wrong += std::format("{}{} {}", wrong.empty() ? "" : "\n", name, why); };
  for (const auto& [name, file] : manifest.files) {
    const auto at = found.files.find(name);
    if (at == found.files.end())
      complain(name, "is listed but not there");
    else if (at->second.sha256 != file.sha256 || at->second.size != file.size)
      complain(name, "is not the file that was signed");
  }
  for (const auto& [name, file] : found.files)
    if (!manifest.files.contains(name)) complain(name, "is not listed");
  if (!wrong.empty())
    return std::unexpected(Error(ErrorKind::verification, wrong).advise("sign the tree again if these changes are meant: `signet tree sign`"));
  std::printf("%s: %zu files, serial %llu, valid until %s: verified\n", path.c_str(), manifest.files.size(),
              static_cast<unsigned long long>(manifest.serial), date_time_text(manifest.expires).c_str());
  return {};
}

}  // namespace signet
