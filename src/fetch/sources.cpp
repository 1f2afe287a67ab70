// Sources made of other sources: counting, hashing.
#include <fcntl.h>
#include <unistd.h>

#include <atomic>
#include <format>
#include <thread>
#include <vector>

#include "base/fd.h"
#include "base/sha256.h"
#include "fetch/buffer.h"
#include "fetch/fetch.h"

namespace signet {
namespace {

class Counting : public ByteSource {
 public:
  Counting(std::unique_ptr<ByteSource> source, std::function<void(std::uint64_t)> on_bytes)
      : source_(std::move(source)), on_bytes_(std::move(on_bytes)) {}

  Result<std::size_t> read(std::span<std::byte> buffer) override {
    auto got = source_->read(buffer);
    if (!got) return got;
    total_ += *got;
    constexpr std::uint64_t step = 64 * 1024;
    if (*got == 0 || total_ - told_ >= step) {
      told_ = total_;
      on_bytes_(total_);
    }
    return got;
  }
  std::optional<std::uint64_t> size() const override { return source_->size(); }

 private:
  std::unique_ptr<ByteSource> source_;
  std::function<void(std::uint64_t)> on_bytes_;
  std::uint64_t total_ = 0, told_ = 0;
};

// Hands each byte on at once and to a second thread that hashes it; at the end it waits for that thread's verdict.
class Verifying : public ByteSource {
 public:
  Verifying(std::unique_ptr<ByteSource> source, std::string expected, std::string name)
      : source_(std::move(source)), expected_(std::move(expected)), name_(std::move(name)), queue_(queue_size), hasher_([this] { hash(); }) {}

  ~Verifying() override {
    queue_.close();
    if (hasher_.joinable()) hasher_.join();
  }

  Result<std::size_t> read(std::span<std::byte> buffer) override {
    auto got = source_->read(buffer);
    if (!got || *got > 0) {
      if (got) queue_.put(buffer.first(*got));
      return got;
    }
    if (hasher_.joinable()) {
      queue_.close();
      hasher_.join();
    }
    if (digest_ == expected_) return 0;
    return std::unexpected(
        Error(ErrorKind::verification, std::format("{}: its SHA-256 is {}, but the profile says {}", name_, digest_, expected_))
            .advise("the file on the server is not the one that the profile means: put the right one there, or correct image.sha256; what was "
                    "unpacked from it is not bootable and will be overwritten by the next install"));
  }
  std::optional<std::uint64_t> size() const override { return source_->size(); }

 private:
  static constexpr std::size_t queue_size = 4 << 20;

  void hash() {
    Sha256 sha256;
    std::vector<std::byte> buffer(256 * 1024);
    for (;;) {
      const auto got = queue_.take(buffer);
      if (!got || *got == 0) break;
      sha256.update(std::span(buffer).first(*got));
    }
    digest_ = sha256.finish();
  }

  std::unique_ptr<ByteSource> source_;
  std::string expected_, name_;
  ByteQueue queue_;
  std::string digest_;
  std::thread hasher_;
};

}  // namespace

std::unique_ptr<ByteSource> verify_sha256(std::unique_ptr<ByteSource> source, std::string expected, std::string name) {
  return std::make_unique<Verifying>(std::move(source), std::move(expected), std::move(name));
}

std::unique_ptr<ByteSource> count_bytes(std::unique_ptr<ByteSource> source, std::function<void(std::uint64_t)> on_bytes) {
  return std::make_unique<Counting>(std::move(source), std::move(on_bytes));
}

Result<std::string> sha256_file(const std::string& path) {
  const Fd fd = TRY(open_file(path, O_RDONLY));
  Sha256 sha256;
  std::vector<std::byte> buffer(256 * 1024);
  for (std::uint64_t at = 0;;) {
    const auto got = TRY_WITHIN(read_full_at(fd.get(), buffer, at), path);
    if (got == 0) return sha256.finish();
    sha256.update(std::span(buffer).first(got));
    at += got;
  }
}

std::string sha256_text(std::string_view text) {
  Sha256 sha256;
  sha256.update(std::as_bytes(std::span(text)));
  return sha256.finish();
}

}  // namespace signet
