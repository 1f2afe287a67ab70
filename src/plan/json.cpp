// A plan as JSON, for the verbs that run after `partition`: the file systems' UUIDs and places are decided once.
#include <yyjson.h>

#include <cstdlib>
#include <memory>

#include "plan/plan.h"

namespace signet {
namespace {

class Writer {
 public:
  Writer() : document_(yyjson_mut_doc_new(nullptr), yyjson_mut_doc_free) {}
  yyjson_mut_val* object() { return yyjson_mut_obj(document_.get()); }
  yyjson_mut_val* array() { return yyjson_mut_arr(document_.get()); }
  void add(yyjson_mut_val* object, const char* key, const std::string& value) {
    yyjson_mut_obj_add_strncpy(document_.get(), object, key, value.data(), value.size());
  }
  void add(yyjson_mut_val* object, const char* key, std::uint64_t value) { yyjson_mut_obj_add_uint(document_.get(), object, key, value); }
  void add(yyjson_mut_val* object, const char* key, bool value) { yyjson_mut_obj_add_bool(document_.get(), object, key, value); }
  void add(yyjson_mut_val* object, const char* key, yyjson_mut_val* value) { yyjson_mut_obj_add_val(document_.get(), object, key, value); }
  void append(yyjson_mut_val* array, const std::string& value) { yyjson_mut_arr_add_strncpy(document_.get(), array, value.data(), value.size()); }
  std::string text(yyjson_mut_val* root) {
    yyjson_mut_doc_set_root(document_.get(), root);
    std::size_t length = 0;
    const std::unique_ptr<char, decltype(&std::free)> text(yyjson_mut_write(document_.get(), YYJSON_WRITE_PRETTY, &length), std::free);
    return text ? std::string(text.get(), length) + "\n" : std::string();
  }

 private:
  std::unique_ptr<yyjson_mut_doc, decltype(&yyjson_mut_doc_free)> document_;
};

std::string string_of(yyjson_val* object, const char* key) {
  yyjson_val* value = yyjson_obj_get(object, key);
  return yyjson_is_str(value) ? std::string(yyjson_get_str(value), yyjson_get_len(value)) : std::string();
}

std::uint64_t number_of(yyjson_val* object, const char* key) { return yyjson_get_uint(yyjson_obj_get(object, key)); }

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

yyjson_mut_val* write_partition(Writer& json, const PlannedPartition& partition) {
  auto* object = json.object();
  json.add(object, "number", std::uint64_t{partition.number});
  json.add(object, "name", partition.name);
  json.add(object, "type", std::string(to_string(partition.type)));
  json.add(object, "start", partition.start);
  json.add(object, "size", partition.size);
  json.add(object, "format", std::string(to_string(partition.format)));
  json.add(object, "label", partition.label);
  json.add(object, "mount", partition.mount);
  auto* options = json.array();
  for (const auto& option : partition.options) json.append(options, option);
  json.add(object, "options", options);
  json.add(object, "uuid", partition.uuid);
  json.add(object, "device", partition.device);
  json.add(object, "in_file", partition.in_file);
  return object;
}

PlannedPartition read_partition(yyjson_val* object) {
  PlannedPartition partition;
  partition.number = static_cast<unsigned>(number_of(object, "number"));
  partition.name = string_of(object, "name");
  partition.type = enumerator(types, string_of(object, "type"));
  partition.start = number_of(object, "start");
  partition.size = number_of(object, "size");
  partition.format = enumerator(formats, string_of(object, "format"));
  partition.label = string_of(object, "label");
  partition.mount = string_of(object, "mount");
  std::size_t index = 0, count = 0;
  yyjson_val* option = nullptr;
  yyjson_arr_foreach(yyjson_obj_get(object, "options"), index, count, option) {
    if (yyjson_is_str(option)) partition.options.emplace_back(yyjson_get_str(option));
  }
  partition.uuid = string_of(object, "uuid");
  partition.device = string_of(object, "device");
  partition.in_file = yyjson_get_bool(yyjson_obj_get(object, "in_file"));
  return partition;
}

}  // namespace

std::string to_json(const Plan& plan) {
  Writer json;
  auto* root = json.object();
  auto* disks = json.array();
  for (const auto& planned : plan.disks) {
    auto* disk = json.object();
    json.add(disk, "id", planned.id);
    json.add(disk, "path", planned.disk.path);
    json.add(disk, "size", planned.disk.size);
    json.add(disk, "sector_size", std::uint64_t{planned.disk.sector_size});
    json.add(disk, "is_file", planned.disk.is_file);
    json.add(disk, "table", std::string(to_string(planned.table)));
    json.add(disk, "table_uuid", planned.table_uuid);
    auto* partitions = json.array();
    for (const auto& partition : planned.partitions) yyjson_mut_arr_append(partitions, write_partition(json, partition));
    json.add(disk, "partitions", partitions);
    yyjson_mut_arr_append(disks, disk);
  }
  json.add(root, "disks", disks);
  json.add(root, "image_source", plan.image_source);
  json.add(root, "image_sha256", plan.image_sha256);
  if (plan.image_size) json.add(root, "image_size", *plan.image_size);
  json.add(root, "grub", plan.boot_loader == BootLoader::grub);
  json.add(root, "boot_disk", plan.boot_disk);
  return json.text(root);
}

Result<Plan> plan_from_json(std::string_view text) {
  const std::unique_ptr<yyjson_doc, decltype(&yyjson_doc_free)> document(yyjson_read(text.data(), text.size(), YYJSON_READ_NOFLAG), yyjson_doc_free);
  yyjson_val* root = document ? yyjson_doc_get_root(document.get()) : nullptr;
  if (!yyjson_is_obj(root)) return fail(ErrorKind::invalid, "the saved plan is not JSON");
  Plan plan;
  std::size_t index = 0, count = 0;
  yyjson_val* disk = nullptr;
  yyjson_arr_foreach(yyjson_obj_get(root, "disks"), index, count, disk) {
    PlannedDisk planned;
    planned.id = string_of(disk, "id");
    planned.disk.path = string_of(disk, "path");
    planned.disk.size = number_of(disk, "size");
    planned.disk.sector_size = static_cast<std::uint32_t>(number_of(disk, "sector_size"));
    planned.disk.is_file = yyjson_get_bool(yyjson_obj_get(disk, "is_file"));
    planned.table = enumerator(tables, string_of(disk, "table"));
    planned.table_uuid = string_of(disk, "table_uuid");
    std::size_t number = 0, partitions = 0;
    yyjson_val* partition = nullptr;
    yyjson_arr_foreach(yyjson_obj_get(disk, "partitions"), number, partitions, partition) planned.partitions.push_back(read_partition(partition));
    plan.disks.push_back(std::move(planned));
  }
  plan.image_source = string_of(root, "image_source");
  plan.image_sha256 = string_of(root, "image_sha256");
  if (yyjson_val* size = yyjson_obj_get(root, "image_size")) plan.image_size = yyjson_get_uint(size);
  plan.boot_loader = yyjson_get_bool(yyjson_obj_get(root, "grub")) ? BootLoader::grub : BootLoader::none;
  plan.boot_disk = string_of(root, "boot_disk");
  return plan;
}

}  // namespace signet
