// A decoder at work: this program once more, with an image's stored bytes on its standard input and its records in a ring.
#pragma once

#include <atomic>
#include <memory>
#include <optional>
#include <span>
#include <thread>

#include "base/fd.h"
#include "base/result.h"
#include "fetch/fetch.h"
#include "image/ring.h"

namespace signet {

class DecoderProcess {
 public:
  /// Starts it, and a thread that feeds it from `source`, which is read to its end.
  static Result<std::unique_ptr<DecoderProcess>> start(ByteSource& source);
  DecoderProcess(const DecoderProcess&) = delete;
  /// Kills it and reads no more.
  ~DecoderProcess();

  /// The next bytes of its records; 0 once it has closed them. It may be silent for 300 s while it has something to work on, then that is an
  /// error.
  Result<std::size_t> read(std::span<std::byte> buffer);

  /// For a writer that gives up: stops the decoder, but reads the source to its end, which may know a better reason (the checksum, the network). Also
  /// after a success, for the same reason.
  std::optional<Error> source_error();
  /// Why records broke off before their end: out of memory, a system call that is not allowed, a crash.
  Error death();

 private:
  DecoderProcess(int pid, Fd input, Fd bell, Ring ring, ByteSource& source, std::uint64_t memory);
  void feed(ByteSource& source);
  /// Waits for its end, which is near; the status of waitpid(2).
  int wait();

  int pid_;
  std::optional<int> status_;
  std::uint64_t memory_;  // what it may use, in bytes
  Fd input_;              // its standard input
  Fd bell_;               // its standard output: a byte when records come that read() waits for; closed at its end
  Ring ring_;             // its records
  std::atomic<bool> abandoned_ = false, fed_ = false, waits_for_source_ = false;
  std::optional<Error> source_error_;  // of the thread, until it has ended
  std::thread feeder_;                 // last, so it begins when all else is there
};

}  // namespace signet
