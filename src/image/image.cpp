#include "image/image.h"

#include <archive.h>
#include <archive_entry.h>
#include <fcntl.h>
#include <locale.h>
#include <sys/stat.h>

#include <algorithm>
#include <atomic>
#include <format>
#include <optional>
#include <thread>
#include <vector>

#include "base/fd.h"
#include "base/text.h"
#include "fetch/buffer.h"
#include "image/tree_writer.h"

namespace signet {
namespace {

constexpr std::size_t block = 256 * 1024;
// What a tar archive ends with: two blocks of zeros (POSIX pax), of which readers have always taken one for enough.
constexpr std::size_t mark = 512;

struct FreeArchive {
  void operator()(archive* reader) const { archive_read_free(reader); }
};
using Reader = std::unique_ptr<archive, FreeArchive>;

std::string message_of(archive* reader) {
  const char* text = archive_error_string(reader);
  return text ? printable(text) : "damaged";
}

// What libarchive reads from: our own source, whose error is kept apart from what libarchive makes of it.
template <class Source>
class Input {
 public:
  explicit Input(Source& source) : source_(source), buffer_(block) {}

  int open(archive* reader) {
    return archive_read_open(
        reader, this, nullptr, [](archive*, void* self, const void** data) { return static_cast<Input*>(self)->next(data); }, nullptr);
  }
  /// The source's own error, if that is why reading stopped.
  const std::optional<Error>& error() const { return error_; }
  /// Reads what is left, as long as that is `wanted`; the error that comes up on the way.
  template <class Wanted>
  std::optional<Error> drain(Wanted wanted) {
    const void* data = nullptr;
    while (!error_ && wanted() && next(&data) > 0) {
    }
    return error_;
  }
  /// Whether everything has been handed out, and less than a block of zeros at the end of it.
  bool ended_without_mark() const { return ended_ && zeros_ < mark; }
  /// The first bytes that came by, for a guess at what the thing is.
  std::string_view beginning() const { return beginning_; }

 private:
  la_ssize_t next(const void** data) {
    const auto got = source_.take(buffer_);
    if (!got) {
      error_ = got.error();
      return -1;
    }
    if (beginning_.empty()) beginning_.assign(reinterpret_cast<const char*>(buffer_.data()), std::min<std::size_t>(*got, 64));
    ended_ = *got == 0;
    const auto tail = std::span(buffer_).first(*got).last(std::min(*got, mark));
    const auto data_end = std::ranges::find_if(tail.rbegin(), tail.rend(), [](std::byte each) { return each != std::byte{0}; });
    const auto run = static_cast<std::size_t>(data_end - tail.rbegin());
    zeros_ = run < *got ? run : std::min(mark, zeros_ + run);
    *data = buffer_.data();
    return static_cast<la_ssize_t>(*got);
  }

  Source& source_;
  std::vector<std::byte> buffer_;
  std::string beginning_;
  bool ended_ = false;
  std::size_t zeros_ = 0;  // at the end of what has been handed out; counted up to a mark's
  std::optional<Error> error_;
};

// A ByteSource under the name that Input uses.
struct SourceAdapter {
  ByteSource& source;
  Result<std::size_t> take(std::span<std::byte> buffer) { return source.read(buffer); }
};

// First thread: from what is stored to a plain tar, by libarchive's filters.
class Decoder {
 public:
  Decoder(ByteSource& source, std::size_t buffer) : adapter_{source}, queue_(buffer), thread_([this] { run(); }) {}
  ~Decoder() {
    abandoned_ = true;
    stop();
  }
  ByteQueue& output() { return queue_; }

  /// For a writer that gives up: decodes no more, but reads the source to its end, which may know a better reason (the checksum, the network).
  std::optional<Error> judge() {
    stop();
    return error_;
  }

 private:
  void stop() {
    queue_.abandon();
    if (thread_.joinable()) thread_.join();
  }

  void run() {
    Input input(adapter_);
    error_ = decode(input);
    // A decoder that fails on garbage may have been fed a wrong file: the checksum knows, and the source must be read to its end to tell.
    if (auto cause = input.drain([this] { return !abandoned_; })) error_ = std::move(cause);
    queue_.close(error_);
  }

  std::optional<Error> decode(Input<SourceAdapter>& input) {
    const Reader reader(archive_read_new());
    archive_read_support_filter_zstd(reader.get());
    archive_read_support_filter_gzip(reader.get());
    archive_read_support_filter_xz(reader.get());
    archive_read_support_format_raw(reader.get());
    archive_read_support_format_empty(reader.get());
    archive_entry* entry = nullptr;
    if (input.open(reader.get()) != ARCHIVE_OK) return failure(reader.get(), input);
    const int opened = archive_read_next_header(reader.get(), &entry);
    if (opened == ARCHIVE_EOF) return std::nullopt;  // not a byte
    if (opened < ARCHIVE_WARN) return failure(reader.get(), input);
    for (;;) {
      const void* data = nullptr;
      std::size_t size = 0;
      la_int64_t offset = 0;
      const int code = archive_read_data_block(reader.get(), &data, &size, &offset);
      if (code == ARCHIVE_EOF) return std::nullopt;
      if (code < ARCHIVE_WARN) return failure(reader.get(), input);
      if (!queue_.put(std::span(static_cast<const std::byte*>(data), size))) return std::nullopt;  // the writer has given up
    }
  }

  static Error failure(archive* reader, const Input<SourceAdapter>& input) {
    if (input.error()) return *input.error();
    Error error(ErrorKind::invalid, std::format("the image cannot be decompressed: {}", message_of(reader)));
    // The format allows windows of terabytes; 128 MiB is what decoders take unasked (RFC 8878 §3.1.1.1.2, zstd(1) --long).
    if (error.message().contains("too much memory"))
      return std::move(error).advise("its window is larger than 128 MiB: make it with at most zstd --long=27");
    return std::move(error).advise("the file on the server is damaged or cut short; make it again");
  }

  SourceAdapter adapter_;
  ByteQueue queue_;
  std::atomic<bool> abandoned_ = false;
  std::optional<Error> error_;  // of the thread, until it has ended
  std::thread thread_;
};

// What stands there instead of a tar archive, where it is plain to see.
std::string guess(std::string_view beginning) {
  const auto text = to_lower(trim(beginning));
  if (beginning.empty()) return ": it is empty";
  if (text.starts_with("<!doctype") || text.starts_with("<html")) return ": it is a web page";
  if (beginning.starts_with("hsqs")) return ": it is a squashfs file system";
  if (beginning.starts_with("QFI\xfb")) return ": it is a qcow2 disk";
  return {};
}

// Second thread (the caller's): members of the tar into the tree.
Result<TreeStatistics> unpack(Decoder& decoder, Fd root, const TreeOptions& options) {
  Input input(decoder.output());
  const Reader reader(archive_read_new());
  archive_read_support_format_tar(reader.get());
  archive_read_support_format_empty(reader.get());
  TreeWriter writer(std::move(root), options);

  // An error of what feeds us is the cause; what the tar reader makes of it is not.
  const auto judge = [&](Error own) -> std::unexpected<Error> {
    if (auto cause = decoder.judge()) return std::unexpected(std::move(*cause));
    return std::unexpected(std::move(own));
  };
  if (input.open(reader.get()) != ARCHIVE_OK)
    return judge(Error(ErrorKind::invalid, std::format("the image is not a tar archive{}", guess(input.beginning())))
                     .advise("check image.source; images are .tar, .tar.zst, .tar.gz or .tar.xz"));
  std::string last;
  for (;;) {
    archive_entry* entry = nullptr;
    const int code = archive_read_next_header(reader.get(), &entry);
    if (code == ARCHIVE_EOF) break;
    if (code < ARCHIVE_WARN) {
      const auto where = writer.statistics().members == 0 ? guess(input.beginning()) : std::format(" after member {}", last);
      return judge(Error(ErrorKind::invalid, std::format("the image is not a whole tar archive{}: {}", where, message_of(reader.get())))
                       .advise("the file on the server is damaged; make it again"));
    }
    auto written = writer.write(reader.get(), entry);
    if (!written) {
      auto error = std::move(written).error();
      if (input.error()) return std::unexpected(*input.error());
      if (error.kind() == ErrorKind::no_space)
        return std::unexpected(std::move(error).advise("the target's file systems are too small for this image: give the partition more room"));
      if (error.kind() == ErrorKind::invalid)
        return judge(std::move(error).advise("an image like this is not installed; make it again from a real tree with tar"));
      return std::unexpected(std::move(error));
    }
    if (const char* path = archive_entry_pathname(entry)) last = printable(path);
  }
  if (writer.statistics().members == 0) return judge(Error(ErrorKind::invalid, std::format("the image has no members{}", guess(input.beginning()))));
  if (input.ended_without_mark())
    return judge(Error(ErrorKind::invalid, std::format("the image is not a whole tar archive: it is cut off after member {}", last))
                     .advise("the file on the server is damaged or cut short; make it again"));
  if (auto late = input.drain([] { return true; })) return std::unexpected(std::move(*late));
  TRY(writer.finish());
  return writer.statistics();
}

}  // namespace

Result<TreeStatistics> write_tree(std::unique_ptr<ByteSource> source, const std::string& root, const TreeOptions& options) {
  // Names in pax headers are UTF-8 and stay so; in the C locale libarchive would refuse them.
  static const char* const locale = ::setlocale(LC_CTYPE, "C.UTF-8");
  (void)locale;
  Fd fd = TRY(open_file(root, O_RDONLY | O_DIRECTORY));
  const mode_t mask = ::umask(0);
  Result<TreeStatistics> result = [&] {
    Decoder decoder(*source, options.buffer);
    return unpack(decoder, std::move(fd), options);
  }();
  ::umask(mask);
  return result;
}

}  // namespace signet
