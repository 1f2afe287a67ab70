// What directories get at the end of an install: writing into them changes their times, and their modes and default ACLs must not hinder it.
#pragma once

#include <cstddef>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "base/result.h"
#include "image/records.h"

namespace signet {

/// A list of directories with their metadata, packed: of a path only what differs from the one before it is kept. 200,000 directories of a usual tree
/// take about 10 MiB.
class DirectoryLog {
 public:
  static constexpr std::size_t most_bytes = 16 << 20;

  /// Fails with invalid once the list has more than most_bytes.
  Result<> add(const Member& directory);
  /// Every directory in the order in which it came (one that came twice: twice, so the last word counts), until one fails.
  Result<> replay(const std::function<Result<>(const Member&)>& apply) const;
  bool empty() const { return chunks_.empty(); }

 private:
  struct Chunk {
    std::unique_ptr<std::byte[]> bytes;
    std::size_t size = 0, used = 0;
  };
  std::vector<Chunk> chunks_;
  std::size_t total_ = 0;
  std::string last_;  // path
};

}  // namespace signet
