#include <algorithm>
#include <format>
#include <set>

#include "profile/reader.h"
#include "profile/values.h"
#include "profile/words.h"

namespace signet {
namespace {

Place place_in(const toml::table& table, std::string_view key) {
  const auto* node = table.get(key);
  return node ? place_of(*node) : place_of(table);
}

}  // namespace

PartitionRule Reader::read_partition(const toml::table& table, TableType disk_table) {
  Section section(table, "disk.partition", {"name", "size", "type", "format", "compat", "label", "mount", "options"}, diagnostics_);
  PartitionRule rule;
  rule.place = section.place();
  rule.name = section.checked("name", check_partition_name).value_or("");
  if (!section.has("name")) section.missing("name", "it names the partition in the table and in messages");
  rule.size = read_size(section);
  const auto before = diagnostics_.size();
  rule.format = section.word("format", format_words).value_or(FormatType::none);
  rule.type = section.word("type", type_words).value_or(rule.format == FormatType::swap ? PartitionType::swap : PartitionType::linux);
  rule.compat = section.word("compat", compat_words).value_or(Compat::automatic);
  rule.mount = section.checked("mount", check_mount_point).value_or("");
  mount_unclear_ = mount_unclear_ || (section.has("mount") && rule.mount.empty());
  rule.options = section.checked_list("options", check_mount_option);
  rule.label = section.string("label").value_or("");
  // What does not fit together is told only of words that are right each by itself.
  if (diagnostics_.size() == before) check_use(section, rule, disk_table);
  return rule;
}

// What a partition is for, what is made in it and where it is mounted must make sense together.
void Reader::check_use(Section& section, const PartitionRule& rule, TableType disk_table) {
  const auto wrong = [&](std::string_view key, std::string_view why) {
    section.note(section.place(key), std::format("{}: {}", section.path(key), why));
  };
  const bool mountable = rule.format != FormatType::none && rule.format != FormatType::swap;
  if (section.has("compat") && rule.format != FormatType::ext4) wrong("compat", "only ext4 has it; remove it, or set format = \"ext4\"");
  if (section.has("label"))
    if (const auto fine = check_label(rule.label, rule.format); !fine) wrong("label", fine.error().message());
  if (!rule.mount.empty() && !mountable)
    wrong("mount", std::format("`{}` has no file system to mount; set format to ext4, ext3, ext2 or vfat", rule.name));
  if (!rule.options.empty() && rule.mount.empty() && rule.format != FormatType::swap) wrong("options", "they need a mount point");
  switch (rule.type) {
    case PartitionType::bios:
      if (rule.format != FormatType::none) wrong("format", "a partition of type bios holds GRUB's core image and no file system");
      if (disk_table == TableType::mbr) wrong("type", "an MBR disk needs no bios partition; GRUB lies before the first partition");
      break;
    case PartitionType::esp:
      if (rule.format != FormatType::vfat) wrong(section.has("format") ? "format" : "type", "a partition of type esp must be vfat (UEFI 2.10 §13.3)");
      break;
    case PartitionType::swap:
      if (mountable) wrong("format", std::format("a partition of type swap holds no {}; take type out", to_string(rule.format)));
      break;
    case PartitionType::raid:
    case PartitionType::lvm:
      if (rule.format != FormatType::none)
        wrong("format", std::format("a partition of type {} holds what others are made of, and no file system", to_string(rule.type)));
      break;
    case PartitionType::linux:
    case PartitionType::boot:
    case PartitionType::home: break;
  }
}

SizeRule Reader::read_size(Section& section) {
  const auto* node = section.find("size");
  if (!node) {
    section.missing("size", "write bytes with a unit such as \"512MiB\", \"25%\" or \"rest\"");
    return {};
  }
  if (const auto* bytes = node->as_integer()) {
    if (bytes->get() > 0) return {SizeRule::Kind::bytes, static_cast<std::uint64_t>(bytes->get())};
    section.note(place_of(*node), std::format("{}: {} is no size for a partition", section.path("size"), bytes->get()));
    return {};
  }
  const auto text = section.string("size");
  if (!text) return {};
  const auto rule = parse_size_rule(*text);
  if (rule) return *rule;
  section.note(place_of(*node), std::format("{}: {}", section.path("size"), rule.error().message()));
  return {};
}

DiskMatch Reader::read_match(const toml::table& table) {
  Section section(table, "disk.match", {"path", "wwn", "serial", "model", "size", "transport", "rotational", "index"}, diagnostics_);
  DiskMatch match;
  match.path = section.checked("path", check_line);
  match.wwn = section.checked("wwn", check_line);
  match.serial = section.checked("serial", check_line);
  match.model = section.checked("model", check_line);
  match.transport = section.checked("transport", check_transport);
  match.rotational = section.boolean("rotational");
  if (const auto index = section.number("index")) match.index = static_cast<unsigned>(std::min<std::uint64_t>(*index, UINT32_MAX));
  if (const auto text = section.string("size")) {
    auto bound = parse_size_bound(*text);
    if (bound)
      match.size = std::move(*bound);
    else
      section.note(section.place("size"), std::format("{}: {}", section.path("size"), bound.error().message()));
  }
  return match;
}

DiskRule Reader::read_disk(const toml::table& table) {
  Section section(table, "disk", {"id", "match", "wipe", "table", "partition"}, diagnostics_);
  DiskRule rule;
  rule.place = section.place();
  rule.id = section.checked("id", check_line).value_or("");
  if (!section.has("id")) rule.id = "disk";
  if (const auto* match = section.table("match")) rule.match = read_match(*match);
  if (!section.has("wipe"))
    section.missing("wipe",
                    "write \"blank\" (only an empty disk), \"signet\" (or one that Signet installed as this host), \"signet-any\" (as any host) or "
                    "\"any\"; there is no default");
  rule.wipe = section.word("wipe", wipe_words).value_or(WipeRule::blank);
  rule.table = section.word("table", table_words).value_or(TableType::gpt);
  const auto tables = section.tables("partition");
  for (const auto* partition : tables) rule.partitions.push_back(read_partition(*partition, rule.table));
  if (!section.has("partition"))
    section.missing("partition", "a disk needs at least one partition");
  else if (section.find("partition")->is_array() && section.find("partition")->as_array()->empty())
    section.note(section.place("partition"), "disk.partition: a disk needs at least one partition");
  check_partitions(rule, tables);
  return rule;
}

void Reader::check_partitions(const DiskRule& rule, std::span<const toml::table* const> tables) {
  std::set<std::string> names;
  unsigned rests = 0;
  for (std::size_t i = 0; i < rule.partitions.size(); ++i) {
    const auto& partition = rule.partitions[i];
    if (!partition.name.empty() && !names.insert(partition.name).second)
      diagnostics_.push_back(
          {place_in(*tables[i], "name"), std::format("disk.partition.name: `{}` is used twice on disk `{}`", partition.name, rule.id)});
    if (partition.size.kind == SizeRule::Kind::rest && ++rests > 1)
      diagnostics_.push_back({place_in(*tables[i], "size"),
                              std::format("disk.partition.size: \"rest\" stands twice on disk `{}`; only one partition can have it", rule.id)});
  }
}

void Reader::check_disks(const std::vector<DiskRule>& disks) {
  std::set<std::string> ids, mounts;
  for (const auto& disk : disks) {
    if (!ids.insert(disk.id).second)
      diagnostics_.push_back({disk.place, std::format("disk.id: `{}` is used twice; give each [[disk]] an id of its own", disk.id)});
    for (const auto& partition : disk.partitions)
      if (!partition.mount.empty() && !mounts.insert(partition.mount).second)
        diagnostics_.push_back({partition.place, std::format("disk.partition.mount: two partitions mount `{}`", partition.mount)});
  }
  if (!disks.empty() && !mounts.contains("/") && !mount_unclear_)
    diagnostics_.push_back({disks.front().place, "no partition has mount = \"/\": where shall the system go?"});
}

}  // namespace signet
