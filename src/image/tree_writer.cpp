#include "image/tree_writer.h"

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

namespace signet {
namespace {

constexpr std::size_t most_steps = 256, longest_name = 255;

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
  if (path.size() > limit::path) return fail(ErrorKind::invalid, "a path of the image has {} bytes; {} is the limit", path.size(), limit::path);
  if (path.starts_with('/'))
    return fail(ErrorKind::invalid, "member `{}` of the image has an absolute name, which could lead out of the target", printable(path));
  Path components;
  for (const auto part : split(path, '/')) {
    if (part.empty() || part == ".") continue;
    if (part == "..") return fail(ErrorKind::invalid, "member `{}` of the image would escape the target (`..`)", printable(path));
    if (part.size() > longest_name)
      return fail(ErrorKind::invalid, "member `{}` of the image has a name of {} bytes; {} is the limit", printable(path), part.size(), longest_name);
    if (components.size() == most_steps)
      return fail(ErrorKind::invalid, "member `{}…` of the image is more than {} directories deep", printable(path.substr(0, 100)), most_steps);
    components.emplace_back(part);
  }
  return components;
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
      // Whatever our umask is.
      if (::mkdirat(parent, name.c_str(), 0755) != 0 || ::fchmodat(parent, name.c_str(), 0755, 0) != 0)
        return fail_errno("make directory {}", printable(name));
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
  if (errno == EISDIR && ::unlinkat(parent, name.c_str(), AT_REMOVEDIR) == 0) return {};
  return fail_errno("replace {}", printable(name));
}

Result<> TreeWriter::apply(int fd, const Member& metadata) {
  if (options_.keep_owner && (metadata.uid != 0 || metadata.gid != 0) && ::fchown(fd, metadata.uid, metadata.gid) != 0) {
    const int err = errno;
    if (!has_no_owners(fd)) return std::unexpected(Error::from_errno(std::format("set owner {}:{}", metadata.uid, metadata.gid), err));
  }
  // chown(2) clears set-id bits and capabilities, so those come after it. A umask has taken bits away.
  if (::fchmod(fd, metadata.mode) != 0) {
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

Result<> TreeWriter::apply_by_name(int parent, const std::string& name, const Member& metadata, bool has_mode) {
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

Result<> TreeWriter::write_file(const Member& member, RecordReader& records, int parent, const Path& path) {
  const auto& name = path.back();
  constexpr int flags = O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC;
  Fd fd(::openat(parent, name.c_str(), flags, member.mode & 0777));
  if (!fd && errno == EEXIST) {
    TRY(remove_existing(parent, path));
    fd = Fd(::openat(parent, name.c_str(), flags, member.mode & 0777));
  }
  if (!fd) return fail_errno("create");

  std::uint64_t end = 0;
  while (const auto block = TRY(records.next_block())) {
    TRY(write_all_at(fd.get(), block->data, block->offset));
    end = block->offset + block->data.size();
    statistics_.bytes += block->data.size();
    if (options_.on_progress) options_.on_progress(statistics_);
  }
  // A hole at the end has no data to write.
  if (end < member.size && ::ftruncate(fd.get(), static_cast<off_t>(member.size)) != 0) return fail_errno("set size");
  TRY(apply(fd.get(), member));
  ++statistics_.files;
  return {};
}

Result<> TreeWriter::write_directory(const Member& member, const Path& path) {
  if (!path.empty()) {
    const int parent = TRY(directory(path, 1));
    if (::mkdirat(parent, path.back().c_str(), 0700) != 0) {
      if (errno != EEXIST) return fail_errno("make directory");
      struct stat status{};
      if (::fstatat(parent, path.back().c_str(), &status, AT_SYMLINK_NOFOLLOW) != 0) return fail_errno("look at what is there");
      if (!S_ISDIR(status.st_mode)) {
        TRY(remove_existing(parent, path));
        if (::mkdirat(parent, path.back().c_str(), 0700) != 0) return fail_errno("make directory");
      }
    }
  }
  return directories_.add(member);
}

Result<> TreeWriter::write_link(const Member& member, int parent, const Path& path) {
  const auto& name = path.back();
  const auto existing = TRY_WITHIN(member_components(member.target), "hard link");
  if (existing.empty()) return fail(ErrorKind::invalid, "hard link to a directory");
  // directory() may close the cached way to `parent`.
  const Fd here(::fcntl(parent, F_DUPFD_CLOEXEC, 0));
  if (!here) return fail_errno("keep the directory open");
  const int there = TRY_WITHIN(directory(existing, 1), "hard link to " + printable(member.target));
  if (::linkat(there, existing.back().c_str(), here.get(), name.c_str(), 0) == 0) return {};
  if (errno == EEXIST) {
    struct stat from{}, to{};
    const bool same = ::fstatat(there, existing.back().c_str(), &from, AT_SYMLINK_NOFOLLOW) == 0 &&
                      ::fstatat(here.get(), name.c_str(), &to, AT_SYMLINK_NOFOLLOW) == 0 && from.st_ino == to.st_ino && from.st_dev == to.st_dev;
    if (same) return {};
    TRY(remove_existing(here.get(), path));
    if (::linkat(there, existing.back().c_str(), here.get(), name.c_str(), 0) == 0) return {};
  }
  return fail_errno("hard link to {}", printable(member.target));
}

Result<> TreeWriter::write_symlink(const Member& member, int parent, const Path& path) {
  const auto& name = path.back();
  if (::symlinkat(member.target.c_str(), parent, name.c_str()) != 0) {
    if (errno != EEXIST) return fail_errno("make symbolic link");
    TRY(remove_existing(parent, path));
    if (::symlinkat(member.target.c_str(), parent, name.c_str()) != 0) return fail_errno("make symbolic link");
  }
  return apply_by_name(parent, name, member, false);
}

Result<> TreeWriter::write_node(const Member& member, int parent, const Path& path) {
  const auto& name = path.back();
  const mode_t type = member.type == MemberType::fifo ? S_IFIFO : member.type == MemberType::block_device ? S_IFBLK : S_IFCHR;
  const mode_t mode = type | (member.mode & 0777);
  const dev_t device = makedev(member.major, member.minor);
  if (::mknodat(parent, name.c_str(), mode, device) != 0) {
    if (errno != EEXIST) return fail_errno("make device node or FIFO");
    TRY(remove_existing(parent, path));
    if (::mknodat(parent, name.c_str(), mode, device) != 0) return fail_errno("make device node or FIFO");
  }
  return apply_by_name(parent, name, member, true);
}

Result<> TreeWriter::write(const Member& member, RecordReader& records) {
  const auto path = TRY(member_components(member.path));
  const auto context = std::format("member {}", printable(member.path));
  ++statistics_.members;

  if (member.type == MemberType::directory) {
    TRY_WITHIN(write_directory(member, path), context);
    return {};
  }
  if (path.empty()) return fail(ErrorKind::invalid, "{}: the root of the target can only be a directory", context);
  const int parent = TRY_WITHIN(directory(path, 1), context);
  forget(path);
  Result<> written;
  switch (member.type) {
    case MemberType::hard_link: written = write_link(member, parent, path); break;
    case MemberType::file: written = write_file(member, records, parent, path); break;
    case MemberType::symbolic_link: written = write_symlink(member, parent, path); break;
    case MemberType::character_device:
    case MemberType::block_device:
    case MemberType::fifo: written = write_node(member, parent, path); break;
    case MemberType::directory:
    case MemberType::socket: break;  // sockets belong to programs that run; tar(1) leaves them out as well
  }
  if (!written) return std::unexpected(std::move(written).error().within(context));
  return {};
}

Result<> TreeWriter::finish() {
  return directories_.replay([&](const Member& member) -> Result<> {
    const auto path = TRY(member_components(member.path));
    const auto context = "directory " + printable(member.path);
    const int parent = path.empty() ? root_.get() : TRY_WITHIN(directory(path, 1), context);
    const Fd fd(::openat(parent, path.empty() ? "." : path.back().c_str(), O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC));
    // A later member may have taken its place.
    if (!fd && (errno == ENOENT || errno == ENOTDIR || errno == ELOOP)) return {};
    if (!fd) return fail_errno("{}", context);
    TRY_WITHIN(apply(fd.get(), member), context);
    return {};
  });
}

Result<> write_members(RecordReader& records, TreeWriter& writer) {
  while (const auto member = TRY(records.next_member())) TRY(writer.write(*member, records));
  return {};
}

}  // namespace signet
