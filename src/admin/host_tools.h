// What making media needs of the machine that it runs on: programs such as xorriso(1), and a scratch directory.
#pragma once

#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "base/result.h"

namespace signet {

/// A directory below $TMPDIR (or /tmp) that is removed with this object.
class Scratch {
 public:
  static Result<Scratch> make();
  Scratch(Scratch&& other) noexcept : path_(std::exchange(other.path_, {})) {}
  Scratch(const Scratch&) = delete;
  ~Scratch();
  std::string operator/(std::string_view name) const { return path_ + "/" + std::string(name); }

 private:
  explicit Scratch(std::string path) : path_(std::move(path)) {}
  std::string path_;
};

/// mkdir -p.
Result<> make_directories(const std::string& path);

/// Runs a program for at most 10 minutes, with a fixed SOURCE_DATE_EPOCH unless one is set, so that the same input gives the same bytes. If it is not
/// installed, the error names Debian's `package`.
Result<> run_tool(std::vector<std::string> arguments, const char* package);

}  // namespace signet
