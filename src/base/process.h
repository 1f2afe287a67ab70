// Child processes: argument vectors (never a shell), bounded time, captured output. A request to stop (base/stop.h) ends them.
#pragma once

#include <chrono>
#include <functional>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "base/result.h"

namespace signet {

struct Command {
  std::vector<std::string> arguments;                    // arguments[0] is looked up in PATH (of the new root, if there is one)
  std::vector<std::string> environment = {};             // "NAME=value", added to this process's environment or replacing its values
  bool clear_environment = false;                        // start from an empty environment instead
  std::string root = {};                                 // chroot(2) there first; empty: no
  std::string directory = {};                            // chdir(2) there (inside root); empty: "/" with a root, else unchanged
  std::optional<std::string> input = {};                 // written to its standard input; without it /dev/null
  std::optional<std::chrono::seconds> time_limit = {};   // then SIGTERM to its process group, `grace` later SIGKILL; an error of kind io
  std::chrono::seconds grace = std::chrono::seconds(2);  // and so long after SIGKILL it is given up, as a child of a dead device may never end
  bool end_group = false;       // SIGKILL to its whole process group when it has ended, and when this process dies of whatever
  bool inherit_output = false;  // its output goes where ours goes, nothing is captured
  std::function<void(std::string_view line)> on_line = {};  // each line of its output, as it comes
  std::string name = {};                                    // what messages call it; empty: its command line
};

struct Completed {
  int status = 0;      // exit status, or 128 + signal number
  std::string output;  // standard output and standard error in the order written; the last 256 KiB

  /// The last lines of output that are not blank, at most `count`, joined by "; ": what a person wants to see of a failure.
  std::string last_lines(unsigned count = 3) const;
};

/// Runs the command to its end. Fails if it could not be started or ran out of time, and after a request to stop, which ends it
/// as its time limit does; an exit status is the caller's to judge. Every wait is bounded if there is a time limit, and by a request to stop.
Result<Completed> run(const Command& command);

/// run(), and an error for every status but 0: "mkfs.ext4 /dev/vda2: exit status 1: …last lines…".
Result<Completed> run_checked(const Command& command);

/// A child that runs beside us. Its output goes to /dev/null, or where ours goes with inherit_output. It is stopped when this object goes.
class Child {
 public:
  /// input, time_limit and on_line of the command are not used.
  static Result<Child> start(const Command& command);

  Child(Child&& other) noexcept : pid_(std::exchange(other.pid_, -1)) {}
  Child& operator=(Child&& other) noexcept {
    std::swap(pid_, other.pid_);
    return *this;
  }
  Child(const Child&) = delete;
  ~Child() { stop(); }

  bool running();
  /// SIGTERM, two seconds later SIGKILL; returns when it is gone.
  void stop();
  /// Lets it run on after this object and this process.
  int release() { return std::exchange(pid_, -1); }

 private:
  explicit Child(int pid) : pid_(pid) {}
  int pid_ = -1;
};

/// The command line as a person would type it, quoted where the shell needs it.
std::string to_string(const std::vector<std::string>& arguments);

}  // namespace signet
