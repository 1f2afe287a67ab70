// `signet key` and `signet tree`: keys of a site, and the signed manifest of its tree (docs/trust.md). Keys and signatures are those of openssl:
// P-256, PEM; ECDSA over SHA-256, DER.
#pragma once

#include <cstdint>
#include <map>
#include <string>
#include <string_view>
#include <vector>

#include "base/result.h"

namespace signet {

/// Makes a key pair: `path` (PEM, 0600) and `path`.pub (PEM). Neither may exist.
Result<> make_key(const std::string& path);

/// ECDSA over SHA-256 by the private key of a PEM text, as `openssl dgst -sha256 -sign` makes it. `source` names the key in errors.
Result<std::string> sign_text(std::string_view text, std::string_view pem, std::string_view source);

/// The public key (PEM) of a private one.
Result<std::string> public_key_of(std::string_view pem, std::string_view source);

struct TreeRequest {
  std::string directory = ".";
  std::string key;                    // sign: the private key's file
  std::string trust;                  // verify: public keys; sign: others than the key's own that may have signed the last manifest
  std::uint64_t valid = 90 * 86'400;  // sign: seconds until it expires
  std::vector<std::string> hosts;     // sign: "PATH=NODES", NODES parted by blanks; an empty NODES means all
};

/// Hashes every file of the tree that a node may fetch, and writes manifest.toml.sig and manifest.toml, each by rename. `hosts` of the last manifest
/// are kept where none are given anew. Prints what has changed since the last one. A last manifest that the same key has not signed is an error: what
/// is taken over from it would be signed unseen.
Result<> sign_tree(const TreeRequest& request);

/// Checks signature, date, and every file of the manifest, and names files that it does not list. Everything that is wrong is told at once.
Result<> verify_tree(const TreeRequest& request);

/// `signet key …` and `signet tree …`, with arguments[0] being "key" or "tree".
Result<> key_verb(int count, char** arguments);
Result<> tree_verb(int count, char** arguments);

/// "90d", "12h", "2w", "1y": seconds.
Result<std::uint64_t> parse_validity(std::string_view text);

}  // namespace signet
