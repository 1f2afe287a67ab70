// plan/: Profile + Machine become a Plan, or a refusal that names every reason.
//
// Nothing destructive happens before a whole plan exists. The room does no I/O: it decides on what machine/ and fetch/ found.
#pragma once

#include <cstdint>
#include <functional>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "machine/machine.h"
#include "profile/profile.h"

namespace signet {

struct PlannedPartition {
  unsigned number = 0;  // from 1
  std::string name;
  PartitionType type = PartitionType::linux;
  std::uint64_t start = 0;  // bytes from the start of the disk, a multiple of 1 MiB
  std::uint64_t size = 0;   // bytes
  FormatType format = FormatType::none;
  Compat compat = Compat::y2018;  // never automatic
  std::string label;
  std::string mount;
  std::vector<std::string> options;
  std::string uuid;      // of the file system or swap area to be made, as blkid prints it; vfat: "1A2B-3C4D"
  std::string device;    // "/dev/vda1", "/dev/nvme0n1p1"; for an image file the file's path
  bool in_file = false;  // `device` is an image file: the partition lies at `start` in it
};

struct PlannedDisk {
  Disk disk;  // as it was judged; its device, size, sector size, serial, WWN and digest must still hold when it is written
  std::string id;
  TableType table = TableType::gpt;
  std::string table_uuid;  // GPT disk GUID, or "0x1a2b3c4d" for MBR
  std::vector<PlannedPartition> partitions;
};

/// What starts the installed system. A machine that UEFI started is installed for UEFI. An image file, which has no firmware, is made for BIOS if its
/// table has room for that, else for UEFI.
enum class Firmware { bios, efi };

struct Plan {
  std::vector<PlannedDisk> disks;
  std::string image_source;
  std::string image_sha256;
  std::optional<std::uint64_t> image_size;         // bytes as stored, if the server says
  BootLoader boot_loader = BootLoader::automatic;  // automatic is resolved: grub or none
  Firmware firmware = Firmware::bios;              // what the boot loader is for
  std::string boot_disk;                           // path of the disk that the boot loader goes to; empty with none
  std::vector<std::string> hosts;                  // this host's names; marks carry the first
  std::vector<std::string> targets;                // the disks and image files that could be chosen from; empty: all disks of the node
  std::vector<std::string> unused;                 // the disks that are left alone, described

  /// What marks say of the host; empty if it has no name.
  std::string host() const { return hosts.empty() ? std::string() : hosts.front(); }

  /// Partitions with a mount point, parents before children ("/" before "/boot" before "/boot/efi").
  std::vector<const PlannedPartition*> mounts() const;
  /// The EFI system partition that the boot loader goes to: type esp, mounted, on the boot disk. Null if there is none.
  const PlannedPartition* esp() const;
  /// What would happen, for a person at a console: a table per disk, the disks that are left alone, the image, the boot loader.
  std::string text() const;
};

struct PlanInputs {
  const Profile& profile;
  const Machine& machine;
  std::optional<std::uint64_t> image_size;  // bytes as stored
  /// A fresh UUID (RFC 9562 version 4, lower case) at each call; tests give their own.
  std::function<std::string()> new_uuid;
  std::vector<std::string> hosts = {};    // this host's names, the best first; empty ones are dropped
  std::vector<std::string> targets = {};  // as Plan has them
};

/// The plan, or one Error of kind refused (no_space if the only reasons are sizes) whose message has every reason in a line of its own.
/// Refuses when: a rule matches no disk or more than one (each candidate is listed with why it did or did not match); two rules take the same disk; a
/// disk cannot be read, is read-only or in use, by another path too; the wipe rule forbids (wipe.h); partitions do not fit (says how much is
/// missing); a file system is smaller or larger than it can be; "rest" stands twice on a disk, or a name; no partition mounts "/"; two mount the same
/// place; MBR with more than 4 partitions, GPT with more than 128; the image as stored cannot fit; GRUB for BIOS on GPT without a `bios` partition;
/// GRUB for UEFI without a mounted vfat partition of type `esp` on a GPT disk.
Result<Plan> make_plan(const PlanInputs& inputs);

/// The plan as JSON: all that the stages after `plan` need, and what its disks are known by.
std::string to_json(const Plan& plan);
/// And back. Strict, since it decides what is written: another version, an unknown or missing key, a wrong type or word, a partition that is not on
/// its disk are errors of kind invalid, all in one message with their places ("disks[0].partitions[1].format").
Result<Plan> plan_from_json(std::string_view text);

/// The device of partition `number` of a disk: /dev/sda + 1 = /dev/sda1, /dev/nvme0n1 + 1 = /dev/nvme0n1p1.
std::string partition_device(const std::string& disk, unsigned number);

}  // namespace signet
