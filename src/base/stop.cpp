#include "base/stop.h"

#include <poll.h>
#include <signal.h>
#include <sys/eventfd.h>
#include <sys/time.h>
#include <unistd.h>

#include <algorithm>
#include <atomic>

namespace signet {
namespace {

using Clock = std::chrono::steady_clock;

constexpr int stop_signals[] = {SIGINT, SIGTERM, SIGHUP};
std::atomic<int> asked_by = 0, requests = 0, event = -1;
std::atomic<std::int64_t> deadline_seconds = 0;
std::atomic<Clock::rep> beaten = Clock::now().time_since_epoch().count();
static_assert(std::atomic<int>::is_always_lock_free);  // signal-safety(7)

extern "C" void note_request(int signal) {
  const int err = errno;
  if (signal != SIGALRM && requests.fetch_add(1) > 0) ::_exit(128 + signal);
  int none = 0;
  asked_by.compare_exchange_strong(none, signal);
  constexpr std::uint64_t one = 1;
  [[maybe_unused]] const auto written = ::write(event.load(), &one, sizeof one);
  errno = err;
}

void set_action(int signal, void (*handler)(int)) {
  struct sigaction action{};
  ::sigaction(signal, nullptr, &action);
  if (action.sa_handler == SIG_IGN) return;
  action = {};
  action.sa_handler = handler;
  action.sa_flags = SA_RESTART;
  ::sigaction(signal, &action, nullptr);
}

}  // namespace

void catch_stop_signals() {
  if (event.load() < 0) event.store(::eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK));
  for (const int signal : stop_signals) set_action(signal, note_request);
  set_action(SIGALRM, note_request);
}

void release_stop_signals() {
  set_deadline({});
  for (const int signal : stop_signals) set_action(signal, SIG_DFL);
}

void set_deadline(std::chrono::seconds limit) {
  deadline_seconds.store(limit.count());
  // ITIMER_REAL is a timer of CLOCK_MONOTONIC in Linux (kernel/time/itimer.c): setting the clock does not move it.
  itimerval timer{};
  timer.it_value.tv_sec = limit.count();
  ::setitimer(ITIMER_REAL, &timer, nullptr);
}

bool stop_asked() { return asked_by.load() != 0; }

Result<> check_stop() {
  const int signal = asked_by.load();
  if (signal == 0) return {};
  if (signal != SIGALRM) return fail(ErrorKind::io, "stopped by {}", signal_name(signal));
  return std::unexpected(Error(ErrorKind::io, std::format("not finished within {} s (signet.deadline)", deadline_seconds.load()))
                             .advise("look for what took so long in the timeline; a longer limit is set by signet.deadline=TIME"));
}

Result<> sleep_unless_stopped(std::chrono::milliseconds time) {
  const auto end = Clock::now() + time;
  for (;;) {
    TRY(check_stop());
    const auto left = std::chrono::ceil<std::chrono::milliseconds>(end - Clock::now()).count();
    if (left <= 0) return {};
    pollfd watched{stop_event(), POLLIN, 0};
    ::poll(&watched, 1, static_cast<int>(std::min<std::int64_t>(left, 60'000)));
  }
}

int stop_event() { return event.load(); }

int take_stop() {
  const int signal = asked_by.exchange(0);
  std::uint64_t count = 0;
  if (signal != 0) [[maybe_unused]]
    const auto got = ::read(event.load(), &count, sizeof count);
  return signal;
}

std::string signal_name(int signal) {
  struct Name {
    int signal;
    const char* name;
  };
  constexpr Name names[] = {{SIGHUP, "SIGHUP"},   {SIGINT, "SIGINT"},   {SIGQUIT, "SIGQUIT"}, {SIGILL, "SIGILL"},   {SIGTRAP, "SIGTRAP"},
                            {SIGABRT, "SIGABRT"}, {SIGBUS, "SIGBUS"},   {SIGFPE, "SIGFPE"},   {SIGKILL, "SIGKILL"}, {SIGSEGV, "SIGSEGV"},
                            {SIGPIPE, "SIGPIPE"}, {SIGALRM, "SIGALRM"}, {SIGTERM, "SIGTERM"}, {SIGSYS, "SIGSYS"}};
  for (const auto& each : names)
    if (each.signal == signal) return each.name;
  return std::format("signal {}", signal);
}

void beat() { beaten.store(Clock::now().time_since_epoch().count()); }

std::chrono::steady_clock::time_point last_beat() { return Clock::time_point(Clock::duration(beaten.load())); }

}  // namespace signet
