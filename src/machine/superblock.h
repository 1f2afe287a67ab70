// What the superblock of a file system says, by libblkid's low-level probe: nothing is cached, nothing is written.
#pragma once

#include <optional>
#include <string>

namespace signet {

/// The label, empty if there is none; nothing if the device cannot be opened, as when it is not there yet.
std::optional<std::string> probe_label(const std::string& device);
/// The same, empty also for a device that cannot be opened.
std::string label_of(const std::string& device);
/// The UUID; empty if there is none, or no such device.
std::string uuid_of(const std::string& device);

}  // namespace signet
