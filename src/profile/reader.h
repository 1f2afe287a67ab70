// The tables of a profile's document, read one by one into what they mean.
#pragma once

#include <span>

#include "profile/section.h"

namespace signet {

class Reader {
 public:
  /// `root` is where to point when something is missing altogether.
  Reader(Diagnostics& diagnostics, Completeness completeness, Place root)
      : diagnostics_(diagnostics), whole_(completeness == Completeness::whole), root_(std::move(root)) {}

  Profile read(const toml::table& table);
  PartitionRule read_partition(const toml::table& table, TableType disk_table);
  DiskMatch read_match(const toml::table& table);

 private:
  DiskRule read_disk(const toml::table& table);
  SizeRule read_size(Section& section);
  void check_use(Section& section, const PartitionRule& rule, TableType disk_table);
  void check_partitions(const DiskRule& rule, std::span<const toml::table* const> tables);
  void check_disks(const std::vector<DiskRule>& disks);

  ImageRule read_image(const toml::table& table);
  NetworkRule read_network(const toml::table& table);
  InterfaceRule read_interface(const toml::table& table);
  ConfigureRule read_configure(const toml::table& table);
  UserRule read_user(const toml::table& table);
  HooksRule read_hooks(const toml::table& table);
  FinishRule read_finish(const toml::table& table);

  /// A URI, or a reference seen from the file that it stands in.
  std::optional<std::string> resolve(Section& section, std::string_view key, const Place& place, std::string_view reference);
  std::vector<std::string> read_references(Section& section, std::string_view key);

  Diagnostics& diagnostics_;
  bool whole_;
  Place root_;
  bool mount_unclear_ = false;  // a mount point was given that is none, so nobody knows whether "/" is missing
};

}  // namespace signet
