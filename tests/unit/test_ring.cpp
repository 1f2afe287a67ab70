// The ring of shared memory between decoder and writer.
#include <doctest/doctest.h>
#include <fcntl.h>
#include <sys/mman.h>
#include <unistd.h>

#include <algorithm>
#include <atomic>
#include <cstring>
#include <random>
#include <thread>
#include <vector>

#include "image/ring.h"

using namespace signet;

namespace {

constexpr std::size_t smallest = 4096;

struct Bell {
  Bell() { REQUIRE(::pipe2(ends, O_CLOEXEC | O_NONBLOCK) == 0); }
  ~Bell() {
    ::close(ends[0]);
    if (ends[1] >= 0) ::close(ends[1]);
  }
  bool rung() const {
    char byte;
    return ::read(ends[0], &byte, 1) == 1;
  }
  int ends[2];
};

std::vector<std::byte> noise(std::size_t size, unsigned seed) {
  std::mt19937 numbers(seed);
  std::vector<std::byte> bytes(size);
  for (auto& each : bytes) each = static_cast<std::byte>(numbers());
  return bytes;
}

}  // namespace

TEST_CASE("bytes come out of a ring in order, whatever the sizes they are put and taken in") {
  for (const std::size_t size : {smallest, 16 * smallest}) {
    CAPTURE(size);
    auto reader = Ring::make(size);
    REQUIRE(reader);
    auto writer = Ring::open(reader->fd());
    REQUIRE(writer);
    const auto sent = noise(2'000'000, 1);
    const Bell bell;
    std::atomic<bool> put_all = false;
    std::thread putter([&] {
      std::mt19937 numbers(2);
      bool ok = true;
      for (std::size_t at = 0; at < sent.size() && ok;) {
        const auto count = std::min<std::size_t>(sent.size() - at, numbers() % (3 * smallest) + 1);
        ok = writer->put(std::span(sent).subspan(at, count), bell.ends[1]);
        at += count;
      }
      put_all = ok;
    });
    std::vector<std::byte> got, buffer(5 * smallest);
    std::mt19937 numbers(3);
    while (got.size() < sent.size()) {
      const auto want = std::span(buffer).first(numbers() % buffer.size() + 1);
      auto count = reader->take(want);
      if (count && *count == 0) {
        reader->ask();
        count = reader->take(want);
        // Without a byte that came in between, the bell rings: a wait for it ends.
        while (count && *count == 0 && !bell.rung()) std::this_thread::yield();
      }
      REQUIRE(count);
      got.insert(got.end(), want.begin(), want.begin() + static_cast<std::ptrdiff_t>(*count));
    }
    putter.join();
    CHECK(put_all);
    CHECK(got == sent);
    CHECK(reader->take(buffer) == 0U);
  }
}

TEST_CASE("a ring's bell rings once for each time that it is asked for") {
  auto reader = Ring::make(smallest);
  REQUIRE(reader);
  auto writer = Ring::open(reader->fd());
  REQUIRE(writer);
  const Bell bell;
  const auto some = noise(10, 1);
  CHECK(writer->put(some, bell.ends[1]));
  CHECK_FALSE(bell.rung());
  reader->ask();
  CHECK(writer->put(some, bell.ends[1]));
  CHECK(writer->put(some, bell.ends[1]));
  CHECK(bell.rung());
  CHECK_FALSE(bell.rung());
}

TEST_CASE("who puts into a ring that nobody hears any more is told") {
  auto reader = Ring::make(smallest);
  REQUIRE(reader);
  auto writer = Ring::open(reader->fd());
  REQUIRE(writer);
  reader->ask();
  CHECK_FALSE(writer->put(noise(1, 1), -1));
  // Nor does a full ring keep it waiting for ever.
  CHECK_FALSE(writer->put(noise(2 * smallest, 1), -1));
}

TEST_CASE("a writer's lie about what it has put is an error, and no byte outside of the ring is read") {
  for (const std::uint64_t lie : {std::uint64_t{smallest + 1}, std::uint64_t{1} << 40, ~std::uint64_t{0}}) {
    CAPTURE(lie);
    auto reader = Ring::make(smallest);
    REQUIRE(reader);
    void* memory = ::mmap(nullptr, sizeof lie, PROT_READ | PROT_WRITE, MAP_SHARED, reader->fd(), 0);
    REQUIRE(memory != MAP_FAILED);
    std::memcpy(memory, &lie, sizeof lie);
    std::vector<std::byte> buffer(4 * smallest);
    const auto got = reader->take(buffer);
    REQUIRE_FALSE(got);
    CHECK(got.error().kind() == ErrorKind::invalid);
    CHECK(got.error().message().contains("has room for 4096"));
    ::munmap(memory, sizeof lie);
  }
}

TEST_CASE("a ring's memory cannot be cut off or grown by whoever has it, and nothing else is taken for one") {
  auto reader = Ring::make(smallest);
  REQUIRE(reader);
  CHECK(::ftruncate(reader->fd(), 0) != 0);
  CHECK(::ftruncate(reader->fd(), 1 << 20) != 0);
  CHECK_FALSE(Ring::open(-1));
  const int other = ::memfd_create("other", MFD_CLOEXEC);
  REQUIRE(other >= 0);
  for (const off_t size : {0, 4096, 4096 + 4095, 3 * 4096 + 1}) {
    REQUIRE(::ftruncate(other, size) == 0);
    CHECK_FALSE(Ring::open(other));
  }
  ::close(other);
}
