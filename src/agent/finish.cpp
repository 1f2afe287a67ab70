#include "agent/finish.h"

#include <fcntl.h>
#include <linux/kd.h>
#include <linux/reboot.h>
#include <poll.h>
#include <sys/ioctl.h>
#include <sys/reboot.h>
#include <unistd.h>

#include <algorithm>
#include <chrono>
#include <cstring>
#include <thread>

#include "base/fd.h"
#include "base/process.h"
#include "base/stop.h"
#include "base/text.h"
#include "configure/installed_kernel.h"

namespace signet {
namespace {

// init ends everything in order and then calls reboot(2); until it has, there is nothing more for us to do.
Result<> through_init(const char* applet) {
  ::sync();
  TRY(run_checked({.arguments = {applet}, .time_limit = std::chrono::seconds(10)}));
  std::this_thread::sleep_for(std::chrono::seconds(60));
  TRY(run_checked({.arguments = {applet, "-f"}, .time_limit = std::chrono::seconds(10)}));
  return fail(ErrorKind::io, "{}: the machine did not obey", applet);
}

Result<> start_loaded_kernel() {
  ::sync();
  ::reboot(LINUX_REBOOT_CMD_KEXEC);
  return fail_errno("kexec");
}

// A tone every two seconds on every console, until a key comes from one of them.
void beep_until_someone_comes() {
  std::vector<Fd> consoles;
  std::vector<pollfd> keys;
  for (const auto& path : active_consoles()) {
    auto console = open_file(path, O_RDWR | O_NOCTTY | O_NONBLOCK);
    if (!console) continue;
    keys.push_back({console->get(), POLLIN, 0});
    consoles.push_back(std::move(*console));
  }
  while (!consoles.empty() && !stop_asked()) {
    for (const auto& console : consoles) {
      constexpr unsigned long tone = (125UL << 16) + 1193180 / 880;  // 125 ms of 880 Hz, ioctl_console(2)
      if (::ioctl(console.get(), KDMKTONE, tone) != 0) [[maybe_unused]]
        const auto written = write_all(console.get(), std::string_view("\a"));
    }
    if (::poll(keys.data(), keys.size(), 2000) > 0) return;
  }
}

std::string root_argument(const Plan& plan) {
  for (const auto* partition : plan.mounts())
    if (partition->mount == "/") return "root=UUID=" + partition->uuid;
  return {};
}

// Kernel parameters win over the profile: they are what a person at the machine can change.
FinishAction choose(const Context& context, const char* parameter, FinishAction otherwise) {
  if (const auto said = context.machine.setting(parameter))
    if (const auto action = parse_finish_action(said->value)) return *action;
  return otherwise;
}

// Returns where nothing ends this system: a shell, a beep that somebody has answered, or what failed.
Result<> perform(FinishAction action) {
  switch (action) {
    case FinishAction::reboot: return through_init("reboot");
    case FinishAction::poweroff: return through_init("poweroff");
    case FinishAction::halt: return through_init("halt");
    case FinishAction::kexec: return start_loaded_kernel();
    case FinishAction::beep: beep_until_someone_comes(); break;
    case FinishAction::shell: break;
  }
  return {};
}

}  // namespace

FinishAction success_action(const Context& context) {
  auto action = context.profile.finish.on_success;
  if (const auto left = read_file(context.state_file("finish"))) action = parse_finish_action(trim(*left)).value_or(action);
  return choose(context, "on-success", action);
}

FinishAction failure_action(const Context& context) { return choose(context, "on-failure", context.profile.finish.on_failure); }

Result<> load_kexec(const Context& context) {
  const auto target = TRY(TargetRoot::open(context.settings.root));
  auto root = root_argument(context.plan);
  if (const auto& more = context.profile.configure.kernel_args; !more.empty()) root += " " + more;
  return load_kernel(target, TRY(default_kernel(target, root)));
}

Result<> act(FinishAction action, Context& context) {
  if (!on_node()) {
    context.report.log("not on a node, so no {}", to_string(action));
    return {};
  }
  context.report.flush();
  context.watchdog.reset();
  // What ends us now is init, or a person who has seen enough.
  release_stop_signals();
  take_stop();
  if (auto acted = perform(action); !acted) {
    if (context.machine.shells_allowed()) return acted;
    context.report.log("{}", acted.error().message());
  }
  if (context.machine.shells_allowed()) return {};
  constexpr auto time_to_read = std::chrono::seconds(60);
  context.report.log("no shell is allowed here (signet.shell): rebooting in {} s", time_to_read.count());
  std::this_thread::sleep_for(time_to_read);
  return through_init("reboot");
}

}  // namespace signet
