#include "base/host_name.h"

#include <algorithm>
#include <span>

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

bool is_hex(std::string_view text) { return text.find_first_not_of("0123456789abcdef") == std::string_view::npos; }

// A card's "01-aa-bb-cc-dd-ee-ff" or a UUID. Profiles and signed manifests identify machines by these, so a DHCP server must not be able to give them
// out as names.
bool is_identifier(std::string_view name) {
  const auto parts = split(name, '-');
  constexpr std::size_t card[] = {2, 2, 2, 2, 2, 2, 2}, uuid[] = {8, 4, 4, 4, 12};
  const auto has_form = [&](std::span<const std::size_t> form) {
    return std::ranges::equal(parts, form, [](std::string_view part, std::size_t size) { return part.size() == size && is_hex(part); });
  };
  return has_form(card) || has_form(uuid);
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
  if (is_identifier(labels.front())) return wrong("it has the form of a network card's or a machine's id");
  return HostName(std::move(name));
}

}  // namespace signet
