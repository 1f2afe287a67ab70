// profile/: TOML becomes a typed Profile, or a list of every mistake in it with file, line and column.
//
// The room does no I/O: what `extends` names is fetched by a function that the caller gives.
// The format is DESIGN.md's "Profile (TOML)"; schema 1.
#pragma once

#include <chrono>
#include <cstdint>
#include <functional>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "base/result.h"
#include "base/uri.h"

namespace signet {

/// Where in which file a thing was written. Line and column count from 1; 0 means: not from a file (a flag of a verb).
struct Place {
  std::string file;
  unsigned line = 0;
  unsigned column = 0;
};

struct Diagnostic {
  Place place;
  std::string message;  // "unknown key `formt`; did you mean `format`?"
  /// "hosts/node01.toml:12:3: unknown key …"
  std::string text() const;
};

/// The size of a partition: bytes, a percentage of the disk's usable space, or all that the others leave.
struct SizeRule {
  enum class Kind { bytes, percent, rest } kind = Kind::bytes;
  std::uint64_t value = 0;  // bytes, or 1 … 100
  bool operator==(const SizeRule&) const = default;
};

/// ">=100GiB", "<2TB", "=20GiB", "20GiB" (exactly), or two joined by a comma: ">=100GiB,<1TiB".
struct SizeBound {
  std::uint64_t minimum = 0;
  std::uint64_t maximum = UINT64_MAX;  // both inclusive
  std::string text;                    // as written
  bool holds(std::uint64_t size) const { return size >= minimum && size <= maximum; }
};

/// All that are given must hold. Strings are shell patterns (fnmatch(3)), compared without regard to case, except path.
struct DiskMatch {
  std::optional<std::string> path, wwn, serial, model, transport;
  std::optional<SizeBound> size;
  std::optional<bool> rotational;
  std::optional<unsigned> index;
  /// `transport = "nvme", size = ">=100GiB"`, for messages; "any disk" if nothing is given.
  std::string text() const;
};

/// Which disks may be wiped; plan/wipe.h has the whole rule.
enum class WipeRule { blank, signet, signet_any, any };
enum class TableType { gpt, mbr };
enum class FormatType { none, ext2, ext3, ext4, vfat, swap };
std::string_view to_string(WipeRule rule);
std::string_view to_string(TableType table);
std::string_view to_string(FormatType format);

/// The age of the systems that can read an ext4 file system: kernel, e2fsprogs and GRUB of that year. Of `automatic` plan/ makes y2018.
enum class Compat { automatic, y2018, y2022, newest };
std::string_view to_string(Compat compat);

/// What a partition is for. In GPT a type GUID, in MBR a byte; disk/ knows which.
enum class PartitionType { linux, esp, bios, swap, boot, home, raid, lvm };
std::string_view to_string(PartitionType type);

struct PartitionRule {
  std::string name;  // GPT partition name and the plan's word for it; unique on its disk
  SizeRule size;
  PartitionType type = PartitionType::linux;
  FormatType format = FormatType::none;
  Compat compat = Compat::automatic;  // ext4 only
  std::string label;                  // file system label; default: none
  std::string mount;                  // absolute path in the target, or empty
  std::vector<std::string> options;   // mount options for fstab and for the install's own mount; default: "defaults"
  Place place;
};

struct DiskRule {
  std::string id;
  DiskMatch match;
  WipeRule wipe = WipeRule::blank;
  TableType table = TableType::gpt;
  std::vector<PartitionRule> partitions;
  Place place;
};

struct ImageRule {
  std::string source;  // absolute URI, or a path; resolved against the file that it stands in
  std::string sha256;  // 64 lower-case hex digits of the file as stored (compressed), or empty
  Place place;
};

struct InterfaceRule {
  std::string name;       // "eth0", or a pattern; or
  std::string match_mac;  // the MAC address
  bool dhcp = true;
  std::vector<std::string> addresses;  // "10.0.0.5/24", "fd00::5/64"
  std::string gateway;
  std::vector<std::string> dns;
  std::optional<unsigned> mtu;
  Place place;
};

struct NetworkRule {
  std::string hostname;                   // empty: the name that identify found
  std::vector<InterfaceRule> interfaces;  // empty: DHCP on every Ethernet link
};

struct UserRule {
  std::string name;
  std::string password_hash;  // crypt(5), as it stands in shadow(5); empty: no password login
  std::vector<std::string> groups;
  std::vector<std::string> ssh_keys;
  std::string shell;  // default: /bin/bash
  bool sudo = false;
};

enum class BootLoader { automatic, grub, none };

struct ConfigureRule {
  std::string timezone;  // "Europe/Berlin"; empty: as in the image
  std::string locale;    // "en_US.UTF-8"; empty: as in the image
  std::string keyboard;  // XKB layout, "de"; empty: as in the image
  std::vector<UserRule> users;
  std::vector<std::string> ssh_keys;  // for root
  std::string root_password_hash;     // crypt(5); empty: as in the image
  BootLoader boot_loader = BootLoader::automatic;
  std::string kernel_args;
};

struct HooksRule {
  std::vector<std::string> pre_install;                     // absolute URIs, run by the node's shell before the disks are touched
  std::vector<std::string> post_install;                    // absolute URIs, run inside the target by its own shell
  std::chrono::seconds timeout = std::chrono::minutes(30);  // for each hook; then it is ended, and the install fails
};

enum class FinishAction { reboot, poweroff, halt, kexec, shell, beep };
std::string_view to_string(FinishAction action);
std::optional<FinishAction> parse_finish_action(std::string_view text);

/// Where UEFI's BootOrder puts the installed system (UEFI 2.10 §3.1.2). BIOS has nothing like it.
enum class BootOrder {
  disk_first,  // before everything else
  keep,        // behind what is there: the network stays first, and the disk comes next once (BootNext)
};

struct FinishRule {
  BootOrder boot_order = BootOrder::disk_first;
  FinishAction on_success = FinishAction::reboot;
  FinishAction on_failure = FinishAction::shell;
};

/// What a node does that has this host's complete system on its disk.
enum class InstallRule {
  once,          // starts it
  when_changed,  // installs again if the profile or the image is another one since
  always,        // installs again
};
std::string_view to_string(InstallRule rule);
std::optional<InstallRule> parse_install_rule(std::string_view text);

struct Profile {
  InstallRule install = InstallRule::once;
  ImageRule image;
  std::vector<DiskRule> disks;
  NetworkRule network;
  ConfigureRule configure;
  HooksRule hooks;
  FinishRule finish;
};

/// Every mistake that was found; never empty.
using Diagnostics = std::vector<Diagnostic>;
/// More are not collected: a file may consist of nothing else.
constexpr std::size_t most_diagnostics = 2000;

/// Fetches the text of a file named in `extends`.
using LoadText = std::function<Result<std::string>(const Uri&)>;

/// A whole profile says everything that an install needs; a partial one is what verbs of a host script have saved so far.
enum class Completeness { whole, partial };

/// Parses `text`, which came from `where`, merges what it extends (depth-first, in order; tables merge, arrays replace, this file wins; at most
/// 16 levels, 64 files, 1 MiB a file, 4 MiB, 100,000 values and 60 s in all; a loop is an error), checks every key, type and value. All mistakes are
/// reported, in the order of files and lines; a file that is not TOML has one, at the place where it stops being TOML.
/// `[[raid]]`, `[[volume_group]]`, `[[luks]]`, `report` and an interface's `vlan` and `bond` are known words that this version refuses by name.
std::expected<Profile, Diagnostics> parse_profile(std::string_view text, const Uri& where, const LoadText& load,
                                                  Completeness completeness = Completeness::whole);

/// "name=root,size=rest,type=linux,format=ext4,mount=/" (a verb's --partition), with the keys and values of the TOML inline table.
/// `options` takes a list joined with '+'. A comma, plus or backslash that belongs to a value has a backslash before it.
Result<PartitionRule> parse_partition_flag(std::string_view text);
/// "transport=nvme,size=>=100GiB" (a verb's --match) in the same manner.
Result<DiskMatch> parse_match_flag(std::string_view text);
/// And back: a rule as the flag that means it; empty for a match of any disk.
std::string to_flag(const PartitionRule& rule);
std::string to_flag(const DiskMatch& match);

/// The profile as TOML that parse_profile() reads back to an equal profile, everything resolved and merged.
std::string to_toml(const Profile& profile);

/// Its [network] and [configure] alone; empty if they say nothing.
std::string network_and_configure_toml(const Profile& profile);

/// The diagnostics as one Error of kind invalid: "3 mistakes in hosts/node01.toml" and a line for each.
Error to_error(const Diagnostics& diagnostics);

}  // namespace signet
