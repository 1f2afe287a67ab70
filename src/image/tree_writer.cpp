#include "image/tree_writer.h"

#include <archive.h>
#include <archive_entry.h>
#include <fcntl.h>
#include <linux/magic.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <sys/vfs.h>
#include <sys/xattr.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <format>

#include "base/text.h"
#include "image/acl.h"

namespace signet {
namespace {

constexpr unsigned permission_bits = 07777, set_id_bits = 07000;

// Owners and attributes do not exist on FAT; an image whose /boot/efi lands there is no error.
bool has_no_owners(int fd) {
  struct statfs status{};
  return ::fstatfs(fd, &status) == 0 && static_cast<unsigned long>(status.f_type) == MSDOS_SUPER_MAGIC;
}

std::array<timespec, 2> times(long seconds, long nanoseconds) {
  timespec modified{};
  modified.tv_sec = seconds;
  modified.tv_nsec = nanoseconds;
  timespec access{};
  access.tv_nsec = UTIME_NOW;
  return {access, modified};
}

}  // namespace

Result<Path> member_components(std::string_view path) {
  if (path.empty()) return fail(ErrorKind::invalid, "a member of the image has no name");
  if (path.starts_with('/'))
    return fail(ErrorKind::invalid, "member `{}` of the image has an absolute name, which could lead out of the target", printable(path));
  Path components;
  for (const auto part : split(path, '/')) {
    if (part.empty() || part == ".") continue;
    if (part == "..") return fail(ErrorKind::invalid, "member `{}` of the image leads out of the target (`..`)", printable(path));
    if (part.size() > 255)
      return fail(ErrorKind::invalid, "member `{}` of the image has a name of {} bytes; 255 is the limit", printable(path), part.size());
    components.emplace_back(part);
  }
  return components;
}

Result<TreeWriter::Metadata> TreeWriter::metadata_of(archive_entry* entry) {
  Metadata metadata;
  metadata.mode = archive_entry_mode(entry) & permission_bits;
  // 2^32 - 1 tells chown(2) to change nothing.
  const auto uid = archive_entry_uid(entry), gid = archive_entry_gid(entry);
  for (const auto id : {uid, gid})
    if (id < 0 || id >= UINT32_MAX) return fail(ErrorKind::invalid, "its owner {}:{} is none that Linux has", uid, gid);
  metadata.uid = static_cast<unsigned>(uid);
  metadata.gid = static_cast<unsigned>(gid);
  metadata.seconds = archive_entry_mtime(entry);
  metadata.nanoseconds = archive_entry_mtime_nsec(entry);
  archive_entry_xattr_reset(entry);
  const char* name = nullptr;
  const void* value = nullptr;
  std::size_t size = 0;
  while (archive_entry_xattr_next(entry, &name, &value, &size) == ARCHIVE_OK) {
    const auto* bytes = static_cast<const std::byte*>(value);
    metadata.attributes.push_back({name, {bytes, bytes + size}});
  }
  for (const auto kind : {AclKind::access, AclKind::default_entries})
    if (auto acl = TRY(encode_acl(entry, kind)); !acl.empty()) metadata.attributes.push_back({acl_attribute(kind), std::move(acl)});
  return metadata;
}

Result<int> TreeWriter::directory(const Path& path, std::size_t without) {
  const std::size_t depth = path.size() - without;
  std::size_t common = 0;
  while (common < depth && common < open_.size() && open_[common].name == path[common]) ++common;
  open_.resize(common);
  while (open_.size() < depth) {
    const int parent = open_.empty() ? root_.get() : open_.back().fd.get();
    const auto& name = path[open_.size()];
    constexpr int flags = O_PATH | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC;
    Fd fd(::openat(parent, name.c_str(), flags));
    if (!fd && errno == ENOENT) {
      if (::mkdirat(parent, name.c_str(), 0755) != 0) return fail_errno("make directory {}", printable(name));
      fd = Fd(::openat(parent, name.c_str(), flags));
    }
    if (!fd && (errno == ENOTDIR || errno == ELOOP)) {
      struct stat status{};
      const bool link = ::fstatat(parent, name.c_str(), &status, AT_SYMLINK_NOFOLLOW) == 0 && S_ISLNK(status.st_mode);
      return fail(ErrorKind::invalid, "its path goes through {}, which is {}", printable(name),
                  link ? "a symbolic link and could lead out of the target" : "not a directory");
    }
    if (!fd) return fail_errno("open directory {}", printable(name));
    open_.push_back({name, std::move(fd)});
  }
  return open_.empty() ? root_.get() : open_.back().fd.get();
}

void TreeWriter::forget(const Path& path) {
  if (open_.size() < path.size()) return;
  for (std::size_t i = 0; i < path.size(); ++i)
    if (open_[i].name != path[i]) return;
  open_.resize(path.size() - 1);
}

Result<> TreeWriter::remove_existing(int parent, const Path& path) {
  const auto& name = path.back();
  if (::unlinkat(parent, name.c_str(), 0) == 0 || errno == ENOENT) return {};
  if (errno == EISDIR && ::unlinkat(parent, name.c_str(), AT_REMOVEDIR) == 0) {
    directories_.erase(join(path, "/"));
    return {};
  }
  return fail_errno("replace {}", printable(name));
}

Result<> TreeWriter::apply(int fd, const Metadata& metadata, bool needs_mode) {
  if (options_.keep_owner && (metadata.uid != 0 || metadata.gid != 0) && ::fchown(fd, metadata.uid, metadata.gid) != 0) {
    const int err = errno;
    if (!has_no_owners(fd)) return std::unexpected(Error::from_errno(std::format("set owner {}:{}", metadata.uid, metadata.gid), err));
  }
  // chown(2) clears set-id bits and capabilities, so those come after it.
  if (needs_mode && ::fchmod(fd, metadata.mode) != 0) {
    const int err = errno;
    if (!has_no_owners(fd)) return std::unexpected(Error::from_errno(std::format("set mode {:o}", metadata.mode), err));
  }
  for (const auto& attribute : metadata.attributes) {
    if (::fsetxattr(fd, attribute.name.c_str(), attribute.value.data(), attribute.value.size(), 0) == 0) continue;
    const int err = errno;
    const bool tolerated = has_no_owners(fd) || (!options_.keep_owner && (err == EPERM || err == ENOTSUP));
    if (!tolerated) return std::unexpected(Error::from_errno("set extended attribute " + printable(attribute.name), err));
  }
  if (::futimens(fd, times(metadata.seconds, metadata.nanoseconds).data()) != 0) return fail_errno("set times");
  return {};
}

Result<> TreeWriter::apply_by_name(int parent, const std::string& name, const Metadata& metadata, bool has_mode) {
  if (options_.keep_owner && (metadata.uid != 0 || metadata.gid != 0) &&
      ::fchownat(parent, name.c_str(), metadata.uid, metadata.gid, AT_SYMLINK_NOFOLLOW) != 0)
    return fail_errno("set owner {}:{}", metadata.uid, metadata.gid);
  if (has_mode && ::fchmodat(parent, name.c_str(), metadata.mode, 0) != 0) return fail_errno("set mode {:o}", metadata.mode);
  for (const auto& attribute : metadata.attributes) {
    // There is no lsetxattrat(2) before Linux 6.13; the kernel's own name of the directory stands in for it, and only the last step is left to take.
    const auto path = std::format("/proc/self/fd/{}/{}", parent, name);
    if (::lsetxattr(path.c_str(), attribute.name.c_str(), attribute.value.data(), attribute.value.size(), 0) != 0 && options_.keep_owner)
      return fail_errno("set extended attribute {}", printable(attribute.name));
  }
  if (::utimensat(parent, name.c_str(), times(metadata.seconds, metadata.nanoseconds).data(), AT_SYMLINK_NOFOLLOW) != 0)
    return fail_errno("set times");
  return {};
}

Result<> TreeWriter::write_file(archive* reader, archive_entry* entry, int parent, const Path& path, const Metadata& metadata) {
  const auto& name = path.back();
  constexpr int flags = O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC;
  Fd fd(::openat(parent, name.c_str(), flags, metadata.mode & 0777));
  if (!fd && errno == EEXIST) {
    TRY(remove_existing(parent, path));
    fd = Fd(::openat(parent, name.c_str(), flags, metadata.mode & 0777));
  }
  if (!fd) return fail_errno("create");

  const auto size = archive_entry_size(entry);
  la_int64_t end = 0;
  for (;;) {
    const void* data = nullptr;
    std::size_t length = 0;
    la_int64_t offset = 0;
    const int code = archive_read_data_block(reader, &data, &length, &offset);
    if (code == ARCHIVE_EOF) break;
    if (code < ARCHIVE_WARN)
      return fail(ErrorKind::invalid, "{}", printable(archive_error_string(reader) ? archive_error_string(reader) : "damaged data"));
    if (length == 0) continue;
    TRY(write_all_at(fd.get(), std::span(static_cast<const std::byte*>(data), length), static_cast<std::uint64_t>(offset)));
    end = offset + static_cast<la_int64_t>(length);
    statistics_.bytes += length;
    if (options_.on_progress) options_.on_progress(statistics_);
  }
  // A hole at the end has no data to write.
  if (end < size && ::ftruncate(fd.get(), size) != 0) return fail_errno("set size");
  TRY(apply(fd.get(), metadata, (metadata.mode & set_id_bits) != 0));
  ++statistics_.files;
  return {};
}

Result<> TreeWriter::write_directory(const Path& path, Metadata metadata) {
  if (!path.empty()) {
    const int parent = TRY(directory(path, 1));
    if (::mkdirat(parent, path.back().c_str(), 0700) != 0) {
      if (errno != EEXIST) return fail_errno("make directory");
      struct stat status{};
      if (::fstatat(parent, path.back().c_str(), &status, AT_SYMLINK_NOFOLLOW) != 0) return fail_errno("look at what stands there");
      if (!S_ISDIR(status.st_mode)) {
        TRY(remove_existing(parent, path));
        if (::mkdirat(parent, path.back().c_str(), 0700) != 0) return fail_errno("make directory");
      }
    }
  }
  // Of a directory that comes twice, the last word counts, as with tar(1).
  directories_.insert_or_assign(join(path, "/"), Directory{path, std::move(metadata)});
  return {};
}

Result<> TreeWriter::write_link(archive_entry* entry, int parent, const Path& path) {
  const auto& name = path.back();
  const std::string target = archive_entry_hardlink(entry);
  const auto existing = TRY_WITHIN(member_components(target), "hard link");
  if (existing.empty()) return fail(ErrorKind::invalid, "hard link to a directory");
  // directory() may close the cached way to `parent`.
  const Fd here(::fcntl(parent, F_DUPFD_CLOEXEC, 0));
  if (!here) return fail_errno("keep the directory open");
  const int there = TRY_WITHIN(directory(existing, 1), "hard link to " + printable(target));
  if (::linkat(there, existing.back().c_str(), here.get(), name.c_str(), 0) == 0) return {};
  if (errno == EEXIST) {
    struct stat from{}, to{};
    const bool same = ::fstatat(there, existing.back().c_str(), &from, AT_SYMLINK_NOFOLLOW) == 0 &&
                      ::fstatat(here.get(), name.c_str(), &to, AT_SYMLINK_NOFOLLOW) == 0 && from.st_ino == to.st_ino && from.st_dev == to.st_dev;
    if (same) return {};
    TRY(remove_existing(here.get(), path));
    if (::linkat(there, existing.back().c_str(), here.get(), name.c_str(), 0) == 0) return {};
  }
  return fail_errno("hard link to {}", printable(target));
}

Result<> TreeWriter::write_symlink(archive_entry* entry, int parent, const Path& path, const Metadata& metadata) {
  const auto& name = path.back();
  const char* target = archive_entry_symlink(entry);
  if (!target) return fail(ErrorKind::invalid, "symbolic link without a target");
  if (::symlinkat(target, parent, name.c_str()) != 0) {
    if (errno != EEXIST) return fail_errno("make symbolic link");
    TRY(remove_existing(parent, path));
    if (::symlinkat(target, parent, name.c_str()) != 0) return fail_errno("make symbolic link");
  }
  return apply_by_name(parent, name, metadata, false);
}

Result<> TreeWriter::write_node(archive_entry* entry, int parent, const Path& path, const Metadata& metadata) {
  const auto& name = path.back();
  const mode_t mode = archive_entry_filetype(entry) | (metadata.mode & 0777);
  const dev_t device = makedev(archive_entry_rdevmajor(entry), archive_entry_rdevminor(entry));
  if (::mknodat(parent, name.c_str(), mode, device) != 0) {
    if (errno != EEXIST) return fail_errno("make device node or FIFO");
    TRY(remove_existing(parent, path));
    if (::mknodat(parent, name.c_str(), mode, device) != 0) return fail_errno("make device node or FIFO");
  }
  return apply_by_name(parent, name, metadata, true);
}

Result<> TreeWriter::write(archive* reader, archive_entry* entry) {
  const char* name = archive_entry_pathname(entry);
  if (!name) name = archive_entry_pathname_utf8(entry);
  const auto path = TRY(member_components(name ? name : ""));
  const auto context = std::format("member {}", printable(name));
  auto metadata = TRY_WITHIN(metadata_of(entry), context);
  ++statistics_.members;

  const auto type = archive_entry_filetype(entry);
  if (type == AE_IFDIR && !archive_entry_hardlink(entry)) {
    TRY_WITHIN(write_directory(path, std::move(metadata)), context);
    return {};
  }
  if (path.empty()) return fail(ErrorKind::invalid, "{}: the root of the target can only be a directory", context);
  const int parent = TRY_WITHIN(directory(path, 1), context);
  forget(path);
  Result<> written;
  if (archive_entry_hardlink(entry))
    written = write_link(entry, parent, path);
  else if (type == AE_IFREG)
    written = write_file(reader, entry, parent, path, metadata);
  else if (type == AE_IFLNK)
    written = write_symlink(entry, parent, path, metadata);
  else if (type == AE_IFCHR || type == AE_IFBLK || type == AE_IFIFO)
    written = write_node(entry, parent, path, metadata);
  // Sockets belong to programs that run; tar(1) leaves them out as well.
  if (!written) return std::unexpected(std::move(written).error().within(context));
  return {};
}

Result<> TreeWriter::finish() {
  // Children before parents: what is done to a child changes its parent's times.
  for (auto each = directories_.rbegin(); each != directories_.rend(); ++each) {
    const auto& [path, metadata] = each->second;
    const auto context = "directory /" + printable(each->first);
    const int place = TRY_WITHIN(directory(path, 0), context);
    const Fd fd(::openat(place, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC));
    if (!fd) return fail_errno("{}", context);
    TRY_WITHIN(apply(fd.get(), metadata, true), context);
  }
  return {};
}

}  // namespace signet
