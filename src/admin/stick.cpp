#include "admin/stick.h"

#include <fcntl.h>
#include <linux/fs.h>
#include <sys/ioctl.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <unistd.h>

#include <algorithm>
#include <cstdio>
#include <cstring>
#include <format>
#include <vector>

#include "base/fd.h"
#include "base/size.h"
#include "machine/medium.h"
#include "machine/superblock.h"
#include "machine/sysfs.h"

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

Result<std::uint64_t> size_of(const Fd& fd, const std::string& path) {
  std::uint64_t size = 0;
  if (::ioctl(fd.get(), BLKGETSIZE64, &size) != 0) return fail_errno("size of {}", path);
  return size;
}

// The disk of a device number, by its own name in /dev: neither changes while a descriptor of it is open.
Result<Disk> describe_number(dev_t number) {
  const auto link = std::format("/sys/dev/block/{}:{}", major(number), minor(number));
  const auto name = sysfs::link_name(link);
  if (name.empty() || sysfs::text("/sys/block/" + name + "/dev") != std::format("{}:{}", major(number), minor(number)))
    return fail(ErrorKind::refused, "the device {}:{} is gone", major(number), minor(number));
  return describe_disk("/dev/" + name);
}

constexpr std::uint64_t largest_unasked = 256 * GiB;

}  // namespace

Result<Stick> Stick::open(const std::string& path) {
  // Described first for its reasons: an exclusive open says no more than "busy".
  auto disk = TRY_WITHIN(describe_disk(path), "--to");
  if (disk.is_file) return std::unexpected(Error(ErrorKind::usage, path + " is a file, not a device").advise("use --out to make a file"));
  const auto busy = [&](const std::string& why) {
    return std::unexpected(Error(ErrorKind::refused, std::format("{} is in use: {}", disk.describe(), why))
                               .advise("unmount it, or name another device; `lsblk` shows them"));
  };
  if (!disk.in_use.empty()) return busy(disk.in_use);
  auto opened = open_file(path, (disk.read_only ? O_RDONLY : O_RDWR) | O_EXCL | O_NONBLOCK);
  if (!opened && errno == EBUSY) return busy("another program holds it");
  Fd fd = TRY(std::move(opened));
  struct stat status{};
  if (::fstat(fd.get(), &status) != 0) return fail_errno("{}", path);
  if (!S_ISBLK(status.st_mode)) return fail(ErrorKind::refused, "{} is not a block device any more", path);
  // Now that nobody else can take it: what this number is, under whatever name.
  disk = TRY_WITHIN(describe_number(status.st_rdev), "--to");
  disk.path = path;
  Stick stick(std::move(disk), std::move(fd), status.st_rdev);
  TRY(stick.same());
  return stick;
}

Result<> Stick::same() const {
  const auto changed = [&](std::string_view what) {
    return std::unexpected(Error(ErrorKind::refused, std::format("{}: its {} is not what it was when it was described", disk_.describe(), what))
                               .advise("plug the stick in again and repeat the command; nothing was written"));
  };
  struct stat status{};
  if (::fstat(fd_.get(), &status) != 0) return fail_errno("{}", disk_.path);
  if (status.st_rdev != number_) return changed("device number");
  if (TRY(size_of(fd_, disk_.path)) != disk_.size) return changed("size");
  const auto now = TRY(describe_number(number_));
  if (now.serial != disk_.serial || now.wwn != disk_.wwn || now.model != disk_.model) return changed("serial number or model");
  // Cards in a reader have the reader's number and name.
  if (now.digest != disk_.digest) return changed("content");
  return {};
}

Result<> Stick::check(const StickRules& rules) const {
  const auto refuse = [&](std::string_view why, std::string advice) {
    return std::unexpected(Error(ErrorKind::refused, std::format("{} {}", disk_.describe(), why)).advise(std::move(advice)));
  };
  if (disk_.read_only) return refuse("is read-only", "look for a write-protect switch");
  if (!rules.serial.empty() && rules.serial != disk_.serial)
    return refuse(std::format("has not the serial number {}", rules.serial), "`lsblk -o NAME,SIZE,MODEL,SERIAL` shows all of them");
  if (rules.force) return {};
  if (!disk_.removable && disk_.transport != "usb" && disk_.transport != "mmc")
    return refuse("is not removable", "name a stick; if this disk is really meant, say --force");
  if (!rules.yes || !rules.serial.empty()) return {};
  const std::string advice = "leave out --yes and look at it, or name it with --serial SERIAL; --force writes to any disk";
  if (disk_.size > largest_unasked) return refuse("is larger than a stick", advice);
  if (disk_.content != DiskContent::blank && label_of(disk_.path) != medium_label) return refuse("holds " + disk_.found, advice);
  return {};
}

Result<> Stick::ask() const {
  if (!::isatty(STDIN_FILENO))
    return std::unexpected(Error(ErrorKind::usage, "cannot ask for confirmation without a terminal").advise("use --yes to write without a question"));
  std::fprintf(stderr, "%s\n  holds %s\nEverything on it will be lost. Write to it? Type yes: ", disk_.describe().c_str(), disk_.found.c_str());
  char answer[16] = "";
  if (!std::fgets(answer, sizeof answer, stdin) || std::strcmp(answer, "yes\n") != 0) return fail(ErrorKind::refused, "nothing was written");
  return {};
}

Result<> Stick::write(const std::string& image) const {
  const Fd from = TRY(open_file(image, O_RDONLY));
  const auto end = ::lseek(from.get(), 0, SEEK_END);
  if (end <= 0) return fail_errno("size of {}", image);
  const auto size = static_cast<std::uint64_t>(end);
  if (size > disk_.size) return fail(ErrorKind::no_space, "{} is too small: {} are needed", disk_.describe(), format_size(size));
  TRY(same());
  TRY_WITHIN(walk(from.get(), size, "writing", [&](std::span<std::byte> data, std::uint64_t at) { return write_all_at(fd_.get(), data, at); }),
             disk_.path);
  if (::fsync(fd_.get()) != 0) return fail_errno("write {}", disk_.path);
  if (::ioctl(fd_.get(), BLKFLSBUF, 0) != 0) return fail_errno("drop the kernel's copy of {}", disk_.path);
  std::vector<std::byte> read(chunk);
  TRY_WITHIN(walk(from.get(), size, "reading back",
                  [&](std::span<std::byte> data, std::uint64_t at) -> Result<> {
                    const auto got = TRY(read_full_at(fd_.get(), std::span(read).first(data.size()), at));
                    if (got != data.size() || !std::ranges::equal(std::span(read).first(got), data))
                      return std::unexpected(Error(ErrorKind::verification, std::format("it does not hold what was written, from byte {} on", at))
                                                 .advise("the stick is worn out or not as large as it says; take another"));
                    return {};
                  }),
             disk_.path);
  ::ioctl(fd_.get(), BLKRRPART, 0);  // the partitions of before may be in nobody's way; the next plug shows the new ones anyway
  std::fprintf(stderr, "%s: written and compared, %s\n", disk_.path.c_str(), format_size(size).c_str());
  return {};
}

}  // namespace signet
