// Programs that run in the target.
#include <fcntl.h>
#include <signal.h>
#include <sys/stat.h>
#include <unistd.h>

#include <format>
#include <thread>

#include "base/fd.h"
#include "base/process.h"
#include "base/text.h"
#include "configure/configure.h"
#include "configure/inside.h"
#include "configure/steps.h"
#include "configure/target_root.h"

namespace signet {
namespace {

constexpr const char* mount_places[] = {"/proc", "/sys", "/dev", "/run"};

// Processes whose root directory is the target: what a maintainer's tool left running, on a kernel without process namespaces, would keep the target
// busy.
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
  const auto target = TRY(TargetRoot::open(root));
  for (const auto* place : mount_places) {
    TRY(target.make_directories(place));
    // The last step must not be a link: mount(2) would follow it out of the target.
    if (const auto status = target.status(place); !status || !S_ISDIR(status->st_mode))
      return fail(ErrorKind::invalid, "{} in the image is not a directory", place);
  }
  ChrootMounts mounts;
  mounts.root_ = root;
  return mounts;
}

ChrootMounts::~ChrootMounts() {
  if (!root_.empty()) end_processes(root_);
}

namespace {

// The program by way of this one's hidden verb.
std::vector<std::string> inside(const std::string& root, const std::vector<std::string>& program) {
  std::vector<std::string> arguments = {"/proc/self/exe", std::string(inside_verb), root};
  const auto words = device_words(root);
  arguments.insert(arguments.end(), words.begin(), words.end());
  arguments.emplace_back("--");
  arguments.insert(arguments.end(), program.begin(), program.end());
  return arguments;
}

}  // namespace

Result<> run_tool(const TargetRoot& target, const std::vector<std::string>& arguments, const std::vector<std::string>& variables,
                  const std::function<void(std::string_view)>& on_line) {
  auto environment = variables;
  environment.insert(environment.begin(), {target_path, "HOME=/root", "LC_ALL=C", "TERM=linux"});
  const auto completed = TRY(run({.arguments = inside(target.path(), arguments),
                                  .environment = environment,
                                  .clear_environment = true,
                                  .time_limit = std::chrono::minutes(10),
                                  .on_line = on_line,
                                  .name = to_string(arguments)}));
  if (completed.status == 0) return {};
  const auto said = completed.last_lines();
  return fail(ErrorKind::io, "{}: exit status {}{}{}", to_string(arguments), completed.status, said.empty() ? "" : ": ", said);
}

Result<> run_in_target(const std::string& root, const std::string& name, const std::string& script, const std::vector<std::string>& environment,
                       std::chrono::seconds timeout, Report& report) {
  const auto mounts = TRY(ChrootMounts::mount(root));
  auto variables = environment;
  variables.insert(variables.begin(), {target_path, "HOME=/root", "TERM=linux"});
  // The script goes to /bin/sh's standard input; a file of the target would have to be put away again.
  const auto completed = TRY(run({.arguments = inside(root, {"/bin/sh", "-s"}),
                                  .environment = variables,
                                  .clear_environment = true,
                                  .input = script,
                                  .time_limit = timeout,
                                  .end_group = true,
                                  .on_line = [&](std::string_view line) { report.log(line); },
                                  .name = "hook " + name}));
  if (completed.status == 0) return {};
  return std::unexpected(Error(ErrorKind::io, std::format("hook {}: exit status {}: {}", name, completed.status, completed.last_lines()))
                             .advise("the hook runs in the target by its own /bin/sh; try it there: chroot " + root));
}

}  // namespace signet
