// Programs of the image, run in namespaces of their own.
#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "base/result.h"

namespace signet {

/// The hidden verb by which the agent starts itself to run a program in a target: `signet-agent inside ROOT [WORD…] -- PROGRAM [ARGUMENT…]`. A WORD
/// is `block:NAME:MAJOR:MINOR`, a node of /dev, or `uuid:UUID:NAME`, a link in /dev/disk/by-uuid.
inline constexpr std::string_view inside_verb = "inside";

/// The words for the disks that the file systems mounted at and below `root` are on (proc_pid_mountinfo(5)), and all partitions of those disks.
std::vector<std::string> device_words(const std::string& root);

/// The process: a mount namespace and, where the kernel has them, a process namespace of its own; /proc, /sys, /run and a /dev of the usual nodes and
/// those of `WORD`s in ROOT; then the program with ROOT as its root directory. Returns its exit status (128 + signal number, 127 if it cannot be
/// started). Everything that it mounted is gone then, and every process that it left behind (without process namespaces: see ChrootMounts).
int run_inside(int argc, char** argv);

}  // namespace signet
