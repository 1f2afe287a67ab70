#include "configure/inside.h"

#include <fcntl.h>
#include <sched.h>
#include <signal.h>
#include <sys/mount.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <cstdio>
#include <cstring>
#include <format>
#include <span>

#include "base/fd.h"
#include "base/text.h"

namespace signet {
namespace {

constexpr int cannot_start = 127;

struct KernelMount {
  const char* place;
  const char* type;
  unsigned long flags;
  const char* data;
};
constexpr KernelMount kernel_mounts[] = {
    {"/sys", "sysfs", MS_NOSUID | MS_NODEV | MS_NOEXEC, ""},
    {"/run", "tmpfs", MS_NOSUID | MS_NODEV, "mode=755"},
    {"/dev", "tmpfs", MS_NOSUID | MS_NOEXEC, "mode=755,size=1m"},
};
constexpr KernelMount terminals = {"/dev/pts", "devpts", MS_NOSUID | MS_NOEXEC, "newinstance,gid=5,mode=620,ptmxmode=666"};
constexpr KernelMount shared_memory = {"/dev/shm", "tmpfs", MS_NOSUID | MS_NODEV, "mode=1777"};
constexpr KernelMount processes = {"/proc", "proc", MS_NOSUID | MS_NODEV | MS_NOEXEC, ""};

// Documentation/admin-guide/devices.txt.
struct Node {
  const char* name;
  unsigned mode, major, minor;
};
constexpr Node nodes[] = {{"null", 0666, 1, 3},    {"zero", 0666, 1, 5}, {"full", 0666, 1, 7},   {"random", 0666, 1, 8},
                          {"urandom", 0666, 1, 9}, {"tty", 0666, 5, 0},  {"console", 0600, 5, 1}};
constexpr std::pair<const char*, const char*> links[] = {
    {"fd", "/proc/self/fd"}, {"stdin", "fd/0"}, {"stdout", "fd/1"}, {"stderr", "fd/2"}, {"ptmx", "pts/ptmx"}};

Result<> mount_one(const std::string& root, const KernelMount& each) {
  const auto place = root + each.place;
  if (::mount(each.type, place.c_str(), each.type, each.flags, each.data) != 0) return fail_errno("mount {} on {}", each.type, place);
  return {};
}

Result<> make_node(const std::string& path, unsigned mode, dev_t device) {
  // The umask takes bits away.
  if (::mknod(path.c_str(), mode, device) != 0 || ::chmod(path.c_str(), mode & 07777) != 0) return fail_errno("make {}", path);
  return {};
}

Result<> fill_dev(const std::string& root, std::span<char* const> words) {
  const auto dev = root + "/dev/";
  for (const auto& each : nodes) TRY(make_node(dev + each.name, S_IFCHR | each.mode, makedev(each.major, each.minor)));
  for (const auto& [name, target] : links)
    if (::symlink(target, (dev + name).c_str()) != 0) return fail_errno("make {}{}", dev, name);
  for (const char* directory : {"pts", "shm", "disk", "disk/by-uuid"})
    if (::mkdir((dev + directory).c_str(), 0755) != 0 || ::chmod((dev + directory).c_str(), 0755) != 0)
      return fail_errno("make {}{}", dev, directory);
  for (const std::string_view word : words) {
    const auto parts = split(word, ':');
    if (parts.size() == 4 && parts[0] == "block") {
      const auto major = parse_unsigned(parts[2]), minor = parse_unsigned(parts[3]);
      if (!major || !minor || parts[1].contains('/')) return fail(ErrorKind::usage, "{}: not a device", printable(word));
      TRY(make_node(dev + std::string(parts[1]), S_IFBLK | 0660, makedev(static_cast<unsigned>(*major), static_cast<unsigned>(*minor))));
    } else if (parts.size() == 3 && parts[0] == "uuid" && !parts[1].contains('/')) {
      // Two of one UUID are a mistake of whoever made them; the first one counts.
      if (::symlink(("../../" + std::string(parts[2])).c_str(), (dev + "disk/by-uuid/" + std::string(parts[1])).c_str()) != 0 && errno != EEXIST)
        return fail_errno("make a link for {}", printable(word));
    } else {
      return fail(ErrorKind::usage, "{}: unexpected argument", printable(word));
    }
  }
  TRY(mount_one(root, terminals));
  return mount_one(root, shared_memory);
}

// The status of a child as a shell tells it.
int status_of(pid_t child) {
  int status = 0;
  for (;;) {
    const pid_t ended = ::waitpid(-1, &status, 0);
    if (ended == child) return WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status);
    if (ended < 0 && errno != EINTR) return cannot_start;
  }
}

[[noreturn]] void give_up(const Error& error) {
  std::fprintf(stderr, "%s\n", error.message().c_str());
  std::fflush(stderr);
  ::_exit(cannot_start);
}

[[noreturn]] void become(const std::string& root, char** arguments) {
  if (::chroot(root.c_str()) != 0 || ::chdir("/") != 0) give_up(Error::from_errno("change into " + root));
  ::execvp(arguments[0], arguments);
  give_up(Error::from_errno(std::format("start {}", arguments[0])));
}

// The first process of the namespace: takes in orphans and ends when the program has ended; the kernel then ends all others.
[[noreturn]] void first_process(const std::string& root, char** arguments) {
  ::prctl(PR_SET_PDEATHSIG, SIGKILL);
  if (auto mounted = mount_one(root, processes); !mounted) give_up(mounted.error());
  const pid_t child = ::fork();
  if (child < 0) give_up(Error::from_errno("fork"));
  if (child == 0) become(root, arguments);
  ::_exit(status_of(child));
}

}  // namespace

int run_inside(int argc, char** argv) {
  const std::span<char*> words(argv, static_cast<std::size_t>(argc));
  const auto divider = std::ranges::find(words, std::string_view("--"), [](const char* word) { return std::string_view(word); });
  if (words.size() < 2 || divider == words.end() || divider + 1 == words.end()) return 2;
  const std::string root = words[1];
  char** const program = &*divider + 1;  // argv ends with a null pointer, as execvp(3) wants it
  ::prctl(PR_SET_PDEATHSIG, SIGKILL);

  const auto set_up = [&]() -> Result<> {
    if (::unshare(CLONE_NEWNS) != 0) return fail_errno("make a mount namespace");
    if (::mount(nullptr, "/", nullptr, MS_REC | MS_PRIVATE, nullptr) != 0) return fail_errno("make mounts private");
    for (const auto& each : kernel_mounts) TRY(mount_one(root, each));
    return fill_dev(root, std::span<char* const>(&words[2], &*divider));
  };
  if (auto made = set_up(); !made) give_up(made.error());
  if (::unshare(CLONE_NEWPID) != 0) {
    if (errno != EINVAL) give_up(Error::from_errno("make a process namespace"));
    // It is only a process more then.
    std::fputs("this kernel has no process namespaces (CONFIG_PID_NS): what a tool leaves running is not ended with it\n", stderr);
  }
  const pid_t first = ::fork();
  if (first < 0) give_up(Error::from_errno("fork"));
  if (first == 0) first_process(root, program);
  return status_of(first);
}

}  // namespace signet
