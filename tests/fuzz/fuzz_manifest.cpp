// Any bytes are a manifest or an error that names a line; what is accepted is written and read back to the same.
#include "base/node_set.h"
#include "fetch/manifest.h"
#include "hold.h"

using namespace signet;

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  const std::string_view input(reinterpret_cast<const char*>(data), size);
  const auto manifest = parse_manifest(input);
  if (manifest) {
    const auto text = to_toml(*manifest);
    const auto again = parse_manifest(text);
    hold(again && again->serial == manifest->serial && again->files == manifest->files && to_toml(*again) == text);
    for (const auto& [path, file] : manifest->files) hold(is_manifest_path(path) && file.sha256.size() == 64);
  } else {
    hold(!manifest.error().message().empty() && manifest.error().message().size() < 100'000);
  }
  // Without a key nothing is ever accepted, and nothing is parsed.
  const auto half = size / 2;
  const auto opened = open_manifest(input.substr(half), input.substr(0, half), TrustedKeys(), {}, "m");
  hold(!opened && opened.error().kind() == ErrorKind::verification);
  const auto blank = input.find(' ');
  if (blank != std::string_view::npos && node_matches(input.substr(0, blank), input.substr(blank + 1).substr(0, 300)))
    hold(check_node_pattern(input.substr(0, blank)).has_value());
  TrustedKeys keys;
  if (keys.add(input, "x")) hold(!keys.empty());
  return 0;
}
