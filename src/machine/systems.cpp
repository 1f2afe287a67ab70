#include "machine/systems.h"

#include <blkid/blkid.h>
#include <limits.h>
#include <stdlib.h>

#include <algorithm>
#include <format>
#include <memory>

#include "base/text.h"
#include "machine/sysfs.h"

namespace signet {
namespace {

struct Signature {
  std::string type;
  bool part_of_something = false;  // a member of a RAID or volume group, or encrypted
  bool ambiguous = false;
};

// libblkid looks for RAID members first, also at the end of the device (metadata 0.90 and 1.0), and then for nothing else.
Result<Signature> signature_of(const std::string& device) {
  const std::unique_ptr<blkid_struct_probe, decltype(&blkid_free_probe)> probe(blkid_new_probe_from_filename(device.c_str()), blkid_free_probe);
  if (!probe) return fail_errno("read {}", device);
  blkid_probe_enable_superblocks(probe.get(), 1);
  blkid_probe_set_superblocks_flags(probe.get(), BLKID_SUBLKS_TYPE | BLKID_SUBLKS_USAGE);
  const int found = blkid_do_safeprobe(probe.get());
  if (found == -1) return fail(ErrorKind::io, "{} cannot be read", device);
  Signature signature;
  signature.ambiguous = found == -2;
  if (found != 0) return signature;
  const auto value = [&](const char* name) {
    const char* data = nullptr;
    return blkid_probe_lookup_value(probe.get(), name, &data, nullptr) == 0 && data ? printable(data) : std::string();
  };
  signature.type = value("TYPE");
  const auto usage = value("USAGE");
  signature.part_of_something = usage == "raid" || usage == "crypto";
  return signature;
}

std::unexpected<Error> part_of(const std::string& device, std::string_view what) {
  return std::unexpected(Error(ErrorKind::refused, std::format("{} is not looked into: {}", device, what))
                             .advise("put together what it is a part of, and name that device"));
}

// "/sys/devices/…/block/sda/sda1" of /dev/sda1; empty for what is no block device.
std::string directory_of(const std::string& device, const std::string& sys) {
  const auto name = device.substr(device.rfind('/') + 1);
  char resolved[PATH_MAX];
  return ::realpath((sys + "/class/block/" + name).c_str(), resolved) ? std::string(resolved) : std::string();
}

}  // namespace

Result<FoundFileSystem> look_into(const std::string& device, const std::string& sys) {
  if (const auto directory = directory_of(device, sys); !directory.empty()) {
    if (const auto holders = sysfs::names(directory + "/holders"); !holders.empty()) return part_of(device, "it is in use by " + join(holders, ", "));
    if (sysfs::exists(directory + "/partition")) {
      const auto disk = directory.substr(0, directory.rfind('/'));
      const auto name = disk.substr(disk.rfind('/') + 1);
      const auto whole = TRY(signature_of(device.substr(0, device.rfind('/') + 1) + name));
      if (whole.part_of_something) return part_of(device, std::format("all of {} holds {}", name, whole.type));
    }
  }
  const auto signature = TRY(signature_of(device));
  if (signature.ambiguous) return part_of(device, "it has the signatures of several formats (wipefs(8) lists them)");
  if (signature.part_of_something) return part_of(device, "it holds " + signature.type);
  if (signature.type == "ext2" || signature.type == "vfat") return FoundFileSystem{device, signature.type, "ro"};
  if (signature.type == "ext3" || signature.type == "ext4") return FoundFileSystem{device, signature.type, "ro,noload"};
  if (signature.type == "xfs") return FoundFileSystem{device, signature.type, "ro,norecovery"};
  if (signature.type == "btrfs") return FoundFileSystem{device, signature.type, "ro,rescue=nologreplay"};
  return fail(ErrorKind::not_found, "{} holds {}", device, signature.type.empty() ? "no file system" : signature.type);
}

FoundSystems find_systems(const std::string& sys, const std::string& dev) {
  FoundSystems found;
  for (const auto& name : sysfs::names(sys + "/class/block")) {
    if (name.starts_with("ram") || name.starts_with("zram") || name.starts_with("fd") || name.starts_with("sr")) continue;
    if (sysfs::number(sys + "/class/block/" + name + "/size") == 0) continue;
    const auto device = dev + "/" + name;
    auto system = look_into(device, sys);
    if (system && system->type != "vfat")
      found.systems.push_back(std::move(*system));
    else if (!system && system.error().kind() != ErrorKind::not_found)
      found.skipped.push_back({device, system.error().message()});
  }
  return found;
}

}  // namespace signet
