#include "image/decoder.h"

#include <archive.h>
#include <archive_entry.h>
#include <locale.h>
#include <signal.h>
#include <unistd.h>

#include <algorithm>
#include <memory>
#include <new>
#include <optional>
#include <string>
#include <vector>

#include "base/fd.h"
#include "base/text.h"
#include "image/acl.h"
#include "image/confine.h"
#include "image/ring.h"

namespace signet {
namespace {

// What a tar archive ends with: two blocks of zeros (POSIX pax), of which readers have always taken one for enough.
constexpr std::size_t mark = 512;
constexpr std::uint64_t most_behind = 64 << 20;  // bytes without compression
constexpr std::size_t input_bytes = 256 * 1024;
constexpr const char* damaged = "the file on the server is damaged; make it again";
constexpr const char* hostile = "an image like this is not installed; make it again from a real tree with tar";

struct FreeArchive {
  void operator()(archive* reader) const { archive_read_free(reader); }
};
using Reader = std::unique_ptr<archive, FreeArchive>;

std::string message_of(archive* reader) {
  const char* text = archive_error_string(reader);
  return text ? printable(text) : "damaged";
}

// A name of any length on a console: its beginning.
std::string shown(std::string_view name) { return name.size() <= 200 ? printable(name) : printable(name.substr(0, 200)) + "…"; }

// What stands there instead of a tar archive, where it is plain to see.
std::string guess(std::string_view beginning) {
  const auto text = to_lower(trim(beginning));
  if (beginning.empty()) return ": it is empty";
  if (text.starts_with("<!doctype") || text.starts_with("<html")) return ": it is a web page";
  if (beginning.starts_with("hsqs")) return ": it is a squashfs file system";
  if (beginning.starts_with("QFI\xfb")) return ": it is a qcow2 disk";
  return {};
}

// The stored bytes without their compression.
class Filters {
 public:
  explicit Filters(const Feed& feed) : feed_(feed), reader_(archive_read_new()) {}

  Result<> open() {
    archive_read_support_filter_zstd(reader_.get());
    archive_read_support_filter_gzip(reader_.get());
    archive_read_support_filter_xz(reader_.get());
    archive_read_support_format_raw(reader_.get());
    archive_read_support_format_empty(reader_.get());
    const auto read = [](archive*, void* self, const void** data) -> la_ssize_t {
      const auto got = static_cast<Filters*>(self)->feed_();
      *data = got.data();
      return static_cast<la_ssize_t>(got.size());
    };
    archive_entry* entry = nullptr;
    if (archive_read_open(reader_.get(), this, nullptr, read, nullptr) != ARCHIVE_OK) return failure();
    const int opened = archive_read_next_header(reader_.get(), &entry);
    ended_ = opened == ARCHIVE_EOF;  // not a byte
    if (opened < ARCHIVE_WARN) return failure();
    return {};
  }

  /// The next bytes; empty at the end.
  Result<std::span<const std::byte>> next() {
    const void* data = nullptr;
    std::size_t size = 0;
    la_int64_t offset = 0;
    while (!ended_ && size == 0) {
      const int code = archive_read_data_block(reader_.get(), &data, &size, &offset);
      if (code == ARCHIVE_EOF) {
        ended_ = true;
        size = 0;
      } else if (code < ARCHIVE_WARN) {
        ended_ = true;
        return failure();
      }
    }
    return std::span(static_cast<const std::byte*>(data), size);
  }

 private:
  std::unexpected<Error> failure() {
    const auto message = message_of(reader_.get());
    Error error(ErrorKind::invalid, "the image cannot be decompressed: " + message);
    // The format allows windows of terabytes; 128 MiB is what decoders take unasked (RFC 8878 §3.1.1.1.2, zstd(1) --long).
    if (message.contains("too much memory"))
      return std::unexpected(std::move(error).advise("its window is larger than 128 MiB: make it with at most zstd --long=27"));
    if (message.contains("not enough memory") || message.contains("out of memory") || message.contains("Cannot allocate"))
      return std::unexpected(std::move(error).advise("this machine has too little memory for it: make it with a smaller window (zstd -19, xz -6)"));
    return std::unexpected(std::move(error).advise("the file on the server is damaged or cut short; make it again"));
  }

  const Feed& feed_;
  Reader reader_;
  bool ended_ = false;
};

// What the tar reader reads from: the filters' bytes, watched.
class Tar {
 public:
  Tar(const Feed& feed, RecordWriter& records) : filters_(feed), records_(records), reader_(archive_read_new()) {}

  /// Every member, as records. False once nobody takes them.
  Result<bool> run();

 private:
  la_ssize_t next(const void** data);
  int next_header(archive_entry** entry);
  Result<bool> send(archive_entry* entry);
  Result<bool> send_data(std::uint64_t member_size);
  std::unexpected<Error> failure(Error own) {
    if (cause_) return std::unexpected(std::move(*cause_));
    return std::unexpected(std::move(own));
  }

  Filters filters_;
  RecordWriter& records_;
  Reader reader_;
  std::string beginning_;       // the first bytes, for a guess at what the thing is
  std::string last_;            // the last member, for messages
  std::optional<Error> cause_;  // why reading stopped, if it was not the tar reader's own decision
  std::size_t zeros_ = 0;       // at the end of what has been handed out; counted up to a mark's
  std::size_t in_headers_ = 0;  // bytes that one member's headers took so far
  bool reading_headers_ = false, ended_ = false;
  std::uint64_t members_ = 0;
};

la_ssize_t Tar::next(const void** data) {
  if (reading_headers_ && in_headers_ > limit::header_bytes) {
    cause_ = Error(ErrorKind::invalid, std::format("the headers of the member after {} take more than {} KiB",
                                                   last_.empty() ? "the beginning" : last_, limit::header_bytes >> 10))
                 .advise(hostile);
    return -1;
  }
  auto got = filters_.next();
  if (!got) {
    cause_ = std::move(got).error();
    return -1;
  }
  if (reading_headers_) in_headers_ += got->size();
  if (beginning_.empty()) beginning_.assign(reinterpret_cast<const char*>(got->data()), std::min<std::size_t>(got->size(), 64));
  ended_ = got->empty();
  const auto tail = got->last(std::min(got->size(), mark));
  const auto data_end = std::ranges::find_if(tail.rbegin(), tail.rend(), [](std::byte each) { return each != std::byte{0}; });
  const auto run = static_cast<std::size_t>(data_end - tail.rbegin());
  zeros_ = run < got->size() ? run : std::min(mark, zeros_ + run);
  *data = got->data();
  return static_cast<la_ssize_t>(got->size());
}

// libarchive keeps all headers of a member and its whole sparse map in memory, so how many bytes it gets for one is bounded here.
int Tar::next_header(archive_entry** entry) {
  reading_headers_ = true;
  in_headers_ = 0;
  const int code = archive_read_next_header(reader_.get(), entry);
  reading_headers_ = false;
  return code;
}

Result<std::optional<MemberType>> type_of(archive_entry* entry) {
  if (archive_entry_hardlink(entry)) return MemberType::hard_link;
  switch (archive_entry_filetype(entry)) {
    case AE_IFREG: return MemberType::file;
    case AE_IFDIR: return MemberType::directory;
    case AE_IFLNK: return MemberType::symbolic_link;
    case AE_IFCHR: return MemberType::character_device;
    case AE_IFBLK: return MemberType::block_device;
    case AE_IFIFO: return MemberType::fifo;
    case AE_IFSOCK: return MemberType::socket;
    default: return fail(ErrorKind::invalid, "its type is unknown");
  }
}

Result<> take_attributes(Member& member, archive_entry* entry) {
  archive_entry_xattr_reset(entry);
  const char* name = nullptr;
  const void* value = nullptr;
  std::size_t size = 0, total = 0;
  while (archive_entry_xattr_next(entry, &name, &value, &size) == ARCHIVE_OK) {
    const std::string_view text(name ? name : "");
    const auto* bytes = static_cast<const std::byte*>(value);
    if (text.empty() || text.size() > limit::attribute_name)
      return fail(ErrorKind::invalid, "the name of an extended attribute has {} bytes; 1 to {} are possible", text.size(), limit::attribute_name);
    if (size > limit::attribute_value)
      return fail(ErrorKind::invalid, "its extended attribute {} has {} bytes; {} is the limit", printable(text), size, limit::attribute_value);
    if (member.attributes.size() == limit::attributes) return fail(ErrorKind::invalid, "it has more than {} extended attributes", limit::attributes);
    total += text.size() + size;
    if (total > limit::attribute_bytes)
      return fail(ErrorKind::invalid, "its extended attributes have more than {} KiB together", limit::attribute_bytes >> 10);
    member.attributes.push_back({std::string(text), {bytes, bytes + size}});
  }
  for (const auto kind : {AclKind::access, AclKind::default_entries}) {
    auto acl = TRY(encode_acl(entry, kind));
    if (acl.empty()) continue;
    if (acl.size() > limit::attribute_value || member.attributes.size() == limit::attributes) return fail(ErrorKind::invalid, "its ACL is too long");
    member.attributes.push_back({acl_attribute(kind), std::move(acl)});
  }
  return {};
}

Result<Member> member_of(archive_entry* entry) {
  Member member;
  const auto type = TRY(type_of(entry));
  member.type = *type;
  member.mode = archive_entry_mode(entry) & 07777;
  const auto uid = archive_entry_uid(entry), gid = archive_entry_gid(entry);
  // 2^32 - 1 tells chown(2) to change nothing.
  for (const auto id : {uid, gid})
    if (id < 0 || id >= UINT32_MAX) return fail(ErrorKind::invalid, "its owner {}:{} is out of range", uid, gid);
  member.uid = static_cast<unsigned>(uid);
  member.gid = static_cast<unsigned>(gid);
  member.seconds = archive_entry_mtime(entry);
  member.nanoseconds = std::clamp(archive_entry_mtime_nsec(entry), 0L, 999'999'999L);
  const auto size = archive_entry_size(entry);
  if (member.type == MemberType::file && size < 0) return fail(ErrorKind::invalid, "its size is negative");
  if (member.type == MemberType::file) member.size = static_cast<std::uint64_t>(size);
  if (member.type == MemberType::character_device || member.type == MemberType::block_device) {
    member.major = static_cast<unsigned>(archive_entry_rdevmajor(entry));
    member.minor = static_cast<unsigned>(archive_entry_rdevminor(entry));
  }
  const char* target = member.type == MemberType::hard_link       ? archive_entry_hardlink(entry)
                       : member.type == MemberType::symbolic_link ? archive_entry_symlink(entry)
                                                                  : "";
  const bool link = member.type == MemberType::hard_link || member.type == MemberType::symbolic_link;
  if (!target || (link && !*target)) return fail(ErrorKind::invalid, "a link without a target");
  member.target = target;
  if (member.target.size() > limit::target)
    return fail(ErrorKind::invalid, "it is a link to a path of {} bytes; {} is the limit", member.target.size(), limit::target);
  TRY(take_attributes(member, entry));
  return member;
}

Result<bool> Tar::send_data(std::uint64_t member_size) {
  for (std::uint64_t end = 0;;) {
    const void* data = nullptr;
    std::size_t length = 0;
    la_int64_t offset = 0;
    const int code = archive_read_data_block(reader_.get(), &data, &length, &offset);
    if (code == ARCHIVE_EOF) return true;
    if (code < ARCHIVE_WARN) return fail(ErrorKind::invalid, "{}", message_of(reader_.get()));
    const auto at = static_cast<std::uint64_t>(offset);
    if (length == 0) continue;
    if (at < end || at > member_size || length > member_size - at)
      return fail(ErrorKind::invalid, "its sparse map leads out of its {} bytes", member_size);
    end = at + length;
    if (!records_.data(at, std::span(static_cast<const std::byte*>(data), length))) return false;
  }
}

Result<bool> Tar::send(archive_entry* entry) {
  const char* name = archive_entry_pathname(entry);
  if (!name) name = archive_entry_pathname_utf8(entry);
  const std::string_view path(name ? name : "");
  if (path.empty()) return fail(ErrorKind::invalid, "a member of the image has no name");
  const auto context = "member " + shown(path);
  if (path.size() > limit::path) return fail(ErrorKind::invalid, "{}: its path has {} bytes; {} is the limit", context, path.size(), limit::path);
  auto member = TRY_WITHIN(member_of(entry), context);
  member.path = path;
  last_ = shown(path);
  if (++members_ > limit::members) return fail(ErrorKind::invalid, "the image has more than {} members", limit::members);
  if (!records_.member(member)) return false;
  if (member.type != MemberType::file) return true;
  return TRY_WITHIN(send_data(member.size), context);
}

Result<bool> Tar::run() {
  TRY(filters_.open());
  archive_read_support_format_tar(reader_.get());
  archive_read_support_format_empty(reader_.get());
  const auto read = [](archive*, void* self, const void** data) { return static_cast<Tar*>(self)->next(data); };
  if (archive_read_open(reader_.get(), this, nullptr, read, nullptr) != ARCHIVE_OK)
    return failure(Error(ErrorKind::invalid, std::format("the image is not a tar archive{}", guess(beginning_)))
                       .advise("check image.source; images are .tar, .tar.zst, .tar.gz or .tar.xz"));
  for (;;) {
    archive_entry* entry = nullptr;
    const int code = next_header(&entry);
    if (code == ARCHIVE_EOF) break;
    if (code < ARCHIVE_WARN) {
      const auto where = members_ == 0 ? guess(beginning_) : std::format(" after member {}", last_);
      return failure(
          Error(ErrorKind::invalid, std::format("the image is not a whole tar archive{}: {}", where, message_of(reader_.get()))).advise(damaged));
    }
    auto sent = send(entry);
    if (!sent) return failure(std::move(sent).error().advise(hostile));
    if (!*sent) return false;
  }
  if (members_ == 0) return failure(Error(ErrorKind::invalid, std::format("the image has no members{}", guess(beginning_))));
  if (ended_ && zeros_ < mark)
    return failure(Error(ErrorKind::invalid, std::format("the image is not a whole tar archive: it is cut off after member {}", last_))
                       .advise("the file on the server is damaged or cut short; make it again"));
  // What comes behind the end is nobody's, but it may tell that the image is damaged.
  for (std::uint64_t behind = 0;;) {
    const auto more = TRY(filters_.next());
    if (more.empty()) break;
    behind += more.size();
    if (behind > most_behind) return fail(ErrorKind::invalid, "the image has more than {} MiB behind the end of its archive", most_behind >> 20);
  }
  return records_.end(members_);
}

}  // namespace

bool decode(const Feed& feed, RecordWriter& records) {
  // Names in pax headers are UTF-8 and stay so; in the C locale libarchive would refuse them.
  ::setlocale(LC_CTYPE, "C.UTF-8");
  auto ran = Tar(feed, records).run();
  if (!ran) return records.error(ran.error());
  return *ran;
}

int run_decoder(int argc, char** argv) {
  const auto memory = argc == 2 ? parse_unsigned(argv[1]) : std::nullopt;
  if (!memory) return 2;
  ::signal(SIGPIPE, SIG_IGN);
  std::set_new_handler([] { ::_exit(out_of_memory_status); });
  auto ring = Ring::open(decoder_ring);
  if (!ring) return no_ring_status;
  std::vector<std::byte> input(input_bytes);
  RecordWriter records([&](std::span<const std::byte> bytes) { return ring->put(bytes, STDOUT_FILENO); });
  const auto filtered = confine(*memory + ring->size());
  if (!filtered) {
    records.error(Error(ErrorKind::unsupported, "the decoder cannot give up its rights: " + filtered.error().message()));
    return 1;
  }
  records.hello(*filtered);
  const Feed feed = [&]() -> std::span<const std::byte> {
    const ssize_t got = ::read(STDIN_FILENO, input.data(), input.size());
    return std::span(input).first(got > 0 ? static_cast<std::size_t>(got) : 0);
  };
  return decode(feed, records) ? 0 : 1;
}

}  // namespace signet
