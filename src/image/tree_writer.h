// Writes the members of a tar archive below one directory, and nowhere else.
#pragma once

#include <map>
#include <string>
#include <string_view>
#include <vector>

#include "base/fd.h"
#include "base/result.h"
#include "image/image.h"

struct archive;
struct archive_entry;

namespace signet {

/// A member's path below the target, a name each step.
using Path = std::vector<std::string>;

/// A member's path as its components: "./usr//bin/sh" gives usr, bin, sh; "./" gives none. Fails with invalid for an absolute path, for `..`
/// anywhere, and for names that no file system takes.
Result<Path> member_components(std::string_view path);

class TreeWriter {
 public:
  /// `root` is the directory that nothing leaves.
  TreeWriter(Fd root, const TreeOptions& options) : root_(std::move(root)), options_(options) {}

  /// Makes the member that `reader` stands at, with its data and metadata. Whatever stands there already is replaced, but a directory only by a
  /// directory.
  Result<> write(archive* reader, archive_entry* entry);
  /// Modes, owners and times of directories, which writing into them would have changed. To be called once, at the end.
  Result<> finish();

  const TreeStatistics& statistics() const { return statistics_; }

 private:
  struct Attribute {
    std::string name;
    std::vector<std::byte> value;
  };
  struct Metadata {
    unsigned mode = 0;  // permission and set-id bits
    unsigned uid = 0, gid = 0;
    long seconds = 0;
    long nanoseconds = 0;
    std::vector<Attribute> attributes;
  };
  struct Directory {
    Path path;
    Metadata metadata;
  };
  struct Open {
    std::string name;
    Fd fd;
  };

  static Result<Metadata> metadata_of(archive_entry* entry);
  /// The directory `path` (all but the last `without`), each step taken with O_NOFOLLOW; missing ones are made. Valid until the next call.
  Result<int> directory(const Path& path, std::size_t without);
  // Each makes `path`, whose directory is open as `parent`.
  Result<> write_file(archive* reader, archive_entry* entry, int parent, const Path& path, const Metadata& metadata);
  Result<> write_directory(const Path& path, Metadata metadata);
  Result<> write_link(archive_entry* entry, int parent, const Path& path);
  Result<> write_symlink(archive_entry* entry, int parent, const Path& path, const Metadata& metadata);
  Result<> write_node(archive_entry* entry, int parent, const Path& path, const Metadata& metadata);
  Result<> apply(int fd, const Metadata& metadata, bool needs_mode);
  Result<> apply_by_name(int parent, const std::string& name, const Metadata& metadata, bool has_mode);
  /// Removes what stands in the way, a directory only if it is empty.
  Result<> remove_existing(int parent, const Path& path);
  /// Closes cached directories from a component on that is being replaced.
  void forget(const Path& path);

  Fd root_;
  const TreeOptions& options_;
  TreeStatistics statistics_;
  std::vector<Open> open_;                        // the directories from the root to where the last member went
  std::map<std::string, Directory> directories_;  // by path, so that a parent comes before its children
};

}  // namespace signet
