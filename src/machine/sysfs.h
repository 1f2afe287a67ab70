// Reading sysfs: one value a file, one directory a device.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

namespace signet::sysfs {

/// The file's text without white space around it, or an empty string if it cannot be read.
std::string text(const std::string& path);
/// The file's decimal number, or `otherwise`.
std::uint64_t number(const std::string& path, std::uint64_t otherwise = 0);
/// The names in a directory, sorted so that sda … sdz come before sdaa and eth2 before eth10; empty if there is no such directory.
std::vector<std::string> names(const std::string& directory);
/// The last part of a symbolic link's target ("../../bus/pci/drivers/virtio-pci" gives virtio-pci), or an empty string.
std::string link_name(const std::string& path);
bool exists(const std::string& path);

}  // namespace signet::sysfs
