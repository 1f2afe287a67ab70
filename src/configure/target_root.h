// Files of the target, reached so that nothing in the image leads out of it or holds us up: every path is opened with openat2(2) RESOLVE_IN_ROOT, for
// which the target's root is "/", and only regular files are read and written (opening a FIFO waits, a device node is no part of the target).
#pragma once

#include <sys/stat.h>

#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "base/fd.h"
#include "base/result.h"

namespace signet {

class TargetRoot {
 public:
  static Result<TargetRoot> open(const std::string& path);

  const std::string& path() const { return path_; }
  /// Follows links, as the installed system would.
  bool exists(const std::string& path) const;
  /// Of what a path names itself: links are followed on the way to it, not at its end.
  std::optional<struct stat> status(const std::string& path) const;
  /// An executable file of this name in the directories of PATH; the first there is.
  std::optional<std::string> find_tool(std::string_view name) const;
  /// A regular file, for reading.
  Result<Fd> open_file(const std::string& path) const;
  /// The text of a regular file of at most 16 MiB.
  Result<std::string> read(const std::string& path) const;
  /// Replaces a file's text in one step (rename(2)), through a link to the file that it names. An existing file keeps its owner and mode, a new one
  /// is root's and gets `mode`; missing directories are made.
  Result<> write(const std::string& path, std::string_view text, unsigned mode = 0644) const;
  /// Makes what is missing of a path; the last directory gets `mode`, those on the way 0755.
  Result<> make_directories(const std::string& path, unsigned mode = 0755) const;
  /// Removes a file or a link itself; one that is not there is removed already.
  Result<> remove(const std::string& path) const;
  /// A symbolic link, in place of the file or link that stands there.
  Result<> link(const std::string& path, const std::string& target) const;
  /// What a symbolic link says; nothing if the path is no link.
  std::optional<std::string> read_link(const std::string& path) const;
  /// Of a file, directory or link itself.
  Result<> set_owner(const std::string& path, unsigned uid, unsigned gid) const;
  /// Of a regular file or directory.
  Result<> set_mode(const std::string& path, unsigned mode) const;
  /// The names in a directory, sorted; none if there is none.
  std::vector<std::string> list(const std::string& path) const;

 private:
  TargetRoot(std::string path, Fd fd) : path_(std::move(path)), fd_(std::move(fd)) {}
  Result<Fd> open_at(const std::string& path, int flags) const;
  /// The directory that a path's last component lies in.
  Result<Fd> parent_of(const std::string& path) const;
  /// The path of the file that a path means: the links at its end followed.
  Result<std::string> resolve(std::string path) const;

  std::string path_;
  Fd fd_;
};

}  // namespace signet
