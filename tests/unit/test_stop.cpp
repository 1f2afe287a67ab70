#include "base/stop.h"

#include <doctest/doctest.h>
#include <fcntl.h>
#include <signal.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <array>
#include <format>
#include <functional>
#include <optional>
#include <thread>
#include <vector>

#include "base/fd.h"
#include "base/process.h"
#include "base/text.h"
#include "fetch/buffer.h"

namespace signet {
namespace {

using Clock = std::chrono::steady_clock;
using std::chrono::milliseconds;
using std::chrono::seconds;

// In a process of its own: the second signal of a process ends it. Its status as a shell has it.
int in_child(const std::function<int()>& body) {
  const pid_t child = ::fork();
  if (child == 0) ::_exit(body());
  int status = 0;
  ::waitpid(child, &status, 0);
  return WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status);
}

// SIGTERM to this process in 200 ms.
std::thread signal_soon() {
  return std::thread([] {
    std::this_thread::sleep_for(milliseconds(200));
    ::kill(::getpid(), SIGTERM);
  });
}

bool is_interruption(const auto& result) {
  return !result && (result.error().message().contains("stopped by SIG") || result.error().message().contains("not finished within"));
}

TEST_CASE("a signal ends a child process and the wait for it") {
  CHECK(in_child([] {
          catch_stop_signals();
          auto signal = signal_soon();
          const auto ran = run({.arguments = {"sh", "-c", "echo begun; sleep 60"}});
          signal.join();
          if (!is_interruption(ran) || !ran.error().message().contains("stopped by SIGTERM: begun")) return 1;
          // No further child is started before the request is taken, and then one is.
          if (!is_interruption(run({.arguments = {"true"}}))) return 2;
          if (take_stop() != SIGTERM || take_stop() != 0) return 3;
          return run({.arguments = {"true"}}) ? 0 : 4;
        }) == 0);
}

TEST_CASE("a child that ignores SIGTERM is ended by SIGKILL, with what it has started") {
  CHECK(in_child([] {
          catch_stop_signals();
          auto signal = signal_soon();
          const auto ran = run({.arguments = {"sh", "-c", "trap '' TERM; sleep 77 & echo $!; wait; sleep 60"}, .grace = seconds(1)});
          signal.join();
          if (!is_interruption(ran)) return 1;
          const auto pid = parse_unsigned(trim(ran.error().message().substr(ran.error().message().rfind(':') + 1)));
          if (!pid) return 2;
          for (int i = 0; i < 100 && ::kill(static_cast<pid_t>(*pid), 0) == 0; ++i) std::this_thread::sleep_for(milliseconds(50));
          // A zombie that nobody reaps is gone as well.
          take_stop();
          return run({.arguments = {"sh", "-c", "! grep -q '^State:.[RSDT]' /proc/$0/status 2>/dev/null", std::to_string(*pid)}})->status;
        }) == 0);
}

TEST_CASE("a signal ends the wait for bytes and a pause") {
  CHECK(in_child([] {
          catch_stop_signals();
          auto signal = signal_soon();
          ByteQueue queue(1024);
          std::array<std::byte, 16> buffer;
          const auto taken = queue.take(buffer);
          signal.join();
          if (!is_interruption(taken) || !is_interruption(sleep_unless_stopped(seconds(60)))) return 1;
          take_stop();
          return sleep_unless_stopped(milliseconds(10)) ? 0 : 2;
        }) == 0);
}

TEST_CASE("a signal ends the wait for room") {
  CHECK(in_child([] {
          catch_stop_signals();
          auto signal = signal_soon();
          ByteQueue queue(1024);
          const std::vector<std::byte> more(4096);
          const bool taken = queue.put(more);
          signal.join();
          return taken ? 1 : 0;
        }) == 0);
}

TEST_CASE("a second signal ends the process at once") {
  CHECK(in_child([] {
          catch_stop_signals();
          ::raise(SIGINT);
          if (!stop_asked()) return 1;
          ::raise(SIGINT);
          return 2;
        }) == 128 + SIGINT);
}

TEST_CASE("a deadline that passes is a request to stop, and says so") {
  CHECK(in_child([] {
          catch_stop_signals();
          set_deadline(seconds(1));
          const auto start = Clock::now();
          const auto ran = run({.arguments = {"sleep", "60"}});
          if (!is_interruption(ran) || !ran.error().message().contains("not finished within 1 s") || ran.error().advice().empty()) return 1;
          if (Clock::now() - start < milliseconds(900) || take_stop() != SIGALRM) return 2;
          // It does not count as the first of two signals.
          ::raise(SIGTERM);
          return take_stop() == SIGTERM ? 0 : 3;
        }) == 0);
}

TEST_CASE("an ignored signal stays ignored, as under nohup(1)") {
  CHECK(in_child([] {
          ::signal(SIGHUP, SIG_IGN);
          catch_stop_signals();
          ::raise(SIGHUP);
          return stop_asked() ? 1 : 0;
        }) == 0);
}

TEST_CASE("what a child leaves in its process group is ended with it where that is asked for") {
  const auto done = run({.arguments = {"sh", "-c", "sleep 78 & echo $!"}, .end_group = true});
  REQUIRE(done);
  const auto pid = trim(done->output);
  for (int i = 0; i < 100 && ::kill(static_cast<pid_t>(*parse_unsigned(pid)), 0) == 0; ++i) std::this_thread::sleep_for(milliseconds(50));
  CHECK(run({.arguments = {"sh", "-c", "! grep -q '^State:.[RSDT]' /proc/$0/status 2>/dev/null", std::string(pid)}})->status == 0);
}

TEST_CASE("a guarded child keeps its status, and does not outlive a parent that is killed") {
  CHECK(run({.arguments = {"sh", "-c", "exit 7"}, .end_group = true})->status == 7);
  CHECK(run({.arguments = {"sh", "-c", "kill -9 $$"}, .end_group = true})->status == 128 + 9);
  CHECK(run({.arguments = {"/no/such/program"}, .end_group = true}).error().kind() == ErrorKind::not_found);
  const auto file = std::format("/tmp/signet-guard-{}", ::getpid());
  const pid_t parent = ::fork();
  if (parent == 0) {
    [[maybe_unused]] const auto ran = run({.arguments = {"sh", "-c", "trap '' TERM HUP; sleep 79 & echo $! >$0; wait", file}, .end_group = true});
    ::_exit(0);
  }
  std::optional<std::uint64_t> pid;
  for (int i = 0; i < 200 && !pid; ++i) {
    std::this_thread::sleep_for(milliseconds(50));
    if (const auto text = read_file(file)) pid = parse_unsigned(trim(*text));
  }
  REQUIRE(pid);
  ::kill(parent, SIGKILL);
  ::waitpid(parent, nullptr, 0);
  bool gone = false;
  for (int i = 0; i < 200 && !gone; ++i) {
    std::this_thread::sleep_for(milliseconds(50));
    gone = run({.arguments = {"sh", "-c", "! grep -q '^State:.[RSDT]' /proc/$0/status 2>/dev/null", std::to_string(*pid)}})->status == 0;
  }
  CHECK(gone);
  ::unlink(file.c_str());
}

TEST_CASE("a child that SIGKILL cannot end is given up") {
  // A frozen process of a version 1 freezer takes no signal before it is thawed (cgroup-v1/freezer-subsystem.rst): as one that waits for a dead disk.
  const auto group = std::format("/sys/fs/cgroup/freezer/signet-{}", ::getpid());
  if (::mkdir(group.c_str(), 0755) != 0) {
    MESSAGE("skipped: no version 1 freezer here");
    return;
  }
  const auto start = Clock::now();
  const auto ran = run({.arguments = {"sh", "-c", "echo $$ >$0/cgroup.procs; echo FROZEN >$0/freezer.state; sleep 1", group},
                        .time_limit = seconds(1),
                        .grace = seconds(1)});
  REQUIRE_FALSE(ran);
  CHECK(ran.error().message().contains("still running 1 s after SIGKILL"));
  CHECK_FALSE(ran.error().advice().empty());
  CHECK(Clock::now() - start < seconds(60));
  [[maybe_unused]] const auto thawed = write_all(open_file(group + "/freezer.state", O_WRONLY)->get(), std::string_view("THAWED"));
  ::waitpid(-1, nullptr, 0);
  ::rmdir(group.c_str());
}

TEST_CASE("a signal is named") {
  CHECK(signal_name(SIGKILL) == "SIGKILL");
  CHECK(signal_name(64) == "signal 64");
}

}  // namespace
}  // namespace signet
