// What a node fetches, and what it trusts (docs/trust.md).
//
// Without keys a file is used as the server sends it. With keys it is used only if the signed manifest of the server's tree lists it, for this
// purpose and for this host, and its bytes are those that the manifest means. All refusals are of kind verification: none of them is "not there",
// which would make a lookup go on.
#pragma once

#include <initializer_list>

#include "agent/context.h"

namespace signet {

/// The context's options for fetching, with a report of every new attempt.
FetchOptions with_retries(Context& context);

/// Gathers the keys that this node trusts: those packed into the initrd (/etc/signet/trust.pem) and no others; where none are packed, --trust,
/// signet.trust and local.cfg's `trust` (a file, or the PEM text itself). An error if one of them cannot be read, so that a mistyped name does not
/// mean that anything goes. A manifest that was loaded before is forgotten.
Result<> load_trust(Context& context);

/// The least serial that this initrd was made for; 0 if it says nothing.
std::uint64_t packed_manifest_serial();

/// The names that a manifest's `hosts` may mean this node by: host name with domain and without, UUID, 01-MAC.
std::vector<std::string> names_of(const Identity& identity);

/// The text at `uri` for one of `purposes`.
Result<std::string> fetch_file(Context& context, const Uri& uri, std::initializer_list<Purpose> purposes, const FetchOptions& options,
                               std::size_t limit = 4 << 20);

/// False only where keys are trusted and the manifest does not list `path` ("hosts/default.toml"), so there is no need to ask for it.
Result<bool> may_exist(Context& context, const Uri& server, std::string_view path);

struct ImageStatement {
  std::string sha256;                 // empty: nothing is known
  std::optional<std::uint64_t> size;  // bytes
};

/// What the image at `uri` must be: what the manifest says, or where no keys are trusted the digest `given` (by profile or flag), which may be empty,
/// and the `size` that the server or the plan says. An error if the manifest and either of them differ.
Result<ImageStatement> image_statement(Context& context, const Uri& uri, const std::string& given, std::optional<std::uint64_t> size);

/// The path of `uri` in the trusted tree; refused if it is outside.
Result<std::string> path_in_tree(const Uri& tree, const Uri& uri);

}  // namespace signet
