// Writing a boot image to a USB stick, with the care that a disk deserves.
#pragma once

#include <sys/types.h>

#include <string>

#include "base/fd.h"
#include "base/result.h"
#include "machine/machine.h"

namespace signet {

/// What the admin said about the stick.
struct StickRules {
  bool force = false;         // also a disk that is not removable, and with `yes` any disk
  bool yes = false;           // nobody is asked
  const std::string& serial;  // the stick must have this serial number; empty: any
};

/// A stick that is open for writing from the moment it is described until it is written: nothing else can mount or partition it (O_EXCL, open(2)),
/// and another stick that takes its name is never written.
class Stick {
 public:
  /// Opens the device and describes what was opened. Refuses a file, a partition and what is in use (mounted, swap, part of an array).
  static Result<Stick> open(const std::string& path);

  const Disk& disk() const { return disk_; }
  /// Refuses what is read-only; without `force`, what is not removable; another serial number than the one given. With `yes` and neither `force` nor
  /// a serial number, also what has more than 256 GiB or holds anything but a medium of Signet's: nobody looks at the description then.
  Result<> check(const StickRules& rules) const;
  /// Shows the device on the terminal and wants the word "yes"; without a terminal it is an error that names --yes.
  Result<> ask() const;
  /// Writes the image with progress, drops the kernel's copy, reads it back and compares. Refuses if the device is not what was described any more.
  Result<> write(const std::string& image) const;

 private:
  Stick(Disk disk, Fd fd, dev_t number) : disk_(std::move(disk)), fd_(std::move(fd)), number_(number) {}
  Result<> same() const;

  Disk disk_;
  Fd fd_;
  dev_t number_;
};

}  // namespace signet
