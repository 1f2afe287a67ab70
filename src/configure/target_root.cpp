#include "configure/target_root.h"

#include <dirent.h>
#include <fcntl.h>
#include <linux/openat2.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <algorithm>
#include <memory>

namespace signet {
namespace {

std::string last_of(const std::string& path) { return path.substr(path.rfind('/') + 1); }

}  // namespace

Result<TargetRoot> TargetRoot::open(const std::string& path) {
  auto fd = TRY(open_file(path, O_PATH | O_DIRECTORY));
  return TargetRoot(path, std::move(fd));
}

Result<Fd> TargetRoot::open_at(const std::string& path, int flags, unsigned mode) const {
  open_how how{};
  how.flags = static_cast<__u64>(flags | O_CLOEXEC);
  how.mode = mode;
  how.resolve = RESOLVE_IN_ROOT | RESOLVE_NO_MAGICLINKS;
  const long fd = ::syscall(SYS_openat2, fd_.get(), path.c_str(), &how, sizeof how);
  if (fd < 0) return fail_errno("{} in the target", path);
  return Fd(static_cast<int>(fd));
}

Result<Fd> TargetRoot::parent_of(const std::string& path) const {
  const auto slash = path.rfind('/');
  return open_at(slash == 0 || slash == std::string::npos ? "/" : path.substr(0, slash), O_PATH | O_DIRECTORY);
}

bool TargetRoot::exists(const std::string& path) const { return open_at(path, O_PATH).has_value(); }

std::optional<std::string> TargetRoot::find_tool(std::string_view name) const {
  for (const char* directory : {"/usr/sbin/", "/usr/bin/", "/sbin/", "/bin/"})
    if (auto path = directory + std::string(name); exists(path)) return path;
  return std::nullopt;
}

Result<std::string> TargetRoot::read(const std::string& path) const {
  const Fd fd = TRY(open_at(path, O_RDONLY));
  std::string text;
  char chunk[8192];
  for (;;) {
    const ssize_t got = ::read(fd.get(), chunk, sizeof chunk);
    if (got < 0) return fail_errno("read {} in the target", path);
    if (got == 0) return text;
    text.append(chunk, static_cast<std::size_t>(got));
  }
}

Result<> TargetRoot::write(const std::string& path, std::string_view text, unsigned mode) const {
  const auto slash = path.rfind('/');
  if (slash != 0 && slash != std::string::npos) TRY(make_directories(path.substr(0, slash)));
  const Fd fd = TRY(open_at(path, O_WRONLY | O_CREAT | O_TRUNC, mode));
  TRY_WITHIN(write_all(fd.get(), text), path + " in the target");
  return {};
}

Result<> TargetRoot::make_directories(const std::string& path, unsigned mode) const {
  for (std::size_t slash = path.find('/', 1);; slash = path.find('/', slash + 1)) {
    const auto part = path.substr(0, slash);
    if (!exists(part)) {
      const Fd parent = TRY(parent_of(part));
      const bool whole = slash == std::string::npos;
      if (::mkdirat(parent.get(), last_of(part).c_str(), whole ? mode : 0755) != 0 && errno != EEXIST)
        return fail_errno("make directory {} in the target", part);
    }
    if (slash == std::string::npos) return {};
  }
}

Result<> TargetRoot::remove(const std::string& path) const {
  const auto parent = parent_of(path);
  if (!parent) return {};
  if (::unlinkat(parent->get(), last_of(path).c_str(), 0) != 0 && errno != ENOENT) return fail_errno("remove {} in the target", path);
  return {};
}

Result<> TargetRoot::link(const std::string& path, const std::string& target) const {
  TRY(remove(path));
  const Fd parent = TRY(parent_of(path));
  if (::symlinkat(target.c_str(), parent.get(), last_of(path).c_str()) != 0) return fail_errno("make link {} in the target", path);
  return {};
}

Result<> TargetRoot::set_owner(const std::string& path, unsigned uid, unsigned gid) const {
  const Fd fd = TRY(open_at(path, O_RDONLY));
  if (::fchown(fd.get(), uid, gid) != 0) return fail_errno("set the owner of {} in the target", path);
  return {};
}

Result<> TargetRoot::set_mode(const std::string& path, unsigned mode) const {
  const Fd fd = TRY(open_at(path, O_RDONLY));
  if (::fchmod(fd.get(), mode) != 0) return fail_errno("set the mode of {} in the target", path);
  return {};
}

std::vector<std::string> TargetRoot::list(const std::string& path) const {
  std::vector<std::string> names;
  auto fd = open_at(path, O_RDONLY | O_DIRECTORY);
  if (!fd) return names;
  const std::unique_ptr<DIR, int (*)(DIR*)> open(::fdopendir(fd->release()), ::closedir);
  if (!open) return names;
  while (const dirent* entry = ::readdir(open.get()))
    if (entry->d_name != std::string_view(".") && entry->d_name != std::string_view("..")) names.emplace_back(entry->d_name);
  std::ranges::sort(names);
  return names;
}

}  // namespace signet
