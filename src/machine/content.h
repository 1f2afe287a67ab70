// What is on a disk before it is touched, by libblkid and by looking.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "base/result.h"
#include "machine/machine.h"

namespace signet {

/// What was seen on a disk.
struct Findings {
  std::optional<Mark> mark;              // a whole one, whatever it says
  bool closed = false;                   // the first sector is ours (machine/boot_code.h)
  std::string table;                     // "gpt table with 3 partitions"; empty: none
  std::string table_id;                  // lower case, as a mark has it
  std::vector<std::string> superblocks;  // of the whole disk: "ext4 "data""
  std::vector<std::string> inside;       // of partitions: "1: ext4 "data""
  std::string data;                      // "data at 64 MiB": where it is not zero, if nothing above was found; empty: zeros everywhere
};

struct Content {
  DiskContent kind = DiskContent::foreign;
  std::string description;
  std::optional<Mark> mark;  // kind == signet
};

/// Decides what the findings mean. A mark counts while the table is the one that it names (or, as long as the install has not come to its own table,
/// the one that was there before, or none) and no file system covers the whole disk: a disk that somebody has used for something else since is
/// theirs.
Content judge(const Findings& findings);

/// What a disk holds, and a digest of it.
struct DiskState {
  Content content;
  bool closed = false;
  std::string table_id;
  std::string digest;  // Disk::digest
};

/// Reads signatures of the whole disk and of its partitions. Without any, the disk is blank only if its first and last MiB are zeros and so are some
/// 4 KiB blocks at the places where file systems keep copies of their superblocks and at 32 places between; what looks empty but is not (an encrypted
/// disk without a header, a disk whose head was erased) stays foreign. What cannot be read or probed is an error, never "nothing found".
Result<DiskState> read_content(int fd, std::uint64_t size, std::uint32_t sector_size);

}  // namespace signet
