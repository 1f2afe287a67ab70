// Files of the target, reached so that no symbolic link in the image leads out of it: every path is opened with openat2(2) RESOLVE_IN_ROOT, for which
// the target's root is "/".
#pragma once

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
  /// Executable, for tools: looked for in the directories of PATH. The first that exists.
  std::optional<std::string> find_tool(std::string_view name) const;
  Result<std::string> read(const std::string& path) const;
  /// Replaces a file's text (following a link to the file itself). An existing file keeps its owner and mode, a new one gets `mode`; missing
  /// directories are made.
  Result<> write(const std::string& path, std::string_view text, unsigned mode = 0644) const;
  Result<> make_directories(const std::string& path, unsigned mode = 0755) const;
  /// Removes a file or a link itself; one that is not there is removed already.
  Result<> remove(const std::string& path) const;
  /// A symbolic link, replacing what stands there.
  Result<> link(const std::string& path, const std::string& target) const;
  Result<> set_owner(const std::string& path, unsigned uid, unsigned gid) const;
  Result<> set_mode(const std::string& path, unsigned mode) const;
  /// The names in a directory, sorted; none if there is none.
  std::vector<std::string> list(const std::string& path) const;

 private:
  TargetRoot(std::string path, Fd fd) : path_(std::move(path)), fd_(std::move(fd)) {}
  Result<Fd> open_at(const std::string& path, int flags, unsigned mode = 0) const;
  /// The directory that a path's last component lies in.
  Result<Fd> parent_of(const std::string& path) const;

  std::string path_;
  Fd fd_;
};

}  // namespace signet
