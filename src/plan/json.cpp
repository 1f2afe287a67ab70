// A plan as JSON, for the verbs that run after `plan`: what was decided once, and what its disks are known by.
#include <jansson.h>

#include <algorithm>
#include <cstdlib>
#include <memory>

#include "base/host_name.h"
#include "plan/layout.h"
#include "plan/plan.h"
#include "plan/read_json.h"
#include "profile/values.h"
#include "profile/words.h"

namespace signet {
namespace {

constexpr std::uint64_t plan_version = 1;

constexpr Words<Firmware, 2> firmware_words = {{{"bios", Firmware::bios}, {"efi", Firmware::efi}}};

using Json = std::unique_ptr<json_t, decltype(&json_decref)>;

json_t* text(std::string_view value) { return json_stringn_nocheck(value.data(), value.size()); }
json_t* number(std::uint64_t value) { return json_integer(static_cast<json_int_t>(value)); }
void add(json_t* object, const char* key, json_t* value) { json_object_set_new(object, key, value); }

json_t* list(const std::vector<std::string>& values) {
  json_t* array = json_array();
  for (const auto& value : values) json_array_append_new(array, text(value));
  return array;
}

json_t* write_partition(const PlannedPartition& partition) {
  json_t* object = json_object();
  add(object, "number", number(partition.number));
  add(object, "name", text(partition.name));
  add(object, "type", text(word_of(type_words, partition.type)));
  add(object, "start", number(partition.start));
  add(object, "size", number(partition.size));
  add(object, "format", text(word_of(format_words, partition.format)));
  add(object, "compat", text(word_of(compat_words, partition.compat)));
  add(object, "label", text(partition.label));
  add(object, "mount", text(partition.mount));
  add(object, "options", list(partition.options));
  add(object, "uuid", text(partition.uuid));
  return object;
}

json_t* write_disk(const PlannedDisk& planned) {
  const auto& known = planned.disk;
  json_t* object = json_object();
  add(object, "id", text(planned.id));
  add(object, "path", text(known.path));
  add(object, "is_file", json_boolean(known.is_file));
  add(object, "device", text(known.device));
  add(object, "size", number(known.size));
  add(object, "sector_size", number(known.sector_size));
  add(object, "transport", text(known.transport));
  add(object, "model", text(known.model));
  add(object, "serial", text(known.serial));
  add(object, "wwn", text(known.wwn));
  add(object, "found", text(known.found));
  add(object, "digest", text(known.digest));
  add(object, "table", text(word_of(table_words, planned.table)));
  add(object, "table_uuid", text(planned.table_uuid));
  json_t* partitions = json_array();
  for (const auto& partition : planned.partitions) json_array_append_new(partitions, write_partition(partition));
  add(object, "partitions", partitions);
  return object;
}

PlannedPartition read_partition(JsonObject& object, const PlannedDisk& on) {
  PlannedPartition partition;
  partition.number = static_cast<unsigned>(object.number("number", 1, 128));
  partition.name = object.checked("name", check_partition_name);
  partition.type = object.word("type", type_words);
  partition.start = object.number("start", alignment, on.disk.size);
  partition.size = object.number("size", 1, on.disk.size - std::min(partition.start, on.disk.size));
  partition.format = object.word("format", format_words);
  partition.compat = object.word("compat", compat_words);
  if (partition.compat == Compat::automatic) object.wrong("compat", "a plan has decided it");
  partition.label = object.text("label");
  partition.mount = object.checked_or_empty("mount", check_mount_point);
  partition.options = object.texts("options");
  for (const auto& option : partition.options)
    if (const auto fine = check_mount_option(option); !fine) object.wrong("options", fine.error().message());
  partition.uuid = object.checked_or_empty("uuid", check_line);
  partition.in_file = on.disk.is_file;
  partition.device = on.disk.is_file ? on.disk.path : partition_device(on.disk.path, partition.number);
  object.end();
  return partition;
}

PlannedDisk read_disk(JsonObject& object) {
  PlannedDisk planned;
  auto& known = planned.disk;
  planned.id = object.checked("id", check_line);
  known.path = object.checked("path", check_line);
  known.name = known.path.substr(known.path.rfind('/') + 1);
  known.is_file = object.flag("is_file");
  known.device = object.checked("device", check_line);
  known.size = object.number("size", 1, INT64_MAX);
  known.sector_size = static_cast<std::uint32_t>(object.number("sector_size", 512, 65536));
  known.transport = object.text("transport");
  known.model = object.text("model");
  known.serial = object.text("serial");
  known.wwn = object.text("wwn");
  known.found = object.text("found");
  known.digest = object.checked("digest", check_sha256);
  planned.table = object.word("table", table_words);
  planned.table_uuid = object.checked("table_uuid", check_line);
  unsigned last = 0;
  std::uint64_t end = 0;
  for (auto& each : object.objects("partitions")) {
    planned.partitions.push_back(read_partition(each, planned));
    const auto& partition = planned.partitions.back();
    if (partition.number <= last) each.wrong("number", "partitions must be in order");
    if (partition.start < end) each.wrong("start", "it overlaps the partition before");
    last = partition.number;
    end = partition.start + partition.size;
  }
  object.end();
  return planned;
}

}  // namespace

std::string to_json(const Plan& plan) {
  const Json root(json_object(), json_decref);
  add(root.get(), "version", number(plan_version));
  add(root.get(), "hosts", list(plan.hosts));
  add(root.get(), "targets", list(plan.targets));
  json_t* disks = json_array();
  for (const auto& planned : plan.disks) json_array_append_new(disks, write_disk(planned));
  add(root.get(), "disks", disks);
  add(root.get(), "unused", list(plan.unused));
  add(root.get(), "image_source", text(plan.image_source));
  add(root.get(), "image_sha256", text(plan.image_sha256));
  if (plan.image_size) add(root.get(), "image_size", number(*plan.image_size));
  add(root.get(), "boot_loader", text(word_of(boot_loader_words, plan.boot_loader)));
  add(root.get(), "firmware", text(word_of(firmware_words, plan.firmware)));
  add(root.get(), "boot_disk", text(plan.boot_disk));
  const std::unique_ptr<char, decltype(&std::free)> written(json_dumps(root.get(), JSON_INDENT(2)), std::free);
  return written ? std::string(written.get()) + "\n" : std::string();
}

Result<Plan> plan_from_json(std::string_view saved) {
  const auto unusable = [](const std::string& why) {
    return std::unexpected(Error(ErrorKind::invalid, "the saved plan cannot be used: " + why).advise("run `signet-agent plan` again"));
  };
  json_error_t error{};
  const Json parsed(json_loadb(saved.data(), saved.size(), JSON_REJECT_DUPLICATES, &error), json_decref);
  if (!json_is_object(parsed.get())) return unusable(std::format("it is not a JSON object: line {}: {}", error.line, std::string_view(error.text)));
  std::vector<std::string> mistakes;
  JsonObject root(parsed.get(), "", mistakes);
  if (const auto version = root.number("version", 0, INT64_MAX); mistakes.empty() && version != plan_version)
    return unusable(std::format("it has version {}, this agent reads version {}", version, plan_version));

  Plan plan;
  plan.hosts = root.texts("hosts");
  for (const auto& host : plan.hosts)
    if (const auto fine = HostName::parse(host); !fine) root.wrong("hosts", fine.error().message());
  plan.targets = root.texts("targets");
  for (auto& disk : root.objects("disks")) plan.disks.push_back(read_disk(disk));
  plan.unused = root.texts("unused");
  plan.image_source = root.text("image_source");
  plan.image_sha256 = root.checked_or_empty("image_sha256", check_sha256);
  if (root.has("image_size")) plan.image_size = root.number("image_size", 0, INT64_MAX);
  plan.boot_loader = root.word("boot_loader", boot_loader_words);
  plan.firmware = root.word("firmware", firmware_words);
  plan.boot_disk = root.text("boot_disk");
  if (!plan.boot_disk.empty() && !std::ranges::contains(plan.disks, plan.boot_disk, [](const PlannedDisk& planned) { return planned.disk.path; }))
    root.wrong("boot_disk", "it is none of the plan's disks");
  root.end();
  if (!mistakes.empty()) return unusable(join(mistakes, "\n"));
  return plan;
}

}  // namespace signet
