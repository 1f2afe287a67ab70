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
void end_processes(const std::string& root) {
  for (const int signal : {SIGTERM, SIGKILL}) {
    bool any = false;
    auto proc = TargetRoot::open("/proc");
    if (!proc) return;
    for (const auto& name : proc->list("/")) {
      const auto pid = parse_unsigned(name);
      char link[PATH_MAX];
      const auto path = "/proc/" + name + "/root";
      const ssize_t length = pid ? ::readlink(path.c_str(), link, sizeof link) : -1;
      if (length <= 0 || std::string_view(link, static_cast<std::size_t>(length)) != root) continue;
      ::kill(static_cast<pid_t>(*pid), signal);
      any = true;
    }
    if (!any) return;
    std::this_thread::sleep_for(std::chrono::milliseconds(200));
  }
}

}  // namespace

Result<ChrootMounts> ChrootMounts::mount(const std::string& root) {
  ChrootMounts mounts;
  const auto target = TRY(TargetRoot::open(root));
  for (const auto& each : kernel_mounts) {
    TRY(target.make_directories(each.place));
    const auto place = root + each.place;
    // The last step must not be a link: mount(2) would follow it out of the target.
    struct stat status{};
    if (::lstat(place.c_str(), &status) != 0 || !S_ISDIR(status.st_mode))
      return fail(ErrorKind::invalid, "{} in the image is not a directory", each.place);
    if (::mount(each.type, place.c_str(), each.type, each.flags, each.data) != 0) return fail_errno("mount {} on {}", each.type, place);
    mounts.mounted_.push_back(place);
  }
  return mounts;
}

ChrootMounts::~ChrootMounts() {
  if (mounted_.empty()) return;
  end_processes(mounted_.front().substr(0, mounted_.front().rfind('/')));
  for (auto place = mounted_.rbegin(); place != mounted_.rend(); ++place) ::umount2(place->c_str(), MNT_DETACH);
}

Result<> run_in_target(const std::string& root, const std::string& name, const std::string& script, const std::vector<std::string>& environment,
                       Report& report) {
  const auto mounts = TRY(ChrootMounts::mount(root));
  // The script goes to /bin/sh's standard input; a file of the target would have to be put away again.
  const auto completed = TRY_WITHIN(run({
                                        .arguments = {"/bin/sh", "-s"},
                                        .environment = environment,
                                        .root = root,
                                        .input = script,
                                        .on_line = [&](std::string_view line) { report.log(line); },
                                    }),
                                    "hook " + name);
  if (completed.status == 0) return {};
  return std::unexpected(Error(ErrorKind::io, std::format("hook {}: exit status {}: {}", name, completed.status, completed.last_lines()))
                             .advise("the hook runs in the target by its own /bin/sh; try it there: chroot " + root));
}

}  // namespace signet
