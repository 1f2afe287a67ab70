#include "machine/superblock.h"

#include <blkid/blkid.h>

#include <memory>

namespace signet {
namespace {

// `flag` makes the probe read the value called `name`.
std::optional<std::string> value_of(const std::string& device, int flag, const char* name) {
  const std::unique_ptr<blkid_struct_probe, decltype(&blkid_free_probe)> probe(blkid_new_probe_from_filename(device.c_str()), blkid_free_probe);
  if (!probe) return std::nullopt;
  blkid_probe_enable_superblocks(probe.get(), 1);
  blkid_probe_set_superblocks_flags(probe.get(), flag);
  const char* value = nullptr;
  if (blkid_do_safeprobe(probe.get()) != 0 || blkid_probe_lookup_value(probe.get(), name, &value, nullptr) != 0 || !value) return "";
  return value;
}

}  // namespace

std::optional<std::string> probe_label(const std::string& device) { return value_of(device, BLKID_SUBLKS_LABEL, "LABEL"); }

std::string label_of(const std::string& device) { return probe_label(device).value_or(""); }

std::string uuid_of(const std::string& device) { return value_of(device, BLKID_SUBLKS_UUID, "UUID").value_or(""); }

}  // namespace signet
