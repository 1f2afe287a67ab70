// The signed manifest of a server's tree: which files a node may use, and what each must be. docs/trust.md has the format and what it is good for.
//
// Where keys are trusted, a node uses nothing that it fetches but by this list. No byte of a manifest is parsed before its signature is verified.
#pragma once

#include <cstdint>
#include <map>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "base/result.h"
#include "fetch/signature.h"

namespace signet {

inline constexpr std::string_view manifest_name = "manifest.toml";
inline constexpr std::size_t largest_manifest = 16 << 20, largest_manifest_signature = 1024;  // bytes

/// What a node may use a file for. It follows from the path, so a file cannot be served for another purpose.
enum class Purpose {
  profile,  // hosts/*.toml
  script,   // hosts/*.sh: a host script
  names,    // hosts/hosts
  part,     // groups/, components/: *.toml, which profiles extend
  hook,     // scripts/, hooks/, and what else components/ has
  image,    // images/
  keys,     // keys/: lists of SSH keys
  tool,     // boot/tools/
};

/// "a host profile", "a hook", …
std::string_view to_string(Purpose purpose);
/// The purpose of a path in the tree; nothing for what no node fetches by the manifest.
std::optional<Purpose> purpose_of(std::string_view path);

struct ListedFile {
  std::string sha256;              // lower case
  std::uint64_t size = 0;          // bytes
  std::vector<std::string> hosts;  // node patterns (base/node_set.h) that it is for; empty: all

  bool operator==(const ListedFile&) const = default;
};

struct Manifest {
  std::uint64_t serial = 0;                              // grows with every signature
  std::int64_t expires = 0;                              // seconds since 1970
  std::map<std::string, ListedFile, std::less<>> files;  // by path in the tree: "hosts/default.toml"
};

/// Reads the text of a manifest, one file per line. Every deviation is an error of kind invalid with the line's number.
Result<Manifest> parse_manifest(std::string_view text);
std::string to_toml(const Manifest& manifest);

/// Relative, normal, without control characters, quotes and backslashes: fit for a manifest.
bool is_manifest_path(std::string_view path);

struct ManifestRules {
  std::uint64_t least_serial = 0;  // an older manifest is a replay
  std::int64_t now = 0;            // seconds since 1970
};

/// Verifies `signature`, and only then parses `text` and checks serial and date. `name` is for messages. All refusals are of kind verification.
Result<Manifest> open_manifest(std::string_view text, std::string_view signature, const TrustedKeys& keys, const ManifestRules& rules,
                               std::string_view name);

/// Finds a file that may be used for one of `purposes` (the first is named in messages) by a node that has `names` (its name, UUID, 01-MAC).
/// Refusals, all of kind verification: not listed, another purpose, for other hosts.
Result<const ListedFile*> find_listed(const Manifest& manifest, std::string_view path, std::span<const Purpose> purposes,
                                      std::span<const std::string> names);

}  // namespace signet
