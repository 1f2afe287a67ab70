// image/: decode an image and write it into the target tree.
//
// Three threads at work at once: fetch/ downloads (and hashes) into a bounded buffer, one decodes (libarchive's filters: zstd, gzip, xz, none, told
// by magic number) into a bounded buffer, one reads the tar members and writes files. Ownership, modes, times, hard links, symbolic links, device
// nodes, FIFOs, extended attributes (capabilities, ACLs) and holes are kept. No member can touch anything outside the root: names are walked
// component by component with O_NOFOLLOW, and a member that would leave (`..`, absolute, through a symbolic link) is an error, not a skip.
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
};

struct TreeOptions {
  bool keep_owner = true;        // chown(2) to the numeric ids of the archive; false for tests without root
  std::size_t buffer = 8 << 20;  // bytes that may wait between decoder and writer
  /// Called now and then from the writing thread with what has been written so far.
  std::function<void(const TreeStatistics&)> on_progress = {};
};

/// Writes the tree image that comes from `source` below `root`, an existing directory. The source is read to its end, so its checksum is
/// always verified, even behind the archive's own end. Errors: verification, network and so on from the source as they are; invalid for a broken or
/// hostile archive (with the member's name); no_space with the path that did not fit.
Result<TreeStatistics> write_tree(std::unique_ptr<ByteSource> source, const std::string& root, const TreeOptions& options = {});

}  // namespace signet
