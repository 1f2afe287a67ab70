#include "admin/stick.h"

#include <fcntl.h>
#include <linux/fs.h>
#include <sys/ioctl.h>
#include <unistd.h>

#include <algorithm>
#include <cstdio>
#include <cstring>
#include <format>
#include <vector>

#include "base/fd.h"
#include "base/size.h"

namespace signet {
namespace {

constexpr std::size_t chunk = 4 * MiB;

// Copies or compares chunk by chunk, telling how far it is.
Result<> walk(int image, std::uint64_t size, std::string_view what, const std::function<Result<>(std::span<std::byte>, std::uint64_t)>& each) {
  const bool terminal = ::isatty(STDERR_FILENO);
  std::vector<std::byte> buffer(chunk);
  for (std::uint64_t at = 0; at < size;) {
    const auto got = TRY(read_full_at(image, buffer, at));
    if (got == 0) return fail(ErrorKind::io, "the image has become shorter");
    TRY(each(std::span(buffer).first(got), at));
    at += got;
    if (terminal)
      std::fprintf(stderr, "\r%.*s %3u%%  %s of %s ", static_cast<int>(what.size()), what.data(), static_cast<unsigned>(at * 100 / size),
                   format_size(at).c_str(), format_size(size).c_str());
  }
  if (terminal) std::fprintf(stderr, "\n");
  return {};
}

}  // namespace

Result<Disk> describe_stick(const std::string& path) {
  auto stick = TRY_WITHIN(describe_disk(path), "--to");
  if (stick.is_file) return std::unexpected(Error(ErrorKind::usage, path + " is a file, not a device").advise("use --out to make a file"));
  return stick;
}

Result<> check_stick(const Disk& stick, bool force) {
  const auto refuse = [&](std::string_view why, std::string advice) {
    return std::unexpected(Error(ErrorKind::refused, std::format("{} {}", stick.describe(), why)).advise(std::move(advice)));
  };
  if (!stick.in_use.empty()) return refuse("is in use: " + stick.in_use, "unmount it, or name another device; `lsblk` shows them");
  if (stick.read_only) return refuse("is read-only", "look for a write-protect switch");
  if (!force && !stick.removable && stick.transport != "usb" && stick.transport != "mmc")
    return refuse("is not removable", "name a stick; if this disk is really meant, say --force");
  return {};
}

Result<> ask_for_stick(const Disk& stick) {
  if (!::isatty(STDIN_FILENO))
    return std::unexpected(Error(ErrorKind::usage, "nobody is there to be asked").advise("say --yes to write without a question"));
  std::fprintf(stderr, "%s\n  holds %s\nEverything on it will be lost. Write to it? Type yes: ", stick.describe().c_str(), stick.found.c_str());
  char answer[16] = "";
  if (!std::fgets(answer, sizeof answer, stdin) || std::strcmp(answer, "yes\n") != 0) return fail(ErrorKind::refused, "nothing was written");
  return {};
}

Result<> write_stick(const std::string& image, const Disk& stick) {
  const Fd from = TRY(open_file(image, O_RDONLY));
  const auto end = ::lseek(from.get(), 0, SEEK_END);
  if (end <= 0) return fail_errno("size of {}", image);
  const auto size = static_cast<std::uint64_t>(end);
  if (size > stick.size) return fail(ErrorKind::no_space, "{} is too small: {} are needed", stick.describe(), format_size(size));
  {
    // O_EXCL on a block device: nobody else has it mounted, open(2).
    const Fd to = TRY(open_file(stick.path, O_WRONLY | O_EXCL));
    TRY_WITHIN(walk(from.get(), size, "writing", [&](std::span<std::byte> data, std::uint64_t at) { return write_all_at(to.get(), data, at); }),
               stick.path);
    if (::fsync(to.get()) != 0) return fail_errno("write {}", stick.path);
    ::ioctl(to.get(), BLKFLSBUF, 0);
    ::ioctl(to.get(), BLKRRPART, 0);
  }
  const Fd back = TRY(open_file(stick.path, O_RDONLY));
  std::vector<std::byte> read(chunk);
  TRY_WITHIN(walk(from.get(), size, "reading back",
                  [&](std::span<std::byte> data, std::uint64_t at) -> Result<> {
                    const auto got = TRY(read_full_at(back.get(), std::span(read).first(data.size()), at));
                    if (got != data.size() || !std::ranges::equal(std::span(read).first(got), data))
                      return std::unexpected(Error(ErrorKind::verification, std::format("it does not hold what was written, from byte {} on", at))
                                                 .advise("the stick is worn out or not as large as it says; take another"));
                    return {};
                  }),
             stick.path);
  std::fprintf(stderr, "%s: written and compared, %s\n", stick.path.c_str(), format_size(size).c_str());
  return {};
}

}  // namespace signet
