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
#include "base/text.h"

namespace signet {
namespace {

using Clock = std::chrono::steady_clock;
constexpr std::size_t output_limit = 256 * 1024;
constexpr auto grace = std::chrono::seconds(2);

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

// Runs in the child between fork and exec: async-signal-safe calls only.
[[noreturn]] void become(const Command& command, char* const* arguments, char* const* environment, int input, int output, int failure, bool tied) {
  if (tied) ::prctl(PR_SET_PDEATHSIG, SIGTERM);
  if (!command.inherit_output) ::setpgid(0, 0);
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

// Forks and executes; returns when the child has become the command.
Result<pid_t> spawn(const Command& command, int input, int output, bool tied) {
  auto argument_strings = command.arguments;
  auto environment_strings = make_environment(command);
  const auto arguments = pointers(argument_strings);
  const auto environment = pointers(environment_strings);
  Pipe failure = TRY(Pipe::make());

  const pid_t child = ::fork();
  if (child < 0) return fail_errno("start {}", to_string(command.arguments));
  if (child == 0) become(command, arguments.data(), environment.data(), input, output, failure.write.get(), tied);
  failure.write.reset();

  StartFailure why{};
  ssize_t got;
  do got = ::read(failure.read.get(), &why, sizeof why);
  while (got < 0 && errno == EINTR);
  if (got != static_cast<ssize_t>(sizeof why)) return child;
  ::waitpid(child, nullptr, 0);
  constexpr std::array<const char*, 3> steps = {"chroot for", "chdir for", "start"};
  return std::unexpected(Error::from_errno(std::format("{} {}", steps[static_cast<std::size_t>(why.step)], to_string(command.arguments)), why.err));
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
  const std::string name = to_string(command.arguments);
  Pipe output = TRY(Pipe::make());
  Pipe input;
  if (command.input)
    input = TRY(Pipe::make());
  else
    input.read = TRY(open_file("/dev/null", O_RDONLY));
  const pid_t child = TRY(spawn(command, input.read.get(), output.write.get(), true));
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

  // True while there may be more to come.
  const auto drain = [&] {
    char chunk[8192];
    for (;;) {
      const ssize_t count = ::read(output.read.get(), chunk, sizeof chunk);
      if (count < 0) return errno == EINTR || errno == EAGAIN;
      if (count == 0) return false;
      const std::string_view text(chunk, static_cast<std::size_t>(count));
      completed.output += text;
      if (completed.output.size() > output_limit * 2) completed.output.erase(0, completed.output.size() - output_limit);
      lines.add(text);
    }
  };

  auto deadline = command.time_limit ? Clock::now() + *command.time_limit : Clock::time_point::max();
  const bool limited = command.time_limit.has_value();
  int signal_sent = 0;
  for (bool running = true; running;) {
    std::array<pollfd, 3> watched = {{{exited.get(), POLLIN, 0}, {output.read.get(), POLLIN, 0}, {input.write.get(), POLLOUT, 0}}};
    const int ready = ::poll(watched.data(), watched.size(), limited ? milliseconds_until(deadline) : -1);
    if (ready < 0 && errno != EINTR) return fail_errno("wait for {}", name);
    if (watched[1].revents && output.read && !drain()) output.read.reset();
    if (watched[2].revents && input.write) {
      // A child that closed its input early is no error of ours: SIGPIPE is ignored for the whole agent.
      const ssize_t count = ::write(input.write.get(), unsent.data(), unsent.size());
      if (count > 0) unsent.remove_prefix(static_cast<std::size_t>(count));
      if (unsent.empty() || (count < 0 && errno != EAGAIN && errno != EINTR)) input.write.reset();
    }
    if (watched[0].revents) running = false;
    if (running && limited && Clock::now() >= deadline) {
      signal_sent = signal_sent == 0 ? SIGTERM : SIGKILL;
      ::kill(command.inherit_output ? child : -child, signal_sent);
      deadline = Clock::now() + grace;
    }
  }
  // What the child wrote before it ended is in the pipe now; what its own children write later is not waited for.
  if (output.read) drain();
  lines.flush();

  int status = 0;
  while (::waitpid(child, &status, 0) < 0 && errno == EINTR) {
  }
  if (completed.output.size() > output_limit) completed.output.erase(0, completed.output.size() - output_limit);
  completed.status = WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status);
  if (signal_sent != 0) {
    const auto said = completed.last_lines();
    return fail(ErrorKind::io, "{}: stopped after {} s without an end{}{}", name, command.time_limit->count(), said.empty() ? "" : ": ", said);
  }
  return completed;
}

Result<Completed> run_checked(const Command& command) {
  auto completed = TRY(run(command));
  if (completed.status == 0) return completed;
  const auto said = completed.last_lines();
  const auto how =
      completed.status > 128 ? std::format("ended by signal {}", completed.status - 128) : std::format("exit status {}", completed.status);
  return fail(ErrorKind::io, "{}: {}{}{}", to_string(command.arguments), how, said.empty() ? "" : ": ", said);
}

Result<Child> Child::start(const Command& command) {
  const Fd null = TRY(open_file("/dev/null", O_RDWR));
  return Child(TRY(spawn(command, null.get(), null.get(), false)));
}

bool Child::running() {
  if (pid_ > 0 && ::waitpid(pid_, nullptr, WNOHANG) != 0) pid_ = -1;
  return pid_ > 0;
}

void Child::stop() {
  for (const int signal : {SIGTERM, SIGKILL}) {
    if (!running()) return;
    ::kill(pid_, signal);
    const auto deadline = Clock::now() + grace;
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
