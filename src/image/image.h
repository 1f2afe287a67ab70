// image/: decode an image and write it into the target tree.
//
// Two processes at work at once. A decoder (image/decoder.h) decompresses and reads the tar archive; it has no rights, and all that it can do is to
// say what the members are, in records (image/records.h). The writer, in this process, checks each record and writes files. Ownership, modes, times,
// hard links, symbolic links, device nodes, FIFOs, extended attributes (capabilities, ACLs) and holes are kept. No member can touch anything outside
// the root: names are walked component by component with O_NOFOLLOW, and a member that would leave (`..`, absolute, through a symbolic link) is an
// error, not a skip. Memory is bounded whatever the image says: image/records.h has the limits.
#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <string>

#include "base/result.h"
#include "fetch/fetch.h"

namespace signet {

struct TreeStatistics {
  std::uint64_t members = 0;
  std::uint64_t files = 0;
  std::uint64_t bytes = 0;  // of file content written, holes not counted
  bool filtered = true;     // the decoder ran under a filter of system calls; false if this kernel has no seccomp
};

struct TreeOptions {
  bool keep_owner = true;  // chown(2) to the numeric ids of the archive; false for tests without root
  /// Called now and then from the writing thread with what has been written so far.
  std::function<void(const TreeStatistics&)> on_progress = {};
};

/// Writes the tree image that comes from `source` below `root`, an existing directory. The source is read to its end, so its checksum is
/// always verified, even behind the archive's own end. Errors: verification, network and so on from the source as they are; invalid for a broken or
/// hostile archive (with the member's name); no_space with the path that did not fit.
Result<TreeStatistics> write_tree(std::unique_ptr<ByteSource> source, const std::string& root, const TreeOptions& options = {});

}  // namespace signet
