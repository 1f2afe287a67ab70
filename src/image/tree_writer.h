// Writes the members of an image below one directory, and nowhere else. It holds all rights and trusts nothing of a member.
#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "base/fd.h"
#include "base/result.h"
#include "image/directory_log.h"
#include "image/image.h"
#include "image/records.h"

namespace signet {

/// A member's path below the target, a name each step.
using Path = std::vector<std::string>;

/// A member's path as its components: "./usr//bin/sh" gives usr, bin, sh; "./" gives none. Fails with invalid for an absolute path, for `..`
/// anywhere, for names that no file system takes, and for more than 4096 bytes or 256 steps.
Result<Path> member_components(std::string_view path);

class TreeWriter {
 public:
  /// `root` is the directory that nothing leaves.
  TreeWriter(Fd root, const TreeOptions& options) : root_(std::move(root)), options_(options) {}

  /// Makes a member, with its metadata and the data that `records` has for it. Whatever is there already is replaced, but a directory that is not
  /// empty only by a directory.
  Result<> write(const Member& member, RecordReader& records);
  /// Modes, owners and times of directories, which writing into them would have changed. To be called once, at the end.
  Result<> finish();

  const TreeStatistics& statistics() const { return statistics_; }

 private:
  struct Open {
    std::string name;
    Fd fd;
  };

  /// The directory `path` (all but the last `without`), each step taken with O_NOFOLLOW; missing ones are made. Valid until the next call.
  Result<int> directory(const Path& path, std::size_t without);
  // Each makes `path`, whose directory is open as `parent`.
  Result<> write_file(const Member& member, RecordReader& records, int parent, const Path& path);
  Result<> write_directory(const Member& member, const Path& path);
  Result<> write_link(const Member& member, int parent, const Path& path);
  Result<> write_symlink(const Member& member, int parent, const Path& path);
  Result<> write_node(const Member& member, int parent, const Path& path);
  Result<> apply(int fd, const Member& member);
  Result<> apply_by_name(int parent, const std::string& name, const Member& member, bool has_mode);
  /// Removes what stands in the way, a directory only if it is empty.
  Result<> remove_existing(int parent, const Path& path);
  /// Closes cached directories from a component on that is being replaced.
  void forget(const Path& path);

  Fd root_;
  const TreeOptions& options_;
  TreeStatistics statistics_;
  std::vector<Open> open_;    // the directories from the root to where the last member went
  DirectoryLog directories_;  // what they get at the end
};

/// Writes every member of `records`.
Result<> write_members(RecordReader& records, TreeWriter& writer);

}  // namespace signet
