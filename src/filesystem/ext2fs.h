// libext2fs as this room uses it. <ext2fs.h> defines macros (clamp) that break standard headers, so it comes after all of those and they are undone.
#pragma once

#include <algorithm>
#include <memory>

#pragma clang diagnostic push
#pragma clang diagnostic ignored "-Weverything"
extern "C" {
#include <ext2fs/ext2fs.h>
}
#pragma clang diagnostic pop
#undef clamp
#undef min
#undef max

namespace signet {

struct FreeFilesystem {
  void operator()(struct_ext2_filsys* filesystem) const { ext2fs_free(filesystem); }
};
/// An open libext2fs file system; going out of scope drops what was not flushed by ext2fs_close().
using ExtFilesystem = std::unique_ptr<struct_ext2_filsys, FreeFilesystem>;

}  // namespace signet
