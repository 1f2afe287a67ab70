// A host's name as RFC 952 and RFC 1123 §2.1 allow it: one or more labels of letters, digits and hyphens.
//
// Every name goes through this type, wherever it comes from (kernel command line, DHCP, DNS, files, a disk's mark). So a name is safe in a path, a
// URL, a header, a shell word and hosts(5): it holds nothing but [a-z0-9.-].
#pragma once

#include <string>
#include <string_view>

#include "base/result.h"

namespace signet {

class HostName {
 public:
  /// "Node01.Example.org." gives node01.example.org: lower case, without the dot that ends an absolute name. Labels have 1 to 63 characters, the
  /// whole at most 253; an IPv4 address is refused. The error, of kind invalid, says what is wrong with the text.
  static Result<HostName> parse(std::string_view text);

  const std::string& text() const { return text_; }
  /// The part before the first dot.
  std::string_view label() const { return std::string_view(text_).substr(0, text_.find('.')); }
  bool operator==(const HostName&) const = default;

 private:
  explicit HostName(std::string text) : text_(std::move(text)) {}
  std::string text_;
};

}  // namespace signet
