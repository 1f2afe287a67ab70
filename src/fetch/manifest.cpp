#include "fetch/manifest.h"

#include <algorithm>
#include <format>

#include "base/date_time.h"
#include "base/digest.h"
#include "base/node_set.h"
#include "base/text.h"

namespace signet {
namespace {

constexpr std::size_t longest_line = 16 << 10, longest_path = 1024, most_files = 200'000, most_hosts = 64;
constexpr std::uint64_t schema_version = 1;

struct Place {
  std::string_view directory, suffix;
  Purpose purpose;
};
constexpr Place places[] = {
    {"hosts/", ".toml", Purpose::profile},   {"hosts/", ".sh", Purpose::script}, {"groups/", ".toml", Purpose::part},
    {"components/", ".toml", Purpose::part}, {"components/", "", Purpose::hook}, {"scripts/", "", Purpose::hook},
    {"hooks/", "", Purpose::hook},           {"images/", "", Purpose::image},    {"keys/", "", Purpose::keys},
    {"boot/tools/", "", Purpose::tool},
};

// One line, read from its start. Everything fails that is not exactly what to_toml() writes but for blanks.
class Line {
 public:
  explicit Line(std::string_view text) : rest_(text) {}

  bool take(std::string_view token) {
    skip_blanks();
    if (!rest_.starts_with(token)) return false;
    rest_.remove_prefix(token.size());
    return true;
  }
  // A basic string (TOML 1.0) without escapes.
  std::optional<std::string_view> string() {
    if (!take("\"")) return std::nullopt;
    const auto end = rest_.find('"');
    if (end == std::string_view::npos) return std::nullopt;
    const auto text = rest_.substr(0, end);
    rest_.remove_prefix(end + 1);
    if (text.contains('\\') || printable(text) != text) return std::nullopt;
    return text;
  }
  // A number, a date or a bare key.
  std::string_view word() {
    skip_blanks();
    const auto text = rest_.substr(0, rest_.find_first_of(" \t,=}]#"));
    rest_.remove_prefix(text.size());
    return text;
  }
  bool at_end() {
    skip_blanks();
    return rest_.empty();
  }

 private:
  void skip_blanks() { rest_.remove_prefix(std::min(rest_.find_first_not_of(" \t"), rest_.size())); }
  std::string_view rest_;
};

Result<std::vector<std::string>> read_hosts(Line& line) {
  std::vector<std::string> hosts;
  if (!line.take("[")) return fail(ErrorKind::invalid, "hosts must be an array of strings");
  do {
    const auto host = line.string();
    if (!host) return fail(ErrorKind::invalid, "hosts must be an array of strings");
    TRY(check_node_pattern(*host));
    if (hosts.size() >= most_hosts) return fail(ErrorKind::invalid, "hosts has more than {} node sets", most_hosts);
    hosts.emplace_back(*host);
  } while (line.take(","));
  if (!line.take("]")) return fail(ErrorKind::invalid, "hosts must be an array of strings");
  return hosts;
}

// `"PATH" = { sha256 = "…", size = N, hosts = ["…"] }`
Result<> read_file_line(Line& line, Manifest& manifest) {
  const auto path = line.string();
  if (!path || !is_manifest_path(*path)) return fail(ErrorKind::invalid, "a path of the tree in quotes is expected");
  if (!line.take("=") || !line.take("{")) return fail(ErrorKind::invalid, "= {{ … }} is expected after the path");
  ListedFile file;
  bool sized = false;
  do {
    const auto key = line.word();
    if (!line.take("=")) return fail(ErrorKind::invalid, "`=` is expected after `{}`", printable(key));
    if (key == "sha256" && file.sha256.empty()) {
      file.sha256 = TRY(parse_sha256(line.string().value_or("")));
    } else if (key == "size" && !sized) {
      const auto size = parse_unsigned(line.word());
      if (!size) return fail(ErrorKind::invalid, "size must be a number of bytes");
      file.size = *size;
      sized = true;
    } else if (key == "hosts" && file.hosts.empty()) {
      file.hosts = TRY(read_hosts(line));
    } else {
      return fail(ErrorKind::invalid, "`{}` is unknown or listed twice", printable(key));
    }
  } while (line.take(","));
  if (!line.take("}") || !line.at_end()) return fail(ErrorKind::invalid, "the line does not end with }}");
  if (file.sha256.empty() || !sized) return fail(ErrorKind::invalid, "sha256 and size are required");
  if (manifest.files.size() >= most_files) return fail(ErrorKind::invalid, "more than {} files", most_files);
  if (!manifest.files.try_emplace(std::string(*path), std::move(file)).second) return fail(ErrorKind::invalid, "{} is listed twice", *path);
  return {};
}

struct Head {
  std::optional<std::uint64_t> schema, serial;
  std::optional<std::int64_t> expires;
};

Result<> read_head_line(Line& line, Head& head) {
  const auto key = line.word();
  if (!line.take("=")) return fail(ErrorKind::invalid, "`=` is expected after `{}`", printable(key));
  const auto value = line.word();
  if (!line.at_end()) return fail(ErrorKind::invalid, "unexpected text after `{}`", printable(value));
  const auto number = parse_unsigned(value);
  if (key == "expires" && !head.expires) {
    head.expires = TRY(parse_date_time(value));
  } else if (key == "serial" && !head.serial && number) {
    head.serial = number;
  } else if (key == "schema" && !head.schema && number) {
    head.schema = number;
    if (*number != schema_version) return fail(ErrorKind::invalid, "schema {} is not known to Signet {}; it reads schema 1", *number, SIGNET_VERSION);
  } else {
    return fail(ErrorKind::invalid, "`{}` is unknown, listed twice or not a number", printable(key));
  }
  return {};
}

std::unexpected<Error> refused(std::string message, std::string advice) {
  return std::unexpected(Error(ErrorKind::verification, std::move(message)).advise(std::move(advice)));
}

}  // namespace

std::string_view to_string(Purpose purpose) {
  switch (purpose) {
    case Purpose::profile: return "a host profile";
    case Purpose::script: return "a host script";
    case Purpose::names: return "the list of hosts";
    case Purpose::part: return "a part of profiles";
    case Purpose::hook: return "a hook";
    case Purpose::image: return "an image";
    case Purpose::keys: return "a list of SSH keys";
    case Purpose::tool: break;
  }
  return "a tool";
}

std::optional<Purpose> purpose_of(std::string_view path) {
  if (path == "hosts/hosts") return Purpose::names;
  for (const auto& place : places)
    if (path.size() > place.directory.size() + place.suffix.size() && path.starts_with(place.directory) && path.ends_with(place.suffix))
      return place.purpose;
  return std::nullopt;
}

bool is_manifest_path(std::string_view path) {
  if (path.empty() || path.size() > longest_path || path.find_first_of("\"\\") != std::string_view::npos || printable(path) != path) return false;
  return std::ranges::none_of(split(path, '/'), [](std::string_view part) { return part.empty() || part == "." || part == ".."; });
}

Result<Manifest> parse_manifest(std::string_view text) {
  if (text.size() > largest_manifest) return fail(ErrorKind::invalid, "a manifest has at most {} MiB", largest_manifest >> 20);
  Manifest manifest;
  Head head;
  bool in_files = false;
  std::size_t number = 0;
  for (const auto whole : split(text, '\n')) {
    const auto where = [&] { return std::format("line {}", number); };
    ++number;
    if (whole.size() > longest_line) return fail(ErrorKind::invalid, "{}: it has more than {} bytes", where(), longest_line);
    Line line(whole);
    if (line.at_end() || line.take("#")) continue;
    if (!in_files && line.take("[files]") && line.at_end())
      in_files = true;
    else if (in_files)
      TRY_WITHIN(read_file_line(line, manifest), where());
    else
      TRY_WITHIN(read_head_line(line, head), where());
  }
  if (!head.schema || !head.serial || !head.expires || !in_files)
    return fail(ErrorKind::invalid, "{} is missing", !head.schema ? "schema" : !head.serial ? "serial" : !head.expires ? "expires" : "[files]");
  manifest.serial = *head.serial;
  manifest.expires = *head.expires;
  return manifest;
}

std::string to_toml(const Manifest& manifest) {
  auto text = std::format(
      "# What nodes with trusted keys may use of this tree. Made by `signet tree sign`; edits void its signature.\n"
      "schema = {}\nserial = {}\nexpires = {}\n\n[files]\n",
      schema_version, manifest.serial, date_time_text(manifest.expires));
  for (const auto& [path, file] : manifest.files) {
    text += std::format("\"{}\" = {{ sha256 = \"{}\", size = {}", path, file.sha256, file.size);
    for (std::size_t i = 0; i < file.hosts.size(); ++i) text += std::format("{}\"{}\"", i == 0 ? ", hosts = [" : ", ", file.hosts[i]);
    text += file.hosts.empty() ? " }\n" : "] }\n";
  }
  return text;
}

Result<Manifest> open_manifest(std::string_view text, std::string_view signature, const TrustedKeys& keys, const ManifestRules& rules,
                               std::string_view name) {
  TRY(keys.verify(text, signature, name));
  auto parsed = parse_manifest(text);
  if (!parsed) return refused(std::format("{}: {}", name, parsed.error().message()), "make it with `signet tree sign`");
  if (parsed->serial < rules.least_serial)
    return refused(
        std::format("{}: its serial {} is older than {}, which this node has seen or was made with", name, parsed->serial, rules.least_serial),
        "the server has an old copy of its tree, or somebody replays one: sign the tree again with `signet tree sign`");
  if (rules.now >= parsed->expires)
    return refused(std::format("{}: it expired on {}; the clock says {}", name, date_time_text(parsed->expires), date_time_text(rules.now)),
                   "sign the tree again with `signet tree sign`; if the clock is wrong, set it in the firmware");
  return std::move(*parsed);
}

Result<const ListedFile*> find_listed(const Manifest& manifest, std::string_view path, std::span<const Purpose> purposes,
                                      std::span<const std::string> names) {
  const auto purpose = purpose_of(path);
  if (!purpose || std::ranges::find(purposes, *purpose) == purposes.end())
    return refused(std::format("{} is {}, so it cannot be {}", printable(path),
                               purpose ? to_string(*purpose) : "in no directory that says what it is for", to_string(purposes.front())),
                   "where keys are trusted, a file's path says what it is for; docs/trust.md has the list");
  const auto at = manifest.files.find(path);
  if (at == manifest.files.end())
    return refused(std::format("{} is not listed in the signed manifest", printable(path)),
                   "sign the tree again after every change: `signet tree sign`");
  const auto& hosts = at->second.hosts;
  const auto meant = [&](const std::string& pattern) {
    return std::ranges::any_of(names, [&](const std::string& name) { return node_matches(pattern, name); });
  };
  if (!hosts.empty() && std::ranges::none_of(hosts, meant))
    return refused(std::format("{} is not for this host ({}) but for {}", printable(path), names.empty() ? "which has no name" : join(names, ", "),
                               join(hosts, ", ")),
                   "give the host its own name, or change the file's hosts with `signet tree sign --hosts`");
  return &at->second;
}

}  // namespace signet
