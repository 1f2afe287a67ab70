#include "admin/part_file.h"

#include <dirent.h>
#include <fcntl.h>
#include <linux/openat2.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <algorithm>
#include <memory>
#include <span>

#include "base/fd.h"
#include "base/size.h"

namespace signet {
namespace {

constexpr std::size_t most_names = 1000;

Result<std::string> read_regular(const Fd& fd, const std::string& path, std::size_t limit) {
  struct stat status{};
  if (::fstat(fd.get(), &status) != 0) return fail_errno("{}", path);
  if (!S_ISREG(status.st_mode)) return fail(ErrorKind::refused, "{} is not a regular file", path);
  const auto size = static_cast<std::uint64_t>(status.st_size);
  if (size > limit) return fail(ErrorKind::refused, "{} has {}; at most {} are read", path, format_size(size), format_size(limit));
  std::string text(size, '\0');
  const auto got = TRY_WITHIN(read_full_at(fd.get(), std::as_writable_bytes(std::span(text)), 0), path);
  if (got != size) return fail(ErrorKind::io, "{} became shorter while it was read", path);
  return text;
}

Result<Fd> open_part(const std::string& parts, const std::string& name, int flags) {
  const auto path = parts + "/" + name;
  const Fd directory = TRY(open_file(parts, O_PATH | O_DIRECTORY));
  open_how how{};
  // A FIFO without a writer does not hold us up with O_NONBLOCK; it is refused once it is seen.
  how.flags = static_cast<std::uint64_t>(flags | O_RDONLY | O_NONBLOCK | O_NOCTTY | O_CLOEXEC);
  how.resolve = RESOLVE_BENEATH | RESOLVE_NO_SYMLINKS | RESOLVE_NO_MAGICLINKS;
  const long fd = ::syscall(SYS_openat2, directory.get(), name.c_str(), &how, sizeof how);
  if (fd >= 0) return Fd(static_cast<int>(fd));
  if (errno == ELOOP)
    return std::unexpected(Error(ErrorKind::refused, path + " is a symbolic link, or lies behind one")
                               .advise("put the file itself there, or name it with --kernel or --initrd"));
  return fail_errno("{}", path);
}

}  // namespace

Result<std::string> read_regular_file(const std::string& path, std::size_t limit) {
  const Fd fd = TRY(open_file(path, O_RDONLY | O_NONBLOCK | O_NOCTTY));
  return read_regular(fd, path, limit);
}

Result<std::string> read_part(const std::string& parts, const std::string& name, std::size_t limit) {
  const auto with_advice = [](Error error) {
    if (!error.advice().empty()) return error;
    return std::move(error).advise("build it with toolchain/artefacts, or name the directory that has it with --parts");
  };
  const Fd fd = TRY(open_part(parts, name, 0).transform_error(with_advice));
  return read_regular(fd, parts + "/" + name, limit).transform_error(with_advice);
}

Result<std::vector<std::string>> list_part(const std::string& parts, const std::string& name) {
  auto fd = open_part(parts, name, O_DIRECTORY);
  if (!fd && fd.error().kind() == ErrorKind::not_found) return std::vector<std::string>();
  if (!fd) return std::unexpected(std::move(fd).error());
  const std::unique_ptr<DIR, int (*)(DIR*)> directory(::fdopendir(fd->get()), ::closedir);
  if (!directory) return fail_errno("{}/{}", parts, name);
  fd->release();
  std::vector<std::string> names;
  for (errno = 0; const dirent* entry = ::readdir(directory.get()); errno = 0) {
    const std::string each = entry->d_name;
    if (each == "." || each == "..") continue;
    if (names.size() == most_names) return fail(ErrorKind::refused, "{}/{} has more than {} files", parts, name, most_names);
    names.push_back(each);
  }
  if (errno != 0) return fail_errno("{}/{}", parts, name);
  std::ranges::sort(names);
  return names;
}

}  // namespace signet
