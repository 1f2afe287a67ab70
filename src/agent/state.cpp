#include "agent/state.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cctype>
#include <cmath>
#include <format>
#include <set>

#include "base/fd.h"
#include "base/host_name.h"
#include "base/text.h"

namespace signet {
namespace {

std::optional<double> parse_seconds(std::string_view text) {
  const auto dot = text.find('.');
  const auto whole = parse_unsigned(text.substr(0, dot));
  const auto milliseconds = dot == std::string_view::npos ? std::optional<std::uint64_t>(0) : parse_unsigned(text.substr(dot + 1));
  if (!whole || !milliseconds) return std::nullopt;
  return static_cast<double>(*whole) + static_cast<double>(*milliseconds) / 1000;
}

std::string seconds_text(double seconds) {
  const auto milliseconds = std::lround(seconds * 1000);
  return std::format("{}.{:03}", milliseconds / 1000, milliseconds % 1000);
}

}  // namespace

Result<> make_state_directory(const std::string& path) {
  for (std::size_t slash = path.find('/', 1);; slash = path.find('/', slash + 1)) {
    const auto part = path.substr(0, slash);
    const bool last = slash == std::string::npos;
    if (::mkdir(part.c_str(), last ? 0700 : 0755) != 0 && errno != EEXIST) return fail_errno("make the state directory {}", part);
    if (last) return {};
  }
}

Result<> save_profile(const Context& context) { return write_file(context.state_file("profile.toml"), to_toml(context.profile), 0600); }

Result<Profile> load_profile(const Context& context) {
  const auto path = context.state_file("profile.toml");
  auto text = read_file(path);
  if (!text) {
    if (text.error().kind() == ErrorKind::not_found) return Profile{};
    return std::unexpected(std::move(text).error());
  }
  const auto where = TRY(parse_uri(path));
  auto profile = parse_profile(
      *text, where,
      [](const Uri& uri) -> Result<std::string> { return fail(ErrorKind::invalid, "{}: a saved profile extends nothing", uri.display()); },
      Completeness::partial);
  if (!profile) return std::unexpected(to_error(profile.error()));
  return std::move(*profile);
}

Result<> save_plan(const Context& context) {
  TRY(write_file(context.state_file("plan.json"), to_json(context.plan), 0600));
  std::string text;
  for (const auto& entry : script_environment(context)) {
    const auto equals = entry.find('=');
    text += "export " + entry.substr(0, equals + 1) + shell_quote(entry.substr(equals + 1)) + "\n";
  }
  return write_file(context.state_file("variables"), text, 0600);
}

Result<Plan> load_plan(const Context& context) {
  const auto path = context.state_file("plan.json");
  auto text = read_file(path);
  if (!text) return std::unexpected(std::move(text).error().within("no plan").advise("run `signet-agent partition` first, with the same --state"));
  return TRY_WITHIN(plan_from_json(*text), path);
}

namespace {

std::vector<std::string> identity_environment(const Context& context) {
  const auto& identity = context.identity;
  std::vector<std::string> environment = {
      "SIGNET_STATE=" + context.settings.state, "SIGNET_ROOT=" + context.settings.root,
      "SIGNET_HOST=" + identity.host_name,      "SIGNET_SERVER=" + (identity.server ? identity.server->secret_text() : ""),
      "SIGNET_UUID=" + identity.uuid,           "SIGNET_MAC=" + identity.mac,
      "SIGNET_ADDRESS=" + identity.address,     "SIGNET_DOMAIN=" + identity.domain,
  };
  return environment;
}

// "data-1" as DATA_1.
std::string variable_name(std::string_view text) {
  std::string name;
  for (const char c : text)
    name += std::isalnum(static_cast<unsigned char>(c)) ? static_cast<char>(std::toupper(static_cast<unsigned char>(c))) : '_';
  return name;
}

void add_plan(const Plan& plan, std::vector<std::string>& environment) {
  std::set<std::string> taken;
  const auto add = [&](std::string name, const std::string& value) {
    if (taken.insert(name).second) environment.push_back(std::move(name) + "=" + value);
  };
  for (const auto& disk : plan.disks) {
    add("SIGNET_DISK_" + variable_name(disk.id), disk.disk.path);
    for (const auto& partition : disk.partitions) {
      add("SIGNET_DEVICE_" + variable_name(partition.name), partition.device);
      if (!partition.uuid.empty()) add("SIGNET_UUID_" + variable_name(partition.name), partition.uuid);
    }
  }
  add("SIGNET_BOOT_DISK", plan.boot_disk);
  add("SIGNET_FIRMWARE", plan.firmware == Firmware::efi ? "efi" : "bios");
  add("SIGNET_IMAGE", plan.image_source);
}

}  // namespace

std::vector<std::string> script_environment(const Context& context) {
  auto environment = identity_environment(context);
  if (context.lease)
    for (const auto& [name, value] : context.lease->variables) environment.push_back("DHCP_" + name + "=" + value);
  if (context.have_plan) add_plan(context.plan, environment);
  return environment;
}

Result<> save_lease(const Context& context) {
  return write_file(context.state_file("lease"), "interface=" + shell_quote(context.lease->interface) + "\n" + lease_text(*context.lease), 0600);
}

void load_lease(Context& context) {
  const auto text = read_file(context.state_file("lease"));
  if (!text) return;
  auto lease = parse_lease(*text, "");
  if (!lease) return;
  context.lease = std::move(*lease);
  context.lease->interface = context.lease->variables["interface"];
}

Result<> save_identity(const Context& context) {
  std::string text;
  for (const auto& entry : identity_environment(context)) {
    const auto equals = entry.find('=');
    text += entry.substr(0, equals + 1) + shell_quote(entry.substr(equals + 1)) + "\n";
  }
  return write_file(context.state_file("identity"), text, 0600);
}

void load_identity(Context& context) {
  const auto text = read_file(context.state_file("identity"));
  if (!text) return;
  for (const auto line : split(*text, '\n')) {
    const auto equals = line.find('=');
    if (equals == std::string_view::npos) continue;
    const auto name = line.substr(0, equals);
    auto value = std::string(line.substr(equals + 1));
    if (value.starts_with('\'') && value.ends_with('\'') && value.size() >= 2) value = value.substr(1, value.size() - 2);
    if (name == "SIGNET_HOST")
      if (const auto host = HostName::parse(value)) context.identity.host_name = host->text();
    if (name == "SIGNET_DOMAIN")
      if (const auto domain = HostName::parse(value)) context.identity.domain = domain->text();
    if (name == "SIGNET_UUID") context.identity.uuid = value;
    if (name == "SIGNET_MAC") context.identity.mac = value;
    if (name == "SIGNET_ADDRESS") context.identity.address = value;
    if (name == "SIGNET_SERVER")
      if (auto uri = parse_uri(value)) context.identity.server = std::move(*uri);
  }
}

Result<> append_timeline(const Context& context, const Report::StageTime& stage) {
  const Fd fd = TRY(open_file(context.state_file("timeline"), O_WRONLY | O_CREAT | O_APPEND, 0600));
  return write_all(fd.get(), std::format("{} {} {} {} {}\n", stage.stage, seconds_text(stage.start), seconds_text(stage.seconds), stage.bytes,
                                         stage.failed ? 1 : 0));
}

std::vector<Report::StageTime> load_timeline(const Context& context) {
  std::vector<Report::StageTime> timeline;
  const auto text = read_file(context.state_file("timeline"));
  if (!text) return timeline;
  for (const auto line : split(*text, '\n')) {
    const auto fields = split(line, ' ');
    if (fields.size() != 5) continue;
    const auto start = parse_seconds(fields[1]), took = parse_seconds(fields[2]);
    const auto bytes = parse_unsigned(fields[3]);
    if (start && took && bytes) timeline.push_back({std::string(fields[0]), *start, *took, *bytes, fields[4] == "1"});
  }
  return timeline;
}

}  // namespace signet
