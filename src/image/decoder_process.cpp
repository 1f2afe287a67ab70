#include "image/decoder_process.h"

#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <spawn.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <bit>
#include <chrono>
#include <cstring>
#include <format>
#include <vector>

#include "base/stop.h"
#include "base/text.h"
#include "image/decoder.h"

namespace signet {
namespace {

using Clock = std::chrono::steady_clock;

constexpr std::uint64_t mebi = 1 << 20;
// A zstd window of 128 MiB and what is around it; decoders take no larger one unasked.
constexpr std::uint64_t most_memory = 192 * mebi, least_memory = 24 * mebi;
constexpr std::size_t feed_bytes = 256 * 1024;
constexpr std::uint64_t most_unwanted = 64 * mebi;  // of a source that does not know its size, behind what the decoder took
constexpr auto patience = std::chrono::seconds(300);
constexpr int pipe_bytes = 1 << 20;  // what /proc/sys/fs/pipe-max-size allows everyone
// Records that wait while the writer waits for a file system.
constexpr std::uint64_t most_records = 8 * mebi, least_records = mebi / 2;

// What this machine can give, in bytes (MemAvailable, proc_meminfo(5)).
std::uint64_t available_memory() {
  const auto text = read_file("/proc/meminfo").value_or("");
  for (const auto line : split(text, '\n')) {
    if (!line.starts_with("MemAvailable:")) continue;
    auto number = trim(line.substr(line.find(':') + 1));
    number = number.substr(0, number.find(' '));
    if (const auto kibibytes = parse_unsigned(number)) return *kibibytes * 1024;
  }
  return 2 * most_memory;
}

struct Pipe {
  Fd read, write;
};
Result<Pipe> make_pipe() {
  int ends[2];
  if (::pipe2(ends, O_CLOEXEC) != 0) return fail_errno("pipe");
  return Pipe{Fd(ends[0]), Fd(ends[1])};
}

// This program as a decoder, in a process group of its own: what a terminal sends is for us to judge. posix_spawn(3) copies nothing of a process that
// has threads.
Result<int> spawn(int input, int bell, int ring, std::uint64_t memory) {
  posix_spawn_file_actions_t files;
  posix_spawnattr_t attributes;
  ::posix_spawn_file_actions_init(&files);
  ::posix_spawnattr_init(&attributes);
  ::posix_spawn_file_actions_adddup2(&files, input, STDIN_FILENO);
  ::posix_spawn_file_actions_adddup2(&files, bell, STDOUT_FILENO);
  ::posix_spawn_file_actions_addopen(&files, STDERR_FILENO, "/dev/null", O_WRONLY, 0);
  ::posix_spawn_file_actions_adddup2(&files, ring, decoder_ring);
  sigset_t none;
  sigemptyset(&none);
  ::posix_spawnattr_setsigmask(&attributes, &none);
  ::posix_spawnattr_setpgroup(&attributes, 0);
  ::posix_spawnattr_setflags(&attributes, POSIX_SPAWN_SETSIGMASK | POSIX_SPAWN_SETPGROUP);
  std::string name("signet-decoder"), verb(decoder_verb), bytes = std::to_string(memory);
  std::array<char*, 4> arguments = {name.data(), verb.data(), bytes.data(), nullptr};
  char* environment[] = {nullptr};
  pid_t pid = -1;
  const int error = ::posix_spawn(&pid, "/proc/self/exe", &files, &attributes, arguments.data(), environment);
  ::posix_spawn_file_actions_destroy(&files);
  ::posix_spawnattr_destroy(&attributes);
  if (error != 0) return std::unexpected(Error::from_errno("start the decoder (/proc/self/exe)", error));
  return pid;
}

// write(2) to a decoder that may be gone: no signal, false.
bool write_quietly(int fd, std::span<const std::byte> bytes) { return write_all(fd, bytes).has_value(); }

}  // namespace

Result<std::unique_ptr<DecoderProcess>> DecoderProcess::start(ByteSource& source) {
  auto input = TRY(make_pipe()), bell = TRY(make_pipe());
  ::fcntl(input.write.get(), F_SETPIPE_SZ, pipe_bytes);  // 64 KiB work as well
  // A decoder that wants more gets an error in time, before the kernel looks for a victim.
  const auto available = available_memory(), memory = std::clamp(available / 4 * 3, least_memory, most_memory);
  auto ring = TRY(Ring::make(std::bit_floor(std::clamp(available / 16, least_records, most_records))));
  const int pid = TRY(spawn(input.read.get(), bell.write.get(), ring.fd(), memory));
  return std::unique_ptr<DecoderProcess>(new DecoderProcess(pid, std::move(input.write), std::move(bell.read), std::move(ring), source, memory));
}

DecoderProcess::DecoderProcess(int pid, Fd input, Fd bell, Ring ring, ByteSource& source, std::uint64_t memory)
    : pid_(pid), memory_(memory), input_(std::move(input)), bell_(std::move(bell)), ring_(std::move(ring)), feeder_([this, &source] {
        feed(source);
      }) {}

DecoderProcess::~DecoderProcess() {
  abandoned_ = true;
  if (!status_) ::kill(pid_, SIGKILL);
  bell_.reset();
  wait();
  if (feeder_.joinable()) feeder_.join();
}

void DecoderProcess::feed(ByteSource& source) {
  sigset_t broken_pipe;
  sigemptyset(&broken_pipe);
  sigaddset(&broken_pipe, SIGPIPE);
  ::pthread_sigmask(SIG_BLOCK, &broken_pipe, nullptr);
  std::vector<std::byte> buffer(feed_bytes);
  bool wanted = true;
  std::uint64_t unwanted = 0;
  while (!abandoned_) {
    waits_for_source_ = true;
    const auto got = source.read(buffer);
    waits_for_source_ = false;
    if (!got) source_error_ = got.error();
    if (!got || *got == 0) break;
    // A decoder that fails on garbage may have been fed a wrong file: the checksum knows, and the source must be read to its end to tell.
    wanted = wanted && write_quietly(input_.get(), std::span(buffer).first(*got));
    // What has no known size may have no end.
    if (!wanted && !source.size()) unwanted += *got;
    if (unwanted > most_unwanted) break;
  }
  input_.reset();
  fed_ = true;
}

Result<std::size_t> DecoderProcess::read(std::span<std::byte> buffer) {
  for (auto heard = Clock::now();;) {
    TRY(check_stop());
    if (const auto got = TRY(ring_.take(buffer))) return got;
    ring_.ask();
    if (const auto got = TRY(ring_.take(buffer))) return got;
    // While the source is waited for, it bounds the wait.
    if (waits_for_source_) heard = Clock::now();
    if (Clock::now() - heard > patience) return fail(ErrorKind::invalid, "the decoder has said nothing for {} s", patience.count());
    pollfd watched{bell_.get(), POLLIN, 0};
    if (::poll(&watched, 1, 1000) <= 0) continue;
    std::array<std::byte, 64> rings;
    const ssize_t got = ::read(bell_.get(), rings.data(), rings.size());
    if (got == 0) return ring_.take(buffer);
    if (got < 0 && errno != EINTR) return fail_errno("listen to the decoder");
  }
}

std::optional<Error> DecoderProcess::source_error() {
  bell_.reset();
  // Whatever it does, it is not needed any more; the feeder may wait for it to read.
  if (!status_) ::kill(pid_, SIGKILL);
  if (feeder_.joinable()) feeder_.join();
  return source_error_;
}

int DecoderProcess::wait() {
  int status = 0;
  if (!status_) {
    while (::waitpid(pid_, &status, 0) < 0 && errno == EINTR) {
    }
    status_ = status;
  }
  return *status_;
}

Error DecoderProcess::death() {
  if (!status_) ::kill(pid_, SIGKILL);  // one that has ended keeps its status
  const int status = wait();
  if (WIFEXITED(status) && (WEXITSTATUS(status) == out_of_memory_status || WEXITSTATUS(status) == 1))
    return Error(ErrorKind::invalid, std::format("the image needs more than {} MiB of memory to be decoded", memory_ / mebi))
        .advise("make it with a smaller window (zstd -19, xz -6) and from a real tree, or give this machine more memory");
  if (WIFEXITED(status) && WEXITSTATUS(status) == no_ring_status)
    return Error(ErrorKind::io, std::format("the decoder cannot map its {} KiB of shared memory", ring_.size() >> 10))
        .advise("give this machine more memory");
  if (WIFSIGNALED(status) && WTERMSIG(status) == SIGSYS)
    return Error(ErrorKind::invalid, "the decoder was stopped: the image made it ask the kernel for what it has no right to")
        .advise("do not use this image; whoever made it attacks");
  const auto how = WIFSIGNALED(status) ? std::format("signal {} ({})", WTERMSIG(status), ::strsignal(WTERMSIG(status)))
                                       : std::format("exit status {}", WEXITSTATUS(status));
  return Error(ErrorKind::invalid, "the image makes its decoder crash: " + how).advise("make it again from a real tree with tar");
}

}  // namespace signet
