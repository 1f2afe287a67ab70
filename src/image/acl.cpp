#include "image/acl.h"

#include <archive.h>
#include <archive_entry.h>

#include <algorithm>
#include <cstdint>

#include "base/text.h"

namespace signet {
namespace {

struct AclEntry {
  std::uint16_t tag = 0, permissions = 0;
  std::uint32_t id = UINT32_MAX;
};

// include/uapi/linux/posix_acl.h
std::uint16_t tag_code(int tag) {
  switch (tag) {
    case ARCHIVE_ENTRY_ACL_USER_OBJ: return 0x01;
    case ARCHIVE_ENTRY_ACL_USER: return 0x02;
    case ARCHIVE_ENTRY_ACL_GROUP_OBJ: return 0x04;
    case ARCHIVE_ENTRY_ACL_GROUP: return 0x08;
    case ARCHIVE_ENTRY_ACL_MASK: return 0x10;
    default: return 0x20;  // ACL_OTHER
  }
}

void put(std::vector<std::byte>& out, std::uint32_t value, unsigned bytes) {
  for (unsigned i = 0; i < bytes; ++i) out.push_back(static_cast<std::byte>(value >> (8 * i)));
}

}  // namespace

const char* acl_attribute(AclKind kind) { return kind == AclKind::access ? "system.posix_acl_access" : "system.posix_acl_default"; }

Result<std::vector<std::byte>> encode_acl(archive_entry* entry, AclKind kind) {
  const int wanted = kind == AclKind::access ? ARCHIVE_ENTRY_ACL_TYPE_ACCESS : ARCHIVE_ENTRY_ACL_TYPE_DEFAULT;
  std::vector<AclEntry> entries;
  // libarchive counts the three entries of a plain mode only if there are more.
  if (archive_entry_acl_reset(entry, wanted) == 0) return std::vector<std::byte>();
  int type = 0, permissions = 0, tag = 0, id = 0;
  const char* name = nullptr;
  while (archive_entry_acl_next(entry, wanted, &type, &permissions, &tag, &id, &name) == ARCHIVE_OK) {
    AclEntry each{tag_code(tag), static_cast<std::uint16_t>(permissions & 7), UINT32_MAX};
    if (tag == ARCHIVE_ENTRY_ACL_USER || tag == ARCHIVE_ENTRY_ACL_GROUP) {
      if (id == -1)
        return fail(ErrorKind::invalid,
                    "its ACL names `{}` without a number; make the image with tar --xattrs --xattrs-include='*' instead of --acls",
                    printable(name ? name : "?"));
      each.id = static_cast<std::uint32_t>(id);
    }
    entries.push_back(each);
  }
  if (entries.empty()) return std::vector<std::byte>();
  std::ranges::sort(entries, {}, [](const AclEntry& each) { return std::pair(each.tag, each.id); });
  std::vector<std::byte> out;
  put(out, 2, 4);  // version
  for (const auto& each : entries) {
    put(out, each.tag, 2);
    put(out, each.permissions, 2);
    put(out, each.id, 4);
  }
  return out;
}

}  // namespace signet
