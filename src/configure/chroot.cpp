// The kernel's file systems in the target, and programs that run there.
#include <fcntl.h>
#include <signal.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <unistd.h>

#include <format>
#include <thread>

#include "base/fd.h"
#include "base/process.h"
#include "base/text.h"
#include "configure/configure.h"
#include "configure/steps.h"
#include "configure/target_root.h"

namespace signet {
namespace {

struct KernelMount {
  const char* place;
  const char* type;
  unsigned long flags;
  const char* data;
};
constexpr KernelMount kernel_mounts[] = {
    {"/proc", "proc", MS_NOSUID | MS_NODEV | MS_NOEXEC, ""},
    {"/sys", "sysfs", MS_NOSUID | MS_NODEV | MS_NOEXEC, ""},
    {"/dev", "devtmpfs", MS_NOSUID, "mode=755"},
    {"/dev/pts", "devpts", MS_NOSUID | MS_NOEXEC, "gid=5,mode=620"},
    {"/run", "tmpfs", MS_NOSUID | MS_NODEV, "mode=755"},
};

// Processes whose root directory is the target: what a maintainer's tool left running would keep the target busy.
std::vector<pid_t> processes_in(const struct stat& root) {
  std::vector<pid_t> found;
  const auto proc = TargetRoot::open("/proc");
  if (!proc) return found;
  for (const auto& name : proc->list("/")) {
    const auto pid = parse_unsigned(name);
    struct stat status{};
    // Followed to the directory itself, so it does not matter how its path is written.
    if (pid && ::stat(("/proc/" + name + "/root").c_str(), &status) == 0 && status.st_dev == root.st_dev && status.st_ino == root.st_ino)
      found.push_back(static_cast<pid_t>(*pid));
  }
  return found;
}

void end_processes(const std::string& root) {
  struct stat status{}, own{};
  if (::stat(root.c_str(), &status) != 0 || ::stat("/", &own) != 0) return;
  if (status.st_dev == own.st_dev && status.st_ino == own.st_ino) return;  // never what runs in our own root
  for (const int signal : {SIGTERM, SIGKILL}) {
    for (const pid_t pid : processes_in(status)) ::kill(pid, signal);
    for (int wait = 0; wait < 20; ++wait) {
      if (processes_in(status).empty()) return;
      std::this_thread::sleep_for(std::chrono::milliseconds(100));
    }
  }
}

}  // namespace

Result<ChrootMounts> ChrootMounts::mount(const std::string& root) {
  ChrootMounts mounts;
  const auto target = TRY(TargetRoot::open(root));
  for (const auto& each : kernel_mounts) {
    TRY(target.make_directories(each.place));
    // The last step must not be a link: mount(2) would follow it out of the target.
    if (const auto status = target.status(each.place); !status || !S_ISDIR(status->st_mode))
      return fail(ErrorKind::invalid, "{} in the image is not a directory", each.place);
    const auto place = root + each.place;
    if (::mount(each.type, place.c_str(), each.type, each.flags, each.data) != 0) return fail_errno("mount {} on {}", each.type, place);
    mounts.mounted_.push_back(place);
  }
  mounts.root_ = root;
  return mounts;
}

ChrootMounts::~ChrootMounts() {
  if (!root_.empty()) end_processes(root_);
  for (auto place = mounted_.rbegin(); place != mounted_.rend(); ++place) ::umount2(place->c_str(), MNT_DETACH | UMOUNT_NOFOLLOW);
}

Result<> run_tool(const TargetRoot& target, const std::vector<std::string>& arguments, const std::vector<std::string>& variables,
                  const std::function<void(std::string_view)>& on_line) {
  auto environment = variables;
  environment.insert(environment.begin(), {target_path, "HOME=/root", "LC_ALL=C", "TERM=linux"});
  TRY(run_checked({.arguments = arguments,
                   .environment = environment,
                   .clear_environment = true,
                   .root = target.path(),
                   .time_limit = std::chrono::minutes(10),
                   .on_line = on_line}));
  return {};
}

Result<> run_in_target(const std::string& root, const std::string& name, const std::string& script, const std::vector<std::string>& environment,
                       std::chrono::seconds timeout, Report& report) {
  const auto mounts = TRY(ChrootMounts::mount(root));
  auto variables = environment;
  variables.insert(variables.begin(), {target_path, "HOME=/root", "TERM=linux"});
  // The script goes to /bin/sh's standard input; a file of the target would have to be put away again.
  const auto completed = TRY_WITHIN(run({
                                        .arguments = {"/bin/sh", "-s"},
                                        .environment = variables,
                                        .clear_environment = true,
                                        .root = root,
                                        .input = script,
                                        .time_limit = timeout,
                                        .end_group = true,
                                        .on_line = [&](std::string_view line) { report.log(line); },
                                    }),
                                    "hook " + name);
  if (completed.status == 0) return {};
  return std::unexpected(Error(ErrorKind::io, std::format("hook {}: exit status {}: {}", name, completed.status, completed.last_lines()))
                             .advise("the hook runs in the target by its own /bin/sh; try it there: chroot " + root));
}

}  // namespace signet
