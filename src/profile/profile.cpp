#include "profile/profile.h"

#include <algorithm>
#include <array>
#include <format>
#include <set>

#include "base/size.h"
#include "base/text.h"
#include "profile/section.h"
#include "profile/values.h"
#include "profile/words.h"

namespace signet {
namespace {

constexpr unsigned deepest = 16;  // levels of `extends`
constexpr std::uint64_t schema_version = 1;

std::string display_name(const std::string& file) {
  const auto uri = parse_uri(file);
  return uri ? uri->display() : file;
}

// Puts what `own` says over what `base` says: tables merge, everything else replaces. Nodes are moved, so they keep the place that they were written
// at.
void merge(toml::table& base, toml::table&& own) {
  for (auto&& [key, value] : own) {
    auto* here = base.get_as<toml::table>(key.str());
    if (here && value.is_table()) {
      merge(*here, std::move(*value.as_table()));
      continue;
    }
    value.visit([&](auto& node) { base.insert_or_assign(key, std::move(node)); });
  }
}

// Parses a file and all that it extends into one document.
class Loader {
 public:
  Loader(const LoadText& load, Diagnostics& diagnostics) : load_(load), diagnostics_(diagnostics) {}

  std::optional<toml::table> parse(std::string_view text, const Uri& where) {
    const auto file = where.text();
    auto parsed = toml::parse(text, file);
    if (!parsed) {
      const auto& error = parsed.error();
      const auto& at = error.source().begin;
      diagnostics_.push_back(
          {{file, static_cast<unsigned>(at.line), static_cast<unsigned>(at.column)}, std::format("not TOML: {}", printable(error.description()))});
      return std::nullopt;
    }
    auto own = std::move(parsed).table();
    chain_.push_back(file);
    auto base = extended(own, where);
    chain_.pop_back();
    if (!base) return std::nullopt;
    own.erase("extends");
    // The root keeps this file's place: messages about what is missing point at the file that was asked for.
    const auto region = own.source();
    merge(*base, std::move(own));
    root_ = {file, static_cast<unsigned>(region.begin.line), static_cast<unsigned>(region.begin.column)};
    return base;
  }

  const Place& root() const { return root_; }

 private:
  std::optional<toml::table> extended(const toml::table& own, const Uri& where) {
    toml::table base;
    const auto* list = own.get("extends");
    if (!list) return base;
    const auto complain = [&](const toml::node& node, std::string message) {
      diagnostics_.push_back({place_of(node), std::move(message)});
      return std::nullopt;
    };
    std::vector<const toml::node*> names;
    if (list->is_string())
      names.push_back(list);
    else if (const auto* array = list->as_array())
      for (const auto& element : *array) names.push_back(&element);
    else
      return complain(*list, "extends must be an array of files");
    if (chain_.size() > deepest) return complain(*list, std::format("extends goes deeper than {} levels", deepest));

    for (const auto* node : names) {
      const auto* name = node->as_string();
      if (!name) return complain(*node, "extends must hold strings only");
      const auto uri = resolve_uri(where, name->get());
      if (!uri) return complain(*node, std::format("extends: {}", uri.error().message()));
      if (std::ranges::find(chain_, uri->text()) != chain_.end())
        return complain(*node, std::format("extends goes in a circle: {} is extended by itself", uri->display()));
      const auto text = load_(*uri);
      if (!text) return complain(*node, std::format("extends: {}", text.error().message()));
      auto table = parse(*text, *uri);
      if (!table) return std::nullopt;
      merge(base, std::move(*table));
    }
    return base;
  }

  const LoadText& load_;
  Diagnostics& diagnostics_;
  std::vector<std::string> chain_;
  Place root_;
};

class Reader {
 public:
  Reader(Diagnostics& diagnostics, Completeness completeness, Place root)
      : diagnostics_(diagnostics), whole_(completeness == Completeness::whole), root_(std::move(root)) {}

  Profile read(const toml::table& table) {
    Section top(table, "", {"schema", "image", "disk", "raid", "volume_group", "luks", "network", "configure", "hooks", "finish"}, diagnostics_);
    const auto schema = top.number("schema");
    if (!schema && !top.has("schema") && whole_) diagnostics_.push_back({root_, "schema is missing: write `schema = 1` at the top"});
    if (schema && *schema != schema_version)
      top.note(top.place("schema"),
               std::format("schema {} is not known to this agent ({}); it reads schema {}", *schema, SIGNET_VERSION, schema_version));
    for (const char* later : {"raid", "volume_group", "luks"})
      if (top.has(later))
        top.note(top.place(later), std::format("{}: this version of Signet makes partitions and file systems only; take [[{}]] out", later, later));

    Profile profile;
    if (const auto* image = top.table("image"))
      profile.image = read_image(*image);
    else if (whole_ && !top.has("image"))
      diagnostics_.push_back({root_, "image.source is missing: which image shall be installed?"});
    for (const auto* disk : top.tables("disk")) profile.disks.push_back(read_disk(*disk));
    if (whole_ && !top.has("disk")) diagnostics_.push_back({root_, "disk is missing: a profile needs at least one [[disk]]"});
    check_disks(profile.disks);
    if (const auto* network = top.table("network")) profile.network = read_network(*network);
    if (const auto* configure = top.table("configure")) profile.configure = read_configure(*configure);
    if (const auto* hooks = top.table("hooks")) profile.hooks = read_hooks(*hooks);
    if (const auto* finish = top.table("finish")) profile.finish = read_finish(*finish);
    return profile;
  }

  PartitionRule read_partition(const toml::table& table, TableType disk_table) {
    Section section(table, "disk.partition", {"name", "size", "type", "format", "label", "mount", "options"}, diagnostics_);
    PartitionRule rule;
    rule.place = section.place();
    rule.name = section.checked("name", check_partition_name).value_or("");
    if (!section.has("name")) section.missing("name", "it names the partition in the table and in messages");
    rule.size = read_size(section);
    rule.format = section.word("format", format_words).value_or(FormatType::none);
    rule.type = section.word("type", type_words).value_or(rule.format == FormatType::swap ? PartitionType::swap : PartitionType::linux);
    rule.mount = section.checked("mount", check_mount_point).value_or("");
    rule.options = section.checked_list("options", check_line);
    if (auto label = section.string("label")) {
      if (const auto fine = check_label(*label, rule.format); !fine)
        section.note(section.place("label"), "disk.partition.label: " + fine.error().message());
      rule.label = std::move(*label);
    }
    if (!rule.mount.empty() && (rule.format == FormatType::none || rule.format == FormatType::swap))
      section.note(section.place("mount"),
                   std::format("disk.partition.mount: `{}` has no file system to mount; set format to ext4, ext3, ext2 or vfat", rule.name));
    if (rule.type == PartitionType::bios && rule.format != FormatType::none)
      section.note(section.place("format"), "disk.partition.format: a partition of type bios holds GRUB's core image and no file system");
    if (rule.type == PartitionType::esp && rule.format != FormatType::vfat)
      section.note(section.place("type"), "disk.partition.format: a partition of type esp must be vfat (UEFI 2.10 §13.3)");
    if (rule.type == PartitionType::bios && disk_table == TableType::mbr)
      section.note(section.place("type"), "disk.partition.type: an MBR disk needs no bios partition; GRUB lies before the first partition");
    return rule;
  }

  DiskMatch read_match(const toml::table& table) {
    Section section(table, "disk.match", {"path", "wwn", "serial", "model", "size", "transport", "rotational", "index"}, diagnostics_);
    DiskMatch match;
    match.path = section.checked("path", check_line);
    match.wwn = section.checked("wwn", check_line);
    match.serial = section.checked("serial", check_line);
    match.model = section.checked("model", check_line);
    match.transport = section.checked("transport", check_line);
    match.rotational = section.boolean("rotational");
    if (const auto index = section.number("index")) match.index = static_cast<unsigned>(std::min<std::uint64_t>(*index, 1U << 20));
    if (const auto text = section.string("size")) {
      auto bound = parse_size_bound(*text);
      if (bound)
        match.size = std::move(*bound);
      else
        section.note(section.place("size"), "disk.match.size: " + bound.error().message());
    }
    return match;
  }

 private:
  ImageRule read_image(const toml::table& table) {
    Section section(table, "image", {"source", "sha256"}, diagnostics_);
    ImageRule rule;
    rule.place = section.place();
    rule.source = read_reference(section, "source").value_or("");
    if (!section.has("source") && whole_) section.missing("source", "which image shall be installed?");
    rule.sha256 = to_lower(section.checked("sha256", check_sha256).value_or(""));
    return rule;
  }

  // A URI, or a reference seen from the file that it stands in.
  std::optional<std::string> resolve(Section& section, const Place& place, std::string_view reference) {
    auto base = parse_uri(place.file);
    auto uri = base ? resolve_uri(*base, reference) : parse_uri(reference);
    if (uri) return uri->text();
    section.note(place, section.name() + ": " + uri.error().message());
    return std::nullopt;
  }

  std::optional<std::string> read_reference(Section& section, std::string_view key) {
    const auto text = section.string(key);
    if (!text) return std::nullopt;
    return resolve(section, section.place(key), *text);
  }

  std::vector<std::string> read_references(Section& section, std::string_view key) {
    std::vector<std::string> resolved;
    for (const auto& text : section.strings(key))
      if (auto uri = resolve(section, section.place(key), text)) resolved.push_back(std::move(*uri));
    return resolved;
  }

  SizeRule read_size(Section& section) {
    const auto* node = section.find("size");
    if (!node) {
      section.missing("size", "write bytes with a unit such as \"512MiB\", \"25%\" or \"rest\"");
      return {};
    }
    if (const auto* bytes = node->as_integer(); bytes && bytes->get() > 0) return {SizeRule::Kind::bytes, static_cast<std::uint64_t>(bytes->get())};
    const auto text = section.string("size");
    if (!text) return {};
    const auto rule = parse_size_rule(*text);
    if (rule) return *rule;
    section.note(section.place("size"), "disk.partition.size: " + rule.error().message());
    return {};
  }

  DiskRule read_disk(const toml::table& table) {
    Section section(table, "disk", {"id", "match", "wipe", "table", "partition"}, diagnostics_);
    DiskRule rule;
    rule.place = section.place();
    rule.id = section.checked("id", check_line).value_or("");
    if (rule.id.empty() && !section.has("id")) rule.id = "disk";
    if (const auto* match = section.table("match")) rule.match = read_match(*match);
    if (!section.has("wipe"))
      section.missing("wipe", "write \"blank\" (only an empty disk), \"signet\" (or one that Signet installed) or \"any\"; there is no default");
    rule.wipe = section.word("wipe", wipe_words).value_or(WipeRule::blank);
    rule.table = section.word("table", table_words).value_or(TableType::gpt);
    for (const auto* partition : section.tables("partition")) rule.partitions.push_back(read_partition(*partition, rule.table));
    if (!section.has("partition")) section.missing("partition", "a disk needs at least one partition");

    std::set<std::string> names;
    unsigned rests = 0;
    for (const auto& partition : rule.partitions) {
      if (!partition.name.empty() && !names.insert(partition.name).second)
        section.note(partition.place, std::format("disk.partition.name: `{}` is used twice on disk `{}`", partition.name, rule.id));
      if (partition.size.kind == SizeRule::Kind::rest && ++rests == 2)
        section.note(partition.place,
                     std::format("disk.partition.size: \"rest\" stands twice on disk `{}`; only one partition can have it", rule.id));
    }
    return rule;
  }

  void check_disks(const std::vector<DiskRule>& disks) {
    std::set<std::string> ids, mounts;
    for (const auto& disk : disks) {
      if (!ids.insert(disk.id).second) diagnostics_.push_back({disk.place, std::format("disk.id: `{}` is used twice", disk.id)});
      for (const auto& partition : disk.partitions)
        if (!partition.mount.empty() && !mounts.insert(partition.mount).second)
          diagnostics_.push_back({partition.place, std::format("disk.partition.mount: two partitions mount `{}`", partition.mount)});
    }
    if (!disks.empty() && !mounts.contains("/"))
      diagnostics_.push_back({disks.front().place, "no partition has mount = \"/\": where shall the system go?"});
  }

  NetworkRule read_network(const toml::table& table) {
    Section section(table, "network", {"hostname", "interface"}, diagnostics_);
    NetworkRule rule;
    rule.hostname = section.checked("hostname", check_host_name).value_or("");
    for (const auto* each : section.tables("interface")) rule.interfaces.push_back(read_interface(*each));
    return rule;
  }

  InterfaceRule read_interface(const toml::table& table) {
    Section section(table, "network.interface", {"name", "match", "dhcp", "addresses", "gateway", "dns", "mtu", "vlan", "bond"}, diagnostics_);
    InterfaceRule rule;
    rule.place = section.place();
    for (const char* later : {"vlan", "bond"})
      if (section.has(later))
        section.note(section.place(later), std::format("network.interface.{}: this version of Signet configures plain Ethernet only", later));
    rule.name = section.checked("name", check_line).value_or("");
    rule.match_mac = to_lower(section.checked("match", check_mac).value_or(""));
    if (rule.name.empty() && rule.match_mac.empty() && !section.has("name") && !section.has("match"))
      section.missing("name", "name the interface (\"eth0\", \"en*\") or match its MAC address");
    rule.addresses = section.checked_list("addresses", [](std::string_view text) { return check_address(text, true); });
    const auto plain = [](std::string_view text) { return check_address(text, false); };
    rule.dhcp = section.boolean("dhcp").value_or(rule.addresses.empty());
    rule.gateway = section.checked("gateway", plain).value_or("");
    rule.dns = section.checked_list("dns", plain);
    if (const auto mtu = section.number("mtu")) {
      if (*mtu < 576 || *mtu > 65535) section.note(section.place("mtu"), std::format("network.interface.mtu: {} is not between 576 and 65535", *mtu));
      rule.mtu = static_cast<unsigned>(std::min<std::uint64_t>(*mtu, 65535));
    }
    return rule;
  }

  ConfigureRule read_configure(const toml::table& table) {
    Section section(table, "configure", {"timezone", "locale", "keyboard", "users", "ssh_keys", "root_password", "boot_loader", "kernel_args"},
                    diagnostics_);
    ConfigureRule rule;
    rule.timezone = section.checked("timezone", check_time_zone).value_or("");
    rule.locale = section.checked("locale", check_line).value_or("");
    rule.keyboard = section.checked("keyboard", check_line).value_or("");
    rule.ssh_keys = section.checked_list("ssh_keys", check_line);
    rule.root_password_hash = section.checked("root_password", check_password_hash).value_or("");
    rule.boot_loader = section.word("boot_loader", boot_loader_words).value_or(BootLoader::automatic);
    rule.kernel_args = section.checked("kernel_args", check_line).value_or("");
    for (const auto* each : section.tables("users")) rule.users.push_back(read_user(*each));
    return rule;
  }

  UserRule read_user(const toml::table& table) {
    Section section(table, "configure.users", {"name", "password", "groups", "ssh_keys", "shell", "sudo"}, diagnostics_);
    UserRule rule;
    rule.name = section.checked("name", check_user_name).value_or("");
    if (!section.has("name")) section.missing("name", "a user needs a name");
    rule.password_hash = section.checked("password", check_password_hash).value_or("");
    rule.groups = section.checked_list("groups", check_user_name);
    rule.ssh_keys = section.checked_list("ssh_keys", check_line);
    rule.shell = section.checked("shell", check_mount_point).value_or("/bin/bash");
    rule.sudo = section.boolean("sudo").value_or(false);
    return rule;
  }

  HooksRule read_hooks(const toml::table& table) {
    Section section(table, "hooks", {"pre_install", "post_install"}, diagnostics_);
    return {read_references(section, "pre_install"), read_references(section, "post_install")};
  }

  FinishRule read_finish(const toml::table& table) {
    Section section(table, "finish", {"on_success", "on_failure"}, diagnostics_);
    FinishRule rule;
    rule.on_success = section.word("on_success", action_words).value_or(FinishAction::reboot);
    rule.on_failure = section.word("on_failure", action_words).value_or(FinishAction::shell);
    return rule;
  }

  Diagnostics& diagnostics_;
  bool whole_;
  Place root_;
};

Error flag_error(const Diagnostics& diagnostics) {
  std::string text;
  for (const auto& diagnostic : diagnostics) text += (text.empty() ? "" : "; ") + diagnostic.message;
  return {ErrorKind::usage, std::move(text)};
}

// "a=1,b=>=2GiB" as the table { a = "1", b = ">=2GiB" }; words that TOML has as other types are turned into those.
Result<toml::table> table_from_flag(std::string_view text) {
  toml::table table;
  std::string last;
  for (const auto part : split(text, ',')) {
    const auto equals = part.find('=');
    // A bound may have two parts: size=>=1GiB,<2GiB
    if (!last.empty() && (equals == std::string_view::npos || equals == 0 || part.starts_with('<') || part.starts_with('>'))) {
      table.insert_or_assign(last, std::string(*table.get_as<std::string>(last)) + "," + std::string(part));
      continue;
    }
    if (equals == std::string_view::npos || equals == 0) return fail(ErrorKind::usage, "`{}` is not KEY=VALUE", printable(part));
    last = part.substr(0, equals);
    const auto value = part.substr(equals + 1);
    if (last == "options") {
      toml::array list;
      for (const auto option : split(value, '+')) list.push_back(std::string(option));
      table.insert_or_assign(last, std::move(list));
      last.clear();
    } else if (last == "rotational" && (value == "true" || value == "false")) {
      table.insert_or_assign(last, value == "true");
    } else if (const auto number = parse_unsigned(value); last == "index" && number) {
      table.insert_or_assign(last, static_cast<std::int64_t>(*number));
    } else {
      table.insert_or_assign(last, std::string(value));
    }
  }
  return table;
}

}  // namespace

std::string Diagnostic::text() const {
  if (place.line == 0) return place.file.empty() ? message : std::format("{}: {}", display_name(place.file), message);
  return std::format("{}:{}:{}: {}", display_name(place.file), place.line, place.column, message);
}

std::string DiskMatch::text() const {
  std::string text;
  const auto add = [&](std::string_view name, const std::string& value) { text += std::format("{}{} = {}", text.empty() ? "" : ", ", name, value); };
  const auto add_string = [&](std::string_view name, const std::optional<std::string>& value) {
    if (value) add(name, "\"" + *value + "\"");
  };
  add_string("path", path);
  add_string("wwn", wwn);
  add_string("serial", serial);
  add_string("model", model);
  add_string("transport", transport);
  if (size) add("size", "\"" + size->text + "\"");
  if (rotational) add("rotational", *rotational ? "true" : "false");
  if (index) add("index", std::to_string(*index));
  return text.empty() ? "any disk" : text;
}

std::expected<Profile, Diagnostics> parse_profile(std::string_view text, const Uri& where, const LoadText& load, Completeness completeness) {
  Diagnostics diagnostics;
  Loader loader(load, diagnostics);
  const auto table = loader.parse(text, where);
  if (!table) return std::unexpected(std::move(diagnostics));
  auto profile = Reader(diagnostics, completeness, loader.root()).read(*table);
  if (diagnostics.empty()) return profile;
  std::ranges::stable_sort(diagnostics, {}, [](const Diagnostic& each) { return std::tuple(each.place.file, each.place.line, each.place.column); });
  return std::unexpected(std::move(diagnostics));
}

Result<PartitionRule> parse_partition_flag(std::string_view text) {
  Diagnostics diagnostics;
  const auto table = TRY(table_from_flag(text));
  auto rule = Reader(diagnostics, Completeness::whole, {}).read_partition(table, TableType::gpt);
  if (!diagnostics.empty()) return std::unexpected(flag_error(diagnostics));
  return rule;
}

Result<DiskMatch> parse_match_flag(std::string_view text) {
  Diagnostics diagnostics;
  const auto table = TRY(table_from_flag(text));
  auto match = Reader(diagnostics, Completeness::whole, {}).read_match(table);
  if (!diagnostics.empty()) return std::unexpected(flag_error(diagnostics));
  return match;
}

Error to_error(const Diagnostics& diagnostics) {
  std::set<std::string> files;
  std::string lines;
  for (const auto& diagnostic : diagnostics) {
    files.insert(display_name(diagnostic.place.file));
    lines += "\n" + diagnostic.text();
  }
  const auto count = diagnostics.size();
  return Error(ErrorKind::invalid, std::format("{} mistake{} in the profile{}", count, count == 1 ? "" : "s", lines))
      .advise(std::format("correct {}; docs/profile.md lists every key", join(std::vector<std::string>(files.begin(), files.end()), ", ")));
}

}  // namespace signet
