#include "base/process.h"

#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cstring>
#include <format>
#include <thread>

#include "base/fd.h"
#include "base/stop.h"
#include "base/text.h"

namespace signet {
namespace {

using Clock = std::chrono::steady_clock;
constexpr std::size_t output_limit = 256 * 1024;
constexpr auto start_limit = std::chrono::seconds(10);  // for fork to exec of a child that nothing else bounds
constexpr auto stop_grace = std::chrono::seconds(2);
constexpr int reads_at_once = 32;
constexpr auto look_up = std::chrono::seconds(1);  // how long a wait goes without a beat()

std::string name_of(const Command& command) { return command.name.empty() ? to_string(command.arguments) : command.name; }

std::vector<std::string> make_environment(const Command& command) {
  std::vector<std::string> environment;
  if (!command.clear_environment)
    for (char** entry = environ; *entry; ++entry) environment.emplace_back(*entry);
  for (const auto& added : command.environment) {
    const auto name = added.substr(0, added.find('=') + 1);
    std::erase_if(environment, [&](const std::string& entry) { return entry.starts_with(name); });
    environment.push_back(added);
  }
  return environment;
}

std::vector<char*> pointers(std::vector<std::string>& strings) {
  std::vector<char*> out;
  for (auto& text : strings) out.push_back(text.data());
  out.push_back(nullptr);
  return out;
}

// What a child could not do before exec(3); sent through a pipe that exec closes.
struct StartFailure {
  enum Step : int { change_root, change_directory, execute } step;
  int err;
};

// Splits the child: the command goes on, and its parent stays as a guard that ends with the command's status, or ends the whole process group when
// the writing end of `lifeline` has gone, and with it the process that started all this. Async-signal-safe calls only.
void guard_group(int lifeline) {
  const pid_t command = ::fork();
  if (command == 0) {
    ::prctl(PR_SET_PDEATHSIG, SIGKILL);
    return;
  }
  if (command < 0) ::_exit(127);
  for (const int signal : {SIGTERM, SIGINT, SIGHUP}) ::signal(signal, SIG_IGN);
  // Nothing else of ours stays open here: pipes would not end, devices would be busy.
  ::dup2(lifeline, 0);
  ::syscall(SYS_close_range, 1U, ~0U, 0U);
  const int ended = static_cast<int>(::syscall(SYS_pidfd_open, command, 0));
  std::array<pollfd, 2> watched = {{{ended, POLLIN, 0}, {0, POLLIN, 0}}};
  while (::poll(watched.data(), watched.size(), -1) < 0 && errno == EINTR) {
  }
  if (!watched[0].revents) ::kill(0, SIGKILL);
  int status = 0;
  ::waitpid(command, &status, 0);
  ::_exit(WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status));
}

// Runs in the child between fork and exec: async-signal-safe calls only.
[[noreturn]] void become(const Command& command, char* const* arguments, char* const* environment, int input, int output, int failure, int lifeline,
                         bool tied) {
  if (tied) ::prctl(PR_SET_PDEATHSIG, SIGTERM);
  if (!command.inherit_output) ::setpgid(0, 0);
  if (lifeline >= 0) guard_group(lifeline);
  ::dup2(input, 0);
  if (!command.inherit_output) {
    ::dup2(output, 1);
    ::dup2(output, 2);
  }
  const auto give_up = [&](StartFailure::Step step) {
    const StartFailure report{step, errno};
    [[maybe_unused]] const auto written = ::write(failure, &report, sizeof report);
    ::_exit(127);
  };
  if (!command.root.empty() && (::chroot(command.root.c_str()) != 0 || ::chdir("/") != 0)) give_up(StartFailure::change_root);
  if (!command.directory.empty() && ::chdir(command.directory.c_str()) != 0) give_up(StartFailure::change_directory);
  sigset_t none;
  sigemptyset(&none);
  ::sigprocmask(SIG_SETMASK, &none, nullptr);
  ::signal(SIGPIPE, SIG_DFL);
  ::execvpe(arguments[0], arguments, environment);
  give_up(StartFailure::execute);
  __builtin_unreachable();
}

class LineSplitter {
 public:
  explicit LineSplitter(const std::function<void(std::string_view)>& on_line) : on_line_(on_line) {}
  void add(std::string_view text) {
    if (!on_line_) return;
    for (const char c : text) {
      if (c == '\n' || c == '\r')
        flush();
      else if (line_.size() < 4096)
        line_ += c;
    }
  }
  void flush() {
    if (on_line_ && !line_.empty()) on_line_(line_);
    line_.clear();
  }

 private:
  const std::function<void(std::string_view)>& on_line_;
  std::string line_;
};

struct Pipe {
  Fd read, write;
  static Result<Pipe> make() {
    int ends[2];
    if (::pipe2(ends, O_CLOEXEC) != 0) return fail_errno("pipe");
    return Pipe{Fd(ends[0]), Fd(ends[1])};
  }
};

struct Spawned {
  pid_t pid;
  Fd failure;  // a StartFailure, or its end once the child has become the command
};

Result<Spawned> spawn(const Command& command, int input, int output, int lifeline, bool tied) {
  auto argument_strings = command.arguments;
  auto environment_strings = make_environment(command);
  const auto arguments = pointers(argument_strings);
  const auto environment = pointers(environment_strings);
  Pipe failure = TRY(Pipe::make());

  const pid_t child = ::fork();
  if (child < 0) return fail_errno("start {}", name_of(command));
  if (child == 0) become(command, arguments.data(), environment.data(), input, output, failure.write.get(), lifeline, tied);
  // Of both sides one is late; a signal to the group must find it.
  if (!command.inherit_output) ::setpgid(child, child);
  return Spawned{child, std::move(failure.read)};
}

// What kept the child from becoming the command; nothing if it has. To be read when the descriptor is ready.
std::optional<Error> start_failure(const Command& command, const Fd& failure) {
  StartFailure why{};
  ssize_t got;
  do got = ::read(failure.get(), &why, sizeof why);
  while (got < 0 && errno == EINTR);
  if (got != static_cast<ssize_t>(sizeof why)) return std::nullopt;
  constexpr std::array<const char*, 3> steps = {"chroot for", "chdir for", "start"};
  return Error::from_errno(std::format("{} {}", steps[static_cast<std::size_t>(why.step)], name_of(command)), why.err);
}

int milliseconds_until(Clock::time_point deadline) {
  const auto left = std::chrono::ceil<std::chrono::milliseconds>(deadline - Clock::now()).count();
  return static_cast<int>(std::clamp<decltype(left)>(left, 0, 60'000));
}

}  // namespace

std::string Completed::last_lines(unsigned count) const {
  std::vector<std::string> lines;
  for (const auto line : split(output, '\n'))
    if (const auto clean = trim(line); !clean.empty()) lines.push_back(printable(clean));
  if (lines.size() > count) lines.erase(lines.begin(), lines.end() - count);
  return join(lines, "; ");
}

Result<Completed> run(const Command& command) {
  const std::string name = name_of(command);
  Pipe output = TRY(Pipe::make());
  Pipe input;
  if (command.input)
    input = TRY(Pipe::make());
  else
    input.read = TRY(open_file("/dev/null", O_RDONLY));
  TRY(check_stop());
  Pipe lifeline;
  if (command.end_group) lifeline = TRY(Pipe::make());
  auto [child, failure] = TRY(spawn(command, input.read.get(), output.write.get(), lifeline.read.get(), true));
  lifeline.read.reset();
  output.write.reset();
  input.read.reset();

  const Fd exited(static_cast<int>(::syscall(SYS_pidfd_open, child, 0)));
  if (!exited) {
    auto error = fail_errno("watch {}", name);
    ::kill(child, SIGKILL);
    ::waitpid(child, nullptr, 0);
    return error;
  }

  Completed completed;
  LineSplitter lines(command.on_line);
  std::string_view unsent = command.input ? std::string_view(*command.input) : std::string_view();
  if (input.write) ::fcntl(input.write.get(), F_SETFL, O_NONBLOCK);
  if (unsent.empty()) input.write.reset();
  ::fcntl(output.read.get(), F_SETFL, O_NONBLOCK);

  // True while there may be more to come. A child that never stops printing must not keep us from its time limit, so there is an end to each call.
  const auto drain = [&] {
    char chunk[8192];
    for (int reads = 0; reads < reads_at_once; ++reads) {
      const ssize_t count = ::read(output.read.get(), chunk, sizeof chunk);
      if (count < 0) return errno == EINTR || errno == EAGAIN;
      if (count == 0) return false;
      const std::string_view text(chunk, static_cast<std::size_t>(count));
      completed.output += text;
      if (completed.output.size() > output_limit * 2) completed.output.erase(0, completed.output.size() - output_limit);
      lines.add(text);
    }
    return true;
  };

  const auto end = [&](int signal) { ::kill(command.inherit_output ? child : -child, signal); };
  auto deadline = command.time_limit ? Clock::now() + *command.time_limit : Clock::time_point::max();
  std::optional<Error> start_error, why_ended;
  int signal_sent = 0;
  for (bool running = true; running;) {
    // A request to stop is looked at once; then its descriptor stays readable.
    const int stop = signal_sent == 0 ? stop_event() : -1;
    std::array<pollfd, 5> watched = {
        {{exited.get(), POLLIN, 0}, {output.read.get(), POLLIN, 0}, {input.write.get(), POLLOUT, 0}, {failure.get(), POLLIN, 0}, {stop, POLLIN, 0}}};
    const int ready = ::poll(watched.data(), watched.size(), milliseconds_until(std::min(deadline, Clock::now() + look_up)));
    if (ready < 0 && errno != EINTR) return fail_errno("wait for {}", name);
    beat();
    if (watched[1].revents && output.read && !drain()) output.read.reset();
    if (watched[2].revents && input.write) {
      // A child that closed its input early is no error of ours: SIGPIPE is ignored for the whole agent.
      const ssize_t count = ::write(input.write.get(), unsent.data(), unsent.size());
      if (count > 0) unsent.remove_prefix(static_cast<std::size_t>(count));
      if (unsent.empty() || (count < 0 && errno != EAGAIN && errno != EINTR)) input.write.reset();
    }
    if (watched[3].revents && failure) {
      start_error = start_failure(command, failure);
      failure.reset();
    }
    if (watched[0].revents) running = false;
    if (!running) break;
    const auto stopped = signal_sent == 0 ? check_stop() : Result<>();
    if (stopped && Clock::now() < deadline) continue;
    if (signal_sent == SIGKILL)
      return std::unexpected(Error(ErrorKind::io, std::format("{}: still running {} s after SIGKILL", name, command.grace.count()))
                                 .advise("it waits for a device or a file system that does not answer; look at the kernel's messages (dmesg)"));
    if (signal_sent == 0 && !stopped) why_ended = stopped.error();
    if (signal_sent == 0 && stopped) why_ended = Error(ErrorKind::io, std::format("timed out after {} s", command.time_limit->count()));
    signal_sent = signal_sent == 0 ? SIGTERM : SIGKILL;
    end(signal_sent);
    deadline = Clock::now() + command.grace;
  }
  // What the child wrote before it ended is in the pipe now; what its own children write later is not waited for.
  if (output.read) drain();
  lines.flush();

  // Before the child is reaped, so that the group's number is still its own.
  if ((signal_sent != 0 || command.end_group) && !command.inherit_output) end(SIGKILL);
  int status = 0;
  while (::waitpid(child, &status, 0) < 0 && errno == EINTR) {
  }
  if (completed.output.size() > output_limit) completed.output.erase(0, completed.output.size() - output_limit);
  completed.status = WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status);
  if (failure && !start_error) start_error = start_failure(command, failure);
  if (why_ended) {
    const auto said = completed.last_lines();
    return std::unexpected(
        Error(why_ended->kind(), std::format("{}: {}{}{}", name, why_ended->message(), said.empty() ? "" : ": ", said)).advise(why_ended->advice()));
  }
  if (start_error) return std::unexpected(std::move(*start_error));
  return completed;
}

Result<Completed> run_checked(const Command& command) {
  auto completed = TRY(run(command));
  if (completed.status == 0) return completed;
  const auto said = completed.last_lines();
  const auto how =
      completed.status > 128 ? std::format("ended by signal {}", completed.status - 128) : std::format("exit status {}", completed.status);
  return fail(ErrorKind::io, "{}: {}{}{}", name_of(command), how, said.empty() ? "" : ": ", said);
}

Result<Child> Child::start(const Command& command) {
  const Fd null = TRY(open_file("/dev/null", O_RDWR));
  auto [pid, failure] = TRY(spawn(command, null.get(), null.get(), -1, false));
  Child child(pid);
  pollfd started{failure.get(), POLLIN, 0};
  const auto deadline = Clock::now() + start_limit;
  while (::poll(&started, 1, milliseconds_until(deadline)) < 0 && errno == EINTR) {
  }
  if (started.revents == 0) return fail(ErrorKind::io, "{}: not started within {} s", name_of(command), start_limit.count());
  if (auto error = start_failure(command, failure)) return std::unexpected(std::move(*error));
  return child;
}

bool Child::running() {
  if (pid_ > 0 && ::waitpid(pid_, nullptr, WNOHANG) != 0) pid_ = -1;
  return pid_ > 0;
}

void Child::stop() {
  for (const int signal : {SIGTERM, SIGKILL}) {
    if (!running()) return;
    ::kill(pid_, signal);
    const auto deadline = Clock::now() + stop_grace;
    while (running() && Clock::now() < deadline) std::this_thread::sleep_for(std::chrono::milliseconds(5));
  }
}

std::string to_string(const std::vector<std::string>& arguments) {
  std::string line;
  for (const auto& argument : arguments) {
    if (!line.empty()) line += ' ';
    line += shell_quote(argument);
  }
  return line;
}

}  // namespace signet
