// Takes every power away from this process but reading its standard input and writing its standard output.
#pragma once

#include <cstdint>

#include "base/result.h"

namespace signet {

/// What is left afterwards: uid and gid 65534 without further groups (if it was root), no new privileges (PR_SET_NO_NEW_PRIVS), no core dump and no
/// debugger (PR_SET_DUMPABLE 0), no descriptor but 0, 1 and 2 and no way to open one (RLIMIT_NOFILE 0), no child process, no file that grows, at most
/// `memory` bytes of address space, death with the thread that started it, and of all system calls only those that read, write, get memory and exit
/// (seccomp(2)); any other ends the process with SIGSYS. False if this kernel has no seccomp; everything else holds then as well. Under
/// AddressSanitizer, which needs system calls and address space of its own, those two are left out and the result is true.
Result<bool> confine(std::uint64_t memory);

}  // namespace signet
