// URIs by RFC 3986, as far as an installer meets them: http, https, tftp, file, and references relative to a profile.
#pragma once

#include <string>
#include <string_view>

#include "base/result.h"

namespace signet {

struct Uri {
  std::string scheme;     // lower case: "http", "https", "tftp", "file"
  std::string authority;  // "10.0.2.2:8080"; empty for file
  std::string path;       // starts with '/'; still percent-encoded
  std::string query;      // without '?'

  std::string text() const;
  /// The authority without user and port: a name, an IPv4 address, or an IPv6 address without brackets.
  std::string host() const;
  /// The path of a file: URI, percent-decoded.
  std::string file_path() const;
  /// The text without a password that it may carry (`user:…@host`), fit for consoles and logs.
  std::string display() const;

  bool operator==(const Uri&) const = default;
};

/// An absolute URI, or an absolute path (taken as file:). Fails with ErrorKind::invalid on unknown schemes, spaces, control characters.
Result<Uri> parse_uri(std::string_view text);

/// A reference ("../images/debian.tar.zst", "/images/x", "https://…") seen from base (RFC 3986 §5.2): dot segments are removed, base's last
/// segment is dropped. An absolute path keeps base's scheme and authority.
Result<Uri> resolve_uri(const Uri& base, std::string_view reference);

}  // namespace signet
