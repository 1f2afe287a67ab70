#include "configure/target_root.h"

#include <dirent.h>
#include <fcntl.h>
#include <linux/openat2.h>
#include <sys/syscall.h>
#include <sys/xattr.h>
#include <unistd.h>

#include <algorithm>
#include <memory>

namespace signet {
namespace {

constexpr std::size_t text_limit = 16 << 20;
constexpr int link_limit = 40;  // as the kernel's MAXSYMLINKS

std::string last_of(const std::string& path) { return path.substr(path.rfind('/') + 1); }

std::string directory_of(const std::string& path) {
  const auto slash = path.rfind('/');
  return slash == 0 || slash == std::string::npos ? "/" : path.substr(0, slash);
}

std::optional<std::string> link_text(int directory, const std::string& name) {
  char text[PATH_MAX];
  const ssize_t length = ::readlinkat(directory, name.c_str(), text, sizeof text);
  if (length <= 0) return std::nullopt;
  return std::string(text, static_cast<std::size_t>(length));
}

// The new file is what the old one was: owner, mode and SELinux label.
Result<> take_after(int fd, int old, const struct stat& status) {
  if (::fchown(fd, status.st_uid, status.st_gid) != 0) return fail_errno("set owner");
  if (::fchmod(fd, status.st_mode & 07777) != 0) return fail_errno("set mode");
  char label[256];
  const auto opened = "/proc/self/fd/" + std::to_string(old);  // an O_PATH descriptor cannot be asked itself
  if (const ssize_t length = ::getxattr(opened.c_str(), "security.selinux", label, sizeof label); length > 0)
    if (::fsetxattr(fd, "security.selinux", label, static_cast<std::size_t>(length), 0) != 0) return fail_errno("set SELinux label");
  return {};
}

}  // namespace

Result<TargetRoot> TargetRoot::open(const std::string& path) {
  auto fd = TRY(signet::open_file(path, O_PATH | O_DIRECTORY));
  return TargetRoot(path, std::move(fd));
}

Result<Fd> TargetRoot::open_at(const std::string& path, int flags) const {
  open_how how{};
  how.flags = static_cast<__u64>(flags | O_CLOEXEC);
  how.resolve = RESOLVE_IN_ROOT | RESOLVE_NO_MAGICLINKS;
  const long fd = ::syscall(SYS_openat2, fd_.get(), path.c_str(), &how, sizeof how);
  if (fd < 0) return fail_errno("{} in the target", path);
  return Fd(static_cast<int>(fd));
}

Result<Fd> TargetRoot::parent_of(const std::string& path) const { return open_at(directory_of(path), O_PATH | O_DIRECTORY); }

Result<std::string> TargetRoot::resolve(std::string path) const {
  for (int links = 0; links < link_limit; ++links) {
    const auto text = read_link(path);
    if (!text) return path;
    path = text->starts_with('/') ? *text : directory_of(path) + "/" + *text;
  }
  return fail(ErrorKind::invalid, "{} in the target: too many links", path);
}

bool TargetRoot::exists(const std::string& path) const { return open_at(path, O_PATH).has_value(); }

std::optional<struct stat> TargetRoot::status(const std::string& path) const {
  const auto fd = open_at(path, O_PATH | O_NOFOLLOW);
  struct stat found{};
  if (!fd || ::fstat(fd->get(), &found) != 0) return std::nullopt;
  return found;
}

std::optional<std::string> TargetRoot::find_tool(std::string_view name) const {
  for (const char* directory : {"/usr/sbin/", "/usr/bin/", "/sbin/", "/bin/"}) {
    auto path = directory + std::string(name);
    const auto fd = open_at(path, O_PATH);
    struct stat found{};
    if (fd && ::fstat(fd->get(), &found) == 0 && S_ISREG(found.st_mode) && (found.st_mode & 0111)) return path;
  }
  return std::nullopt;
}

Result<Fd> TargetRoot::open_file(const std::string& path) const {
  {
    const Fd named = TRY(open_at(path, O_PATH));
    struct stat found{};
    if (::fstat(named.get(), &found) != 0) return fail_errno("{} in the target", path);
    if (!S_ISREG(found.st_mode)) return fail(ErrorKind::invalid, "{} in the target is not a regular file", path);
  }
  return open_at(path, O_RDONLY | O_NONBLOCK);
}

Result<std::string> TargetRoot::read(const std::string& path) const {
  const Fd fd = TRY(open_file(path));
  std::string text;
  char chunk[8192];
  for (;;) {
    const ssize_t got = ::read(fd.get(), chunk, sizeof chunk);
    if (got < 0) return fail_errno("read {} in the target", path);
    if (got == 0) return text;
    text.append(chunk, static_cast<std::size_t>(got));
    if (text.size() > text_limit) return fail(ErrorKind::invalid, "{} in the target is larger than 16 MiB", path);
  }
}

Result<> TargetRoot::write(const std::string& wanted, std::string_view text, unsigned mode) const {
  const auto path = TRY(resolve(wanted));
  TRY(make_directories(directory_of(path)));
  const Fd parent = TRY(parent_of(path));
  const auto name = last_of(path), temporary = "." + name.substr(0, 200) + ".signet-new";
  const auto complain = [&] { return fail_errno("write {} in the target", path); };

  struct stat old{};
  const bool there = ::fstatat(parent.get(), name.c_str(), &old, AT_SYMLINK_NOFOLLOW) == 0;
  if (there && !S_ISREG(old.st_mode)) return fail(ErrorKind::invalid, "{} in the target is not a regular file", path);

  // What a broken run left, or what the image has of that name, makes way.
  if (::unlinkat(parent.get(), temporary.c_str(), 0) != 0 && errno != ENOENT) return complain();
  const Fd fd(::openat(parent.get(), temporary.c_str(), O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, 0600));
  if (!fd) return complain();
  const auto fill = [&]() -> Result<> {
    TRY(write_all(fd.get(), text));
    if (there) return take_after(fd.get(), TRY(open_at(path, O_PATH)).get(), old);
    if (::fchmod(fd.get(), mode) != 0) return fail_errno("set mode");
    return {};
  };
  if (auto filled = fill(); !filled) {
    ::unlinkat(parent.get(), temporary.c_str(), 0);
    return std::unexpected(std::move(filled).error().within("write " + path + " in the target"));
  }
  if (::renameat(parent.get(), temporary.c_str(), parent.get(), name.c_str()) == 0) return {};
  auto failure = complain();
  ::unlinkat(parent.get(), temporary.c_str(), 0);
  return failure;
}

Result<> TargetRoot::make_directories(const std::string& path, unsigned mode) const {
  for (std::size_t slash = path.find('/', 1);; slash = path.find('/', slash + 1)) {
    const auto part = path.substr(0, slash);
    const bool whole = slash == std::string::npos;
    if (!exists(part)) {
      const Fd parent = TRY(parent_of(part));
      const auto name = last_of(part);
      if (::mkdirat(parent.get(), name.c_str(), 0700) != 0) {
        if (errno != EEXIST) return fail_errno("make directory {} in the target", part);
      } else if (::fchmodat(parent.get(), name.c_str(), whole ? mode : 0755, 0) != 0) {  // whatever our umask is
        return fail_errno("set the mode of {} in the target", part);
      }
    }
    if (whole) return {};
  }
}

Result<> TargetRoot::remove(const std::string& path) const {
  const auto parent = parent_of(path);
  if (!parent) return {};
  if (::unlinkat(parent->get(), last_of(path).c_str(), 0) != 0 && errno != ENOENT) return fail_errno("remove {} in the target", path);
  return {};
}

Result<> TargetRoot::link(const std::string& path, const std::string& target) const {
  TRY(make_directories(directory_of(path)));
  TRY(remove(path));
  const Fd parent = TRY(parent_of(path));
  if (::symlinkat(target.c_str(), parent.get(), last_of(path).c_str()) != 0) return fail_errno("make link {} in the target", path);
  return {};
}

std::optional<std::string> TargetRoot::read_link(const std::string& path) const {
  const auto parent = parent_of(path);
  if (!parent) return std::nullopt;
  return link_text(parent->get(), last_of(path));
}

Result<> TargetRoot::set_owner(const std::string& path, unsigned uid, unsigned gid) const {
  const Fd fd = TRY(open_at(path, O_PATH | O_NOFOLLOW));
  if (::fchownat(fd.get(), "", uid, gid, AT_EMPTY_PATH) != 0) return fail_errno("set the owner of {} in the target", path);
  return {};
}

Result<> TargetRoot::set_mode(const std::string& path, unsigned mode) const {
  const auto found = status(path);
  if (!found || (!S_ISREG(found->st_mode) && !S_ISDIR(found->st_mode)))
    return fail(ErrorKind::invalid, "{} in the target is neither a file nor a directory", path);
  const Fd fd = TRY(open_at(path, O_RDONLY | O_NONBLOCK | O_NOFOLLOW));
  if (::fchmod(fd.get(), mode) != 0) return fail_errno("set the mode of {} in the target", path);
  return {};
}

std::vector<std::string> TargetRoot::list(const std::string& path) const {
  std::vector<std::string> names;
  auto fd = open_at(path, O_RDONLY | O_DIRECTORY);
  if (!fd) return names;
  const std::unique_ptr<DIR, int (*)(DIR*)> open(::fdopendir(fd->get()), ::closedir);
  if (!open) return names;
  fd->release();
  while (const dirent* entry = ::readdir(open.get()))
    if (entry->d_name != std::string_view(".") && entry->d_name != std::string_view("..")) names.emplace_back(entry->d_name);
  std::ranges::sort(names);
  return names;
}

}  // namespace signet
