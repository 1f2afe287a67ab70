// An initrd's archive in the kernel's newc format (Documentation/driver-api/early-userspace/buffer-format.rst), to be put behind a packed initrd.
#pragma once

#include <map>
#include <string>
#include <string_view>

#include "base/result.h"

namespace signet {

class CpioArchive {
 public:
  /// A regular file at an absolute path, with the directories above it. A later one of the same path replaces the earlier.
  Result<> add(const std::string& path, std::string data, unsigned mode = 0644);
  bool empty() const { return entries_.empty(); }
  /// Sorted by path, owned by root, with no times: the same entries give the same bytes. A multiple of 4 bytes.
  std::string bytes() const;

 private:
  struct Entry {
    unsigned mode;
    std::string data;
  };
  std::map<std::string, Entry> entries_;
};

}  // namespace signet
