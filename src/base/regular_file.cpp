#include "base/regular_file.h"

#include <fcntl.h>
#include <linux/openat2.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <span>

#include "base/size.h"

namespace signet {

Result<Fd> open_beneath(const std::string& directory, const std::string& path, int flags) {
  const auto whole = directory + "/" + path;
  const Fd base = TRY(open_file(directory, O_PATH | O_DIRECTORY));
  open_how how{};
  how.flags = static_cast<std::uint64_t>(flags | O_RDONLY | O_NONBLOCK | O_NOCTTY | O_CLOEXEC);
  how.resolve = RESOLVE_BENEATH | RESOLVE_NO_SYMLINKS | RESOLVE_NO_MAGICLINKS;
  const long fd = ::syscall(SYS_openat2, base.get(), path.c_str(), &how, sizeof how);
  if (fd >= 0) return Fd(static_cast<int>(fd));
  if (errno == ELOOP) return fail(ErrorKind::refused, "{} is a symbolic link, or lies behind one", whole);
  return fail_errno("{}", whole);
}

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

}  // namespace signet
