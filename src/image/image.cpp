#include "image/image.h"

#include <archive.h>
#include <archive_entry.h>
#include <fcntl.h>
#include <locale.h>
#include <sys/stat.h>

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
  /// Reads what is left; the error that comes up on the way.
  std::optional<Error> drain() {
    const void* data = nullptr;
    while (!error_ && next(&data) > 0) {
    }
    return error_;
  }
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
    *data = buffer_.data();
    return static_cast<la_ssize_t>(*got);
  }

  Source& source_;
  std::vector<std::byte> buffer_;
  std::string beginning_;
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
  Decoder(ByteSource& source, std::size_t buffer) : adapter_{source}, queue_(buffer), thread_([this] { queue_.close(decode()); }) {}
  ~Decoder() {
    queue_.abandon();
    thread_.join();
  }
  ByteQueue& output() { return queue_; }

 private:
  std::optional<Error> decode() {
    Input input(adapter_);
    auto error = decode(input);
    // A decoder that fails on garbage may have been fed a wrong file: the checksum knows, and the source must be read to its end to tell.
    if (auto from_source = input.drain()) return from_source;
    return error;
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
    return Error(ErrorKind::invalid, std::format("the image cannot be decompressed: {}", message_of(reader)))
        .advise("the file on the server is damaged or cut short; make it again");
  }

  SourceAdapter adapter_;
  ByteQueue queue_;
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
Result<TreeStatistics> unpack(ByteQueue& queue, Fd root, const TreeOptions& options) {
  Input input(queue);
  const Reader reader(archive_read_new());
  archive_read_support_format_tar(reader.get());
  archive_read_support_format_empty(reader.get());
  TreeWriter writer(std::move(root), options);

  // An error of what feeds us is the cause; what the tar reader says of it is not. Reading on finds an error that is still to come (the checksum).
  const auto judge = [&](Error own) -> std::unexpected<Error> {
    if (auto cause = input.drain()) return std::unexpected(std::move(*cause));
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
  if (auto late = input.drain()) return std::unexpected(std::move(*late));
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
    return unpack(decoder.output(), std::move(fd), options);
  }();
  ::umask(mask);
  return result;
}

}  // namespace signet
