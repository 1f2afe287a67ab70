// Any bytes are a tree or an error, and nothing beside the target changes: filters, tar reader, records and writer, in one process without a sandbox.
#include <fcntl.h>
#include <stdlib.h>
#include <sys/stat.h>

#include <algorithm>
#include <cstring>
#include <filesystem>
#include <string>
#include <utility>

#include "base/fd.h"
#include "hold.h"
#include "image/decoder.h"
#include "image/tree_writer.h"

using namespace signet;

namespace {

constexpr std::size_t most_records = 8 << 20;

// A directory to write into, and a file beside it.
struct Target {
  std::string outer, root;
  Target() {
    char name[] = "/dev/shm/signet-fuzz-XXXXXX";
    hold(::mkdtemp(name) != nullptr);
    outer = name;
    root = outer + "/root";
    hold(write_file(outer + "/victim", "untouched").has_value());
  }
  ~Target() { std::filesystem::remove_all(outer); }
  void check() const {
    struct stat status{};
    hold(::lstat((outer + "/victim").c_str(), &status) == 0 && (status.st_mode & 07777) == 0644 && status.st_nlink == 1);
    hold(read_file(outer + "/victim") == "untouched");
    hold(std::distance(std::filesystem::directory_iterator(outer), {}) == 2);
  }
};

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  static const Target target;
  std::error_code ignored;
  std::filesystem::remove_all(target.root, ignored);
  hold(::mkdir(target.root.c_str(), 0755) == 0);

  std::string stream;
  RecordWriter records([&](std::span<const std::byte> bytes) {
    stream.append(reinterpret_cast<const char*>(bytes.data()), bytes.size());
    return stream.size() < most_records;
  });
  records.hello(true);
  bool fed = false;
  decode([&] { return std::exchange(fed, true) ? std::span<const std::byte>() : std::as_bytes(std::span(data, size)); }, records);

  std::size_t at = 0;
  RecordReader reader([&](std::span<std::byte> buffer) -> Result<std::size_t> {
    const auto count = std::min(buffer.size(), stream.size() - at);
    if (count > 0) std::memcpy(buffer.data(), stream.data() + at, count);
    at += count;
    return count;
  });
  const TreeOptions options{.keep_owner = false};
  auto root = open_file(target.root, O_RDONLY | O_DIRECTORY);
  hold(root.has_value());
  TreeWriter writer(std::move(*root), options);
  auto written = write_members(reader, writer);
  if (written) written = writer.finish();
  // What our own decoder sends, our own reader takes, or it broke off.
  hold(written || !written.error().message().contains("records are not valid"));
  target.check();
  return 0;
}
