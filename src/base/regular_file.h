// Reading from a place that somebody else has filled: only regular files of that place count, whatever links, FIFOs and devices lie there.
#pragma once

#include <cstddef>
#include <string>

#include "base/fd.h"
#include "base/result.h"

namespace signet {

/// openat2(2) of `path` below `directory`: a symbolic link, in `path` or on the way, is an error of kind refused, and nothing outside is reached.
/// Opening a FIFO or a terminal does not wait. The errors name directory/path.
Result<Fd> open_beneath(const std::string& directory, const std::string& path, int flags = 0);

/// The whole of an open regular file; another kind of file, or more than `limit` bytes, is an error of kind refused. `path` is for messages.
Result<std::string> read_regular(const Fd& fd, const std::string& path, std::size_t limit);

}  // namespace signet
