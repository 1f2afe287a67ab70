#include "admin/part_file.h"

#include <dirent.h>
#include <fcntl.h>

#include <algorithm>
#include <memory>

#include "base/fd.h"
#include "base/regular_file.h"

namespace signet {
namespace {

constexpr std::size_t most_names = 1000;

Result<Fd> open_part(const std::string& parts, const std::string& name, int flags) {
  return open_beneath(parts, name, flags).transform_error([](Error error) {
    if (error.kind() != ErrorKind::refused) return error;
    return std::move(error).advise("put the file itself there, or name it with --kernel or --initrd");
  });
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
