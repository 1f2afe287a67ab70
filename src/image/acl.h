// POSIX ACLs of archive members as the kernel stores them: extended attributes system.posix_acl_access and _default
// (include/uapi/linux/posix_acl_xattr.h).
#pragma once

#include <cstddef>
#include <vector>

#include "base/result.h"

struct archive_entry;

namespace signet {

enum class AclKind { access, default_entries };

const char* acl_attribute(AclKind kind);
/// The attribute's value; empty if the member has no such ACL beyond its mode. Fails for an entry that knows its user or group by name only: whose
/// number that is, only the system knows that the image was made on.
Result<std::vector<std::byte>> encode_acl(archive_entry* entry, AclKind kind);

}  // namespace signet
