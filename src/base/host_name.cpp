#include "base/host_name.h"

#include <algorithm>

#include "base/text.h"

namespace signet {
namespace {

constexpr std::size_t longest_name = 253, longest_label = 63;  // RFC 1035 §2.3.4 without length bytes and root

// What is wrong with a label, as the end of a sentence; empty if nothing is.
std::string_view fault_of(std::string_view label) {
  if (label.empty()) return "has an empty part between dots";
  if (label.size() > longest_label) return "has a part of more than 63 characters";
  if (label.starts_with('-') || label.ends_with('-')) return "has a part that begins or ends with a hyphen";
  return {};
}

}  // namespace

Result<HostName> HostName::parse(std::string_view text) {
  constexpr std::size_t shown = 80;
  const auto wrong = [&](std::string_view why) {
    return fail(ErrorKind::invalid, "`{}{}` is not a host name: {}", printable(text.substr(0, shown)), text.size() > shown ? "…" : "", why);
  };
  auto name = to_lower(text);
  if (name.ends_with('.')) name.pop_back();
  if (name.empty()) return wrong("it is empty");
  if (name.size() > longest_name) return wrong("it has more than 253 characters");
  const auto labels = split(name, '.');
  // What is wrong most often comes first: a character that no label has.
  if (name.find_first_not_of("abcdefghijklmnopqrstuvwxyz0123456789-.") != std::string::npos)
    return wrong("only letters, digits, hyphens and dots are allowed (RFC 1123)");
  for (const auto label : labels)
    if (const auto fault = fault_of(label); !fault.empty()) return wrong("it " + std::string(fault));
  const auto number = [](std::string_view label) { return parse_unsigned(label).value_or(256) < 256; };
  if (labels.size() == 4 && std::ranges::all_of(labels, number)) return wrong("it is an address");
  return HostName(std::move(name));
}

}  // namespace signet
