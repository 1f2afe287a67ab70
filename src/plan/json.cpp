// A plan as JSON, for the verbs that run after `partition`: the file systems' UUIDs and places are decided once.
#include <jansson.h>

#include <cstdlib>
#include <memory>

#include "plan/plan.h"

namespace signet {
namespace {

using Json = std::unique_ptr<json_t, decltype(&json_decref)>;

json_t* text(const std::string& value) { return json_stringn_nocheck(value.data(), value.size()); }
json_t* number(std::uint64_t value) { return json_integer(static_cast<json_int_t>(value)); }
void add(json_t* object, const char* key, json_t* value) { json_object_set_new(object, key, value); }

std::string string_of(const json_t* object, const char* key) {
  const json_t* value = json_object_get(object, key);
  return json_is_string(value) ? std::string(json_string_value(value), json_string_length(value)) : std::string();
}

std::uint64_t number_of(const json_t* object, const char* key) {
  return static_cast<std::uint64_t>(json_integer_value(json_object_get(object, key)));
}

bool flag_of(const json_t* object, const char* key) { return json_is_true(json_object_get(object, key)); }

// The enumerator whose to_string() is `text`; the first of `all` if none is.
template <class Enum, std::size_t size>
Enum enumerator(const Enum (&all)[size], const std::string& text) {
  for (const Enum value : all)
    if (to_string(value) == text) return value;
  return all[0];
}

constexpr TableType tables[] = {TableType::gpt, TableType::mbr};
constexpr FormatType formats[] = {FormatType::none, FormatType::ext2, FormatType::ext3, FormatType::ext4, FormatType::vfat, FormatType::swap};
constexpr PartitionType types[] = {PartitionType::linux, PartitionType::esp,  PartitionType::bios, PartitionType::swap,
                                   PartitionType::boot,  PartitionType::home, PartitionType::raid, PartitionType::lvm};

json_t* write_partition(const PlannedPartition& partition) {
  json_t* object = json_object();
  add(object, "number", number(partition.number));
  add(object, "name", text(partition.name));
  add(object, "type", text(std::string(to_string(partition.type))));
  add(object, "start", number(partition.start));
  add(object, "size", number(partition.size));
  add(object, "format", text(std::string(to_string(partition.format))));
  add(object, "label", text(partition.label));
  add(object, "mount", text(partition.mount));
  json_t* options = json_array();
  for (const auto& option : partition.options) json_array_append_new(options, text(option));
  add(object, "options", options);
  add(object, "uuid", text(partition.uuid));
  add(object, "device", text(partition.device));
  add(object, "in_file", json_boolean(partition.in_file));
  return object;
}

PlannedPartition read_partition(const json_t* object) {
  PlannedPartition partition;
  partition.number = static_cast<unsigned>(number_of(object, "number"));
  partition.name = string_of(object, "name");
  partition.type = enumerator(types, string_of(object, "type"));
  partition.start = number_of(object, "start");
  partition.size = number_of(object, "size");
  partition.format = enumerator(formats, string_of(object, "format"));
  partition.label = string_of(object, "label");
  partition.mount = string_of(object, "mount");
  std::size_t index = 0;
  json_t* option = nullptr;
  json_array_foreach(json_object_get(object, "options"), index, option) {
    if (json_is_string(option)) partition.options.emplace_back(json_string_value(option));
  }
  partition.uuid = string_of(object, "uuid");
  partition.device = string_of(object, "device");
  partition.in_file = flag_of(object, "in_file");
  return partition;
}

}  // namespace

std::string to_json(const Plan& plan) {
  const Json root(json_object(), json_decref);
  json_t* disks = json_array();
  for (const auto& planned : plan.disks) {
    json_t* disk = json_object();
    add(disk, "id", text(planned.id));
    add(disk, "path", text(planned.disk.path));
    add(disk, "size", number(planned.disk.size));
    add(disk, "sector_size", number(planned.disk.sector_size));
    add(disk, "is_file", json_boolean(planned.disk.is_file));
    add(disk, "table", text(std::string(to_string(planned.table))));
    add(disk, "table_uuid", text(planned.table_uuid));
    json_t* partitions = json_array();
    for (const auto& partition : planned.partitions) json_array_append_new(partitions, write_partition(partition));
    add(disk, "partitions", partitions);
    json_array_append_new(disks, disk);
  }
  add(root.get(), "disks", disks);
  add(root.get(), "image_source", text(plan.image_source));
  add(root.get(), "image_sha256", text(plan.image_sha256));
  if (plan.image_size) add(root.get(), "image_size", number(*plan.image_size));
  add(root.get(), "grub", json_boolean(plan.boot_loader == BootLoader::grub));
  add(root.get(), "efi", json_boolean(plan.firmware == Firmware::efi));
  add(root.get(), "boot_disk", text(plan.boot_disk));
  const std::unique_ptr<char, decltype(&std::free)> written(json_dumps(root.get(), JSON_INDENT(2)), std::free);
  return written ? std::string(written.get()) + "\n" : std::string();
}

Result<Plan> plan_from_json(std::string_view saved) {
  json_error_t error{};
  const Json root(json_loadb(saved.data(), saved.size(), 0, &error), json_decref);
  if (!json_is_object(root.get()))
    return fail(ErrorKind::invalid, "the saved plan is not JSON: line {}: {}", error.line, std::string_view(error.text));
  Plan plan;
  std::size_t index = 0;
  json_t* disk = nullptr;
  json_array_foreach(json_object_get(root.get(), "disks"), index, disk) {
    PlannedDisk planned;
    planned.id = string_of(disk, "id");
    planned.disk.path = string_of(disk, "path");
    planned.disk.size = number_of(disk, "size");
    planned.disk.sector_size = static_cast<std::uint32_t>(number_of(disk, "sector_size"));
    planned.disk.is_file = flag_of(disk, "is_file");
    planned.table = enumerator(tables, string_of(disk, "table"));
    planned.table_uuid = string_of(disk, "table_uuid");
    std::size_t at = 0;
    json_t* partition = nullptr;
    json_array_foreach(json_object_get(disk, "partitions"), at, partition) planned.partitions.push_back(read_partition(partition));
    plan.disks.push_back(std::move(planned));
  }
  plan.image_source = string_of(root.get(), "image_source");
  plan.image_sha256 = string_of(root.get(), "image_sha256");
  if (json_object_get(root.get(), "image_size")) plan.image_size = number_of(root.get(), "image_size");
  plan.boot_loader = flag_of(root.get(), "grub") ? BootLoader::grub : BootLoader::none;
  plan.firmware = flag_of(root.get(), "efi") ? Firmware::efi : Firmware::bios;
  plan.boot_disk = string_of(root.get(), "boot_disk");
  return plan;
}

}  // namespace signet
