// machine/: what this node is. Disks, links, SMBIOS, kernel command line; read from sysfs, procfs and the disks themselves, never changed.
//
// Every function takes the root of the tree that it reads ("/sys", "/proc"), so tests hand it a directory of files.
#pragma once

#include <chrono>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "base/fd.h"
#include "base/result.h"
#include "machine/local_config.h"
#include "machine/mark.h"

namespace signet {

/// What is on a disk before we touch it; the wipe rule is decided on this and on the mark.
enum class DiskContent {
  blank,    // no signature that libblkid knows, and zeros wherever one looks (machine/content.h)
  signet,   // carries Signet's mark (machine/mark.h) and the table that belongs to it: installed by Signet, completely or not
  foreign,  // anything else
};

struct Disk {
  std::string path;                 // "/dev/vda", or the image file's path
  std::string name;                 // "vda"
  std::uint64_t size = 0;           // bytes
  std::uint32_t sector_size = 512;  // logical, bytes
  std::string model;
  std::string serial;
  std::string wwn;        // "0x5000c500…", "eui.…" or "naa.…" as sysfs spells it
  std::string transport;  // nvme sata sas scsi ata usb mmc virtio loop file; empty if unknown
  bool rotational = false;
  bool removable = false;
  bool read_only = false;
  bool boot_medium = false;  // this machine was started from it; no rule matches it
  bool is_file = false;      // an image file, not a block device
  unsigned index = 0;        // its place among the disks sorted by kernel name (vda vdb … vdz vdaa), from 0
  DiskContent content = DiskContent::foreign;
  std::string found;   // what is on it, for people: "gpt, ext4 "data"", "nothing", "a Signet 0.1 system, …"
  std::string device;  // "253:0", the kernel's number of it; of an image file "8:1 1234", its file system's and its inode
  std::string digest;  // SHA-256 over its first and last MiB and `found`: what the wipe rule is decided on, in 64 hex digits; empty if unreadable
  std::optional<Mark> mark;  // content == signet: what it says
  std::string table_id;      // of its partition table, as marks have it: a GPT's disk GUID or an MBR's 8 hex digits, lower case; empty: none
  bool closed = false;       // its first sector gives control back to the firmware (machine/boot_code.h)
  std::string in_use;        // why it must not be written: "vda1 is mounted on /", "vda2 is swap"; empty if free

  /// "/dev/vda (20 GiB, virtio, QEMU HARDDISK, serial X)".
  std::string describe() const;
};

struct Link {
  std::string name;    // "eth0"
  std::string mac;     // "52:54:00:12:34:56", lower case
  std::string driver;  // "virtio_net"
  bool carrier = false;
};

/// DMTF DSP0134; from /sys/class/dmi/id. Fields that the firmware left empty or filled with a placeholder are empty.
struct Smbios {
  std::string uuid;  // lower case
  std::string serial;
  std::string vendor;
  std::string product;
};

/// Kernel command line: words, with "double quotes" as Documentation/admin-guide/kernel-parameters.rst has them.
class KernelCommandLine {
 public:
  static KernelCommandLine parse(std::string_view text);

  /// The last value of NAME=VALUE (an empty string for a bare NAME), or nothing.
  std::optional<std::string> value(std::string_view name) const;
  /// Every value of NAME in order: console=tty0 console=ttyS0.
  std::vector<std::string> values(std::string_view name) const;
  /// signet.NAME, where '-' and '_' are the same.
  std::optional<std::string> signet(std::string_view name) const;
  /// True for signet.NAME, signet.NAME=1, yes, on, true.
  bool signet_flag(std::string_view name) const;
  const std::string& text() const { return text_; }
  /// Every NAME=VALUE, in order.
  const std::vector<std::pair<std::string, std::string>>& words() const { return words_; }

 private:
  std::string text_;
  std::vector<std::pair<std::string, std::string>> words_;
};

/// A setting's value and where it was said: "signet.server", "local.cfg on /dev/sda3".
struct Setting {
  std::string value;
  std::string source;
};

struct Machine {
  std::vector<Disk> disks;
  std::vector<Link> links;
  Smbios smbios;
  KernelCommandLine command_line;
  std::optional<LocalConfig> local;
  std::uint64_t memory = 0;  // bytes
  bool efi = false;          // booted by UEFI firmware
  bool locked_down = false;  // the kernel's lockdown says integrity or confidentiality (kernel_lockdown(7))

  /// signet.NAME of the kernel command line, else NAME of local.cfg. `network` is the kernel's own ip=.
  std::optional<Setting> setting(std::string_view name) const;
  /// True for a setting that is there and empty, 1, yes, on or true.
  bool flag(std::string_view name) const;
  /// False where nobody may get a shell without a log-in: signet.shell says so, or local.cfg, or the kernel is locked down and signet.shell does not
  /// say yes. On a locked kernel only the command line, which is signed with it, can allow one. A value that is not a yes means no.
  bool shells_allowed() const;
};

/// Whole disks that an installer may consider: no partitions, loops (unless with_loops), ram, zram, CD, floppies, md or dm. The boot medium is among
/// them, and says so. Content is probed.
Result<std::vector<Disk>> scan_disks(const std::string& sys = "/sys", const std::string& dev = "/dev", bool with_loops = false);

/// How many device events the kernel has sent, and since when it has been so many.
struct DeviceEvents {
  std::string sequence;
  std::chrono::steady_clock::time_point since;
};
DeviceEvents device_events(const std::string& sys = "/sys");

/// Waits until the kernel has announced no device for as long as `quiet`, counted from `seen` if nothing came since: disks are found one by one, and
/// a rule that means "the only disk" must not be judged while one is still to come. At most `quiet` and 10 s more.
void wait_for_devices(const DeviceEvents& seen, std::chrono::milliseconds quiet, const std::string& sys = "/sys");

/// How long this machine's controllers may be silent between two disks. Those that are built into the kernel (virtio, NVMe, AHCI) have been searched
/// before the first program runs: 300 ms. USB takes 1 s, and 3 s with a storage device on it (usb-storage waits for a second itself); SCSI adapters
/// 3 s; SAS with its expanders 8 s; Fibre Channel, where targets log in one by one, 10 s.
std::chrono::milliseconds settle_time(const std::string& sys = "/sys");

/// A block device, or an image file that stands for a disk. `sector_size` is for files only.
Result<Disk> describe_disk(const std::string& path, std::uint32_t sector_size = 512);
/// The same of what `fd` has open, whatever `path` leads to by now.
Result<Disk> describe_open_disk(int fd, const std::string& path, std::uint32_t sector_size = 512);
/// The same without what is on it, which is not read.
Result<Disk> identify_open_disk(int fd, const std::string& path, std::uint32_t sector_size = 512);

/// Where a partition is expected.
struct PartitionPlace {
  std::string disk;  // Disk::device of the disk that it is on
  unsigned number = 0;
  std::uint64_t start = 0, size = 0;  // bytes
};
/// Opens a partition's device for reading if it is the expected one; an error of kind refused says what it is instead. While it is open its name
/// cannot pass to another device.
Result<Fd> open_partition(const std::string& path, const PartitionPlace& expected);

/// Ethernet links (ARPHRD_ETHER with a device behind them), sorted by name.
std::vector<Link> scan_links(const std::string& sys = "/sys");

Smbios read_smbios(const std::string& sys = "/sys");
KernelCommandLine read_kernel_command_line(const std::string& proc = "/proc");

bool read_lockdown(const std::string& sys = "/sys");

/// All of the above but the disks, whose reading may take long.
Machine scan_machine();

}  // namespace signet
