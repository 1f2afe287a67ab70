// URIs by RFC 3986, as far as an installer meets them: http, https, tftp, file, and references relative to a profile.
//
// A URI may carry secrets: user and password, and tokens in its query. Whatever is printed of it hides them: display(), std::format and
// hide_secrets(). Only secret_text() gives the whole, for what connects to the server and for files that only root can read.
#pragma once

#include <format>
#include <string>
#include <string_view>

#include "base/result.h"

namespace signet {

struct Uri {
  std::string scheme;     // lower case: "http", "https", "tftp", "file"
  std::string authority;  // host and port, "10.0.2.2:8080"; empty for file
  std::string path;       // starts with '/'; still percent-encoded
  std::string query;      // without '?'; may be a secret
  std::string user_info;  // "user:password", without '@'; a secret

  /// All of it, as it was written. Not for messages, events or files that others can read.
  std::string secret_text() const;
  /// What may be printed: no user, no password, "?token=…" for a query. The path of a file: URI.
  std::string display() const;
  /// The authority without port: a name, an IPv4 address, or an IPv6 address without brackets.
  std::string host() const;
  /// The path of a file: URI, percent-decoded.
  std::string file_path() const;

  bool operator==(const Uri&) const = default;
};

/// An absolute URI, or an absolute path (taken as file:). Fails with ErrorKind::invalid on unknown schemes, spaces, control characters, and on an
/// '@' in user or password that is not written as %40. Its errors hide what may be secret.
Result<Uri> parse_uri(std::string_view text);

/// A reference ("../images/debian.tar.zst", "/images/x", "https://…") seen from base (RFC 3986 §5.2): dot segments are removed, base's last
/// segment is dropped. An absolute path keeps base's scheme and authority. What came from a server may not name a local file: refused.
Result<Uri> resolve_uri(const Uri& base, std::string_view reference);

/// A message with the secrets of every URI in it ("scheme://…", up to a blank, quote or angle bracket) hidden, as display() hides them.
std::string hide_secrets(std::string_view message);

}  // namespace signet

/// A Uri prints as display() has it.
template <>
struct std::formatter<signet::Uri> : std::formatter<std::string_view> {
  auto format(const signet::Uri& uri, std::format_context& context) const { return std::formatter<std::string_view>::format(uri.display(), context); }
};
