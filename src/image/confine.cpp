#include "image/confine.h"

#include <grp.h>
#include <linux/audit.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <signal.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <array>
#include <cstddef>

namespace signet {
namespace {

constexpr unsigned nobody = 65534;

#if defined(__has_feature) && __has_feature(address_sanitizer)
constexpr bool sanitized = true;
#else
constexpr bool sanitized = false;
#endif

// seccomp(2), Documentation/userspace-api/seccomp_filter.rst.
constexpr std::uint32_t word(std::size_t offset) { return static_cast<std::uint32_t>(offset); }
constexpr std::array plain_calls = {SYS_read,   SYS_write, SYS_writev,  SYS_exit,         SYS_exit_group, SYS_munmap,
                                    SYS_mremap, SYS_brk,   SYS_madvise, SYS_rt_sigreturn, SYS_futex};
// Memory that could be executed is not to be had.
constexpr std::array memory_calls = {SYS_mmap, SYS_mprotect};
constexpr std::uint32_t architecture = AUDIT_ARCH_X86_64;

Result<bool> filter_system_calls() {
  std::array<sock_filter, 8 + 2 * (plain_calls.size() + memory_calls.size()) + 3> program{};
  std::size_t size = 0;
  const auto add = [&](sock_filter each) { program[size++] = each; };
  add(BPF_STMT(BPF_LD | BPF_W | BPF_ABS, word(offsetof(seccomp_data, arch))));
  add(BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, architecture, 1, 0));
  add(BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_KILL_PROCESS));
  add(BPF_STMT(BPF_LD | BPF_W | BPF_ABS, word(offsetof(seccomp_data, nr))));
  for (const auto call : plain_calls) {
    add(BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, static_cast<std::uint32_t>(call), 0, 1));
    add(BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW));
  }
  add(BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, static_cast<std::uint32_t>(memory_calls[0]), 2, 0));
  add(BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, static_cast<std::uint32_t>(memory_calls[1]), 1, 0));
  add(BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_KILL_PROCESS));
  add(BPF_STMT(BPF_LD | BPF_W | BPF_ABS, word(offsetof(seccomp_data, args) + 2 * sizeof(__u64))));
  add(BPF_JUMP(BPF_JMP | BPF_JSET | BPF_K, PROT_EXEC, 0, 1));
  add(BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_KILL_PROCESS));
  add(BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW));
  const sock_fprog filter{static_cast<unsigned short>(size), program.data()};
  if (::prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, &filter) == 0) return true;
  if (errno == EINVAL) return false;  // CONFIG_SECCOMP_FILTER is off
  return fail_errno("set the filter of system calls");
}

Result<> limit_to(int what, rlim_t value) {
  rlimit now{};
  if (::getrlimit(what, &now) != 0) return fail_errno("read a resource limit");
  value = std::min(value, now.rlim_max);  // whoever started us may have said less
  const rlimit wanted{value, value};
  if (::setrlimit(what, &wanted) != 0) return fail_errno("set a resource limit");
  return {};
}

Result<> give_up_root() {
  if (::geteuid() != 0) return {};
  if (::setgroups(0, nullptr) != 0) return fail_errno("give up groups");
  if (::setresgid(nobody, nobody, nobody) != 0) return fail_errno("give up the group");
  if (::setresuid(nobody, nobody, nobody) != 0) return fail_errno("give up root");
  return {};
}

}  // namespace

Result<bool> confine(std::uint64_t memory) {
  if (::syscall(SYS_close_range, 3U, ~0U, 0U) != 0)
    for (int fd = 3; fd < 1024; ++fd) ::close(fd);
  TRY(give_up_root());
  // A change of uid takes this away, so it comes after.
  if (::prctl(PR_SET_PDEATHSIG, SIGKILL) != 0) return fail_errno("tie the decoder to its parent");
  if (::prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) != 0) return fail_errno("give up new privileges");
  if (::prctl(PR_SET_DUMPABLE, 0) != 0) return fail_errno("forbid core dumps");
  TRY(limit_to(RLIMIT_CORE, 0));
  TRY(limit_to(RLIMIT_FSIZE, 0));
  TRY(limit_to(RLIMIT_NPROC, 0));
  if (sanitized) return true;
  TRY(limit_to(RLIMIT_NOFILE, 0));
  TRY(limit_to(RLIMIT_AS, memory));
  return filter_system_calls();
}

}  // namespace signet
