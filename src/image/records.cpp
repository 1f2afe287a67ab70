#include "image/records.h"

#include <algorithm>
#include <cstring>
#include <limits>

#include "base/text.h"

namespace signet {
namespace {

enum FrameType : unsigned char { hello_frame = 1, member_frame, attribute_frame, data_frame, end_frame, error_frame };
constexpr std::size_t head_bytes = 8;
constexpr std::uint32_t version = 1;
constexpr std::size_t send_at = 64 << 10, receive_bytes = 2 * (limit::frame + head_bytes);
constexpr unsigned permission_bits = 07777;
constexpr long nanoseconds_in_a_second = 1'000'000'000;

class Packer {
 public:
  template <class T>
  Packer& put(T value) {
    const auto bits = static_cast<std::uint64_t>(value);
    for (std::size_t i = 0; i < sizeof value; ++i) bytes_.push_back(static_cast<std::byte>(bits >> (8 * i) & 0xff));
    return *this;
  }
  Packer& put(std::string_view text) {
    const auto bytes = std::as_bytes(std::span(text));
    bytes_.insert(bytes_.end(), bytes.begin(), bytes.end());
    return *this;
  }
  std::span<const std::byte> bytes() const { return bytes_; }

 private:
  std::vector<std::byte> bytes_;
};

// Takes numbers and texts off the front of a frame. What is not there is zero, and the frame is bad.
class Unpacker {
 public:
  explicit Unpacker(std::span<const std::byte> bytes) : bytes_(bytes) {}
  template <class T>
  T take() {
    std::uint64_t value = 0;
    const auto from = next(sizeof(T));
    for (std::size_t i = 0; i < from.size(); ++i) value |= std::uint64_t{std::to_integer<std::uint8_t>(from[i])} << (8 * i);
    return static_cast<T>(value);
  }
  std::string text(std::size_t length) {
    const auto from = next(length);
    return {reinterpret_cast<const char*>(from.data()), from.size()};
  }
  std::span<const std::byte> rest() { return std::exchange(bytes_, {}); }
  /// Everything was there, and nothing is left.
  bool complete() const { return !short_ && bytes_.empty(); }

 private:
  std::span<const std::byte> next(std::size_t length) {
    if (length > bytes_.size()) {
      short_ = true;
      bytes_ = {};
      return {};
    }
    const auto taken = bytes_.first(length);
    bytes_ = bytes_.subspan(length);
    return taken;
  }

  std::span<const std::byte> bytes_;
  bool short_ = false;
};

std::unexpected<Error> broken(std::string_view what) {
  return std::unexpected(Error(ErrorKind::invalid, std::format("the decoder's records are not valid: {}", what))
                             .advise("the image is hostile or the decoder has a fault"));
}

bool has_zero(std::string_view text) { return text.contains('\0'); }

// Why a member cannot be; empty if it can.
std::string_view fault_of(const Member& member, std::size_t attributes) {
  const bool link = member.type == MemberType::symbolic_link || member.type == MemberType::hard_link;
  const bool device = member.type == MemberType::character_device || member.type == MemberType::block_device;
  if (member.type < MemberType::file || member.type > MemberType::socket) return "a member of an unknown type";
  if (member.mode > permission_bits) return "a mode with more than permission bits";
  if (member.uid == UINT32_MAX || member.gid == UINT32_MAX) return "an owner that does not exist";
  if (member.nanoseconds < 0 || member.nanoseconds >= nanoseconds_in_a_second) return "a time with more than a second of nanoseconds";
  if (member.path.empty() || member.path.size() > limit::path || has_zero(member.path)) return "a path that cannot be";
  if (link == member.target.empty() || member.target.size() > limit::path || has_zero(member.target)) return "a link's target that cannot be";
  if (member.type == MemberType::symbolic_link && member.target.size() > limit::target) return "a symbolic link that is too long";
  if (member.size > std::numeric_limits<std::int64_t>::max() || (member.size > 0 && member.type != MemberType::file)) return "a size that cannot be";
  if (!device && (member.major != 0 || member.minor != 0)) return "device numbers without a device";
  if (attributes > limit::attributes) return "too many extended attributes";
  return {};
}

}  // namespace

RecordWriter::RecordWriter(Send send) : send_(std::move(send)) { buffer_.reserve(send_at + limit::frame + head_bytes); }

bool RecordWriter::flush() {
  const bool sent = buffer_.empty() || send_(buffer_);
  buffer_.clear();
  return sent;
}

bool RecordWriter::frame(unsigned char type, std::span<const std::byte> head, std::span<const std::byte> body) {
  Packer packer;
  packer.put(std::uint8_t{type}).put(std::uint8_t{0}).put(std::uint16_t{0}).put(static_cast<std::uint32_t>(head.size() + body.size()));
  buffer_.insert(buffer_.end(), packer.bytes().begin(), packer.bytes().end());
  buffer_.insert(buffer_.end(), head.begin(), head.end());
  // Much data is not copied once more.
  if (body.size() >= send_at / 4) return flush() && send_(body);
  buffer_.insert(buffer_.end(), body.begin(), body.end());
  return buffer_.size() < send_at || flush();
}

bool RecordWriter::hello(bool filtered) { return frame(hello_frame, Packer().put(version).put(std::uint32_t{filtered}).bytes()); }

bool RecordWriter::member(const Member& member) {
  Packer packer;
  packer.put(static_cast<std::uint8_t>(member.type)).put(static_cast<std::uint8_t>(member.attributes.size()));
  packer.put(static_cast<std::uint16_t>(member.mode)).put(std::uint32_t{member.uid}).put(std::uint32_t{member.gid});
  packer.put(std::int64_t{member.seconds}).put(static_cast<std::uint32_t>(member.nanoseconds)).put(member.size);
  packer.put(std::uint32_t{member.major}).put(std::uint32_t{member.minor});
  packer.put(static_cast<std::uint16_t>(member.path.size())).put(static_cast<std::uint16_t>(member.target.size()));
  packer.put(std::string_view(member.path)).put(std::string_view(member.target));
  bool taken = frame(member_frame, packer.bytes());
  for (const auto& attribute : member.attributes) {
    Packer head;
    head.put(static_cast<std::uint16_t>(attribute.name.size())).put(std::string_view(attribute.name));
    taken = taken && frame(attribute_frame, head.bytes(), attribute.value);
  }
  return taken;
}

bool RecordWriter::data(std::uint64_t offset, std::span<const std::byte> bytes) {
  while (!bytes.empty()) {
    const auto part = bytes.first(std::min(bytes.size(), limit::data));
    if (!frame(data_frame, Packer().put(offset).bytes(), part)) return false;
    offset += part.size();
    bytes = bytes.subspan(part.size());
  }
  return true;
}

bool RecordWriter::end(std::uint64_t members) { return frame(end_frame, Packer().put(members).bytes()) && flush(); }

bool RecordWriter::error(const Error& error) {
  const auto message = std::string_view(error.message()).substr(0, limit::text), advice = std::string_view(error.advice()).substr(0, limit::text);
  Packer packer;
  packer.put(static_cast<std::uint8_t>(error.kind())).put(static_cast<std::uint16_t>(message.size())).put(message).put(advice);
  return frame(error_frame, packer.bytes()) && flush();
}

RecordReader::RecordReader(Receive receive) : receive_(std::move(receive)), buffer_(std::make_unique_for_overwrite<std::byte[]>(receive_bytes)) {}

// Waits until so many bytes are in the buffer.
Result<> RecordReader::fill(std::size_t wanted) {
  if (begin_ > 0 && begin_ + wanted > receive_bytes) {
    std::memmove(buffer_.get(), buffer_.get() + begin_, end_ - begin_);
    end_ -= std::exchange(begin_, 0);
  }
  while (end_ - begin_ < wanted) {
    const auto got = TRY(receive_(std::span(buffer_.get() + end_, receive_bytes - end_)));
    if (got == 0) {
      broken_off_ = true;
      return fail(ErrorKind::io, "the decoder ended too early");
    }
    end_ += got;
  }
  return {};
}

Result<RecordReader::Frame> RecordReader::peek() {
  TRY(fill(head_bytes));
  Unpacker head(std::span(buffer_.get() + begin_, head_bytes));
  const auto type = head.take<std::uint8_t>();
  const auto zeros = head.take<std::uint8_t>() | head.take<std::uint16_t>();
  const auto length = head.take<std::uint32_t>();
  if (type < hello_frame || type > error_frame || zeros != 0) return broken("a frame of an unknown type");
  if (length > limit::frame) return broken("a frame that is too long");
  TRY(fill(head_bytes + length));
  return Frame{type, std::span(buffer_.get() + begin_ + head_bytes, length)};
}

void RecordReader::drop(const Frame& frame) {
  begin_ += head_bytes + frame.body.size();
  if (begin_ == end_) begin_ = end_ = 0;
}

Result<> RecordReader::read_hello() {
  const auto frame = TRY(peek());
  Unpacker hello(frame.body);
  const auto spoken = hello.take<std::uint32_t>(), flags = hello.take<std::uint32_t>();
  if (frame.type != hello_frame || !hello.complete() || spoken != version || flags > 1) return broken("no greeting at the beginning");
  filtered_ = flags != 0;
  greeted_ = true;
  drop(frame);
  return {};
}

Result<> RecordReader::read_attributes(Member& member, std::size_t count) {
  std::size_t total = 0;
  for (std::size_t i = 0; i < count; ++i) {
    const auto frame = TRY(peek());
    Unpacker unpacker(frame.body);
    const auto length = unpacker.take<std::uint16_t>();
    auto name = unpacker.text(length);
    const auto value = unpacker.rest();
    if (frame.type != attribute_frame || !unpacker.complete()) return broken("an extended attribute is missing");
    if (name.empty() || name.size() > limit::attribute_name || has_zero(name)) return broken("an extended attribute's name that cannot be");
    total += name.size() + value.size();
    if (value.size() > limit::attribute_value || total > limit::attribute_bytes) return broken("an extended attribute that is too long");
    member.attributes.push_back({std::move(name), {value.begin(), value.end()}});
    drop(frame);
  }
  return {};
}

Result<std::optional<Member>> RecordReader::next_member() {
  if (ended_) return std::nullopt;
  if (!greeted_) TRY(read_hello());
  while (TRY(next_block())) {
  }
  in_file_ = false;
  const auto frame = TRY(peek());
  Unpacker unpacker(frame.body);
  if (frame.type == error_frame) {
    const auto kind = unpacker.take<std::uint8_t>();
    const auto length = unpacker.take<std::uint16_t>();
    const auto message = unpacker.text(length);
    const auto advice = unpacker.rest();
    if (!unpacker.complete() || message.size() > limit::text || advice.size() > limit::text) return broken("an error that is too long");
    if (message.empty()) return broken("an error without a text");
    // The decoder judges what it reads and nothing else.
    if (kind != static_cast<std::uint8_t>(ErrorKind::invalid) && kind != static_cast<std::uint8_t>(ErrorKind::unsupported))
      return broken("an error of an unknown kind");
    return std::unexpected(Error(static_cast<ErrorKind>(kind), printable(message))
                               .advise(printable(std::string_view(reinterpret_cast<const char*>(advice.data()), advice.size()))));
  }
  if (frame.type == end_frame) {
    const auto members = unpacker.take<std::uint64_t>();
    if (!unpacker.complete() || members != members_) return broken("the number of members is wrong");
    ended_ = true;
    return std::nullopt;
  }
  if (frame.type != member_frame) return broken("a frame in the wrong place");

  Member member;
  member.type = static_cast<MemberType>(unpacker.take<std::uint8_t>());
  const std::size_t attributes = unpacker.take<std::uint8_t>();
  member.mode = unpacker.take<std::uint16_t>();
  member.uid = unpacker.take<std::uint32_t>();
  member.gid = unpacker.take<std::uint32_t>();
  member.seconds = static_cast<long>(unpacker.take<std::int64_t>());
  member.nanoseconds = unpacker.take<std::uint32_t>();
  member.size = unpacker.take<std::uint64_t>();
  member.major = unpacker.take<std::uint32_t>();
  member.minor = unpacker.take<std::uint32_t>();
  const auto path = unpacker.take<std::uint16_t>(), target = unpacker.take<std::uint16_t>();
  member.path = unpacker.text(path);
  member.target = unpacker.text(target);
  if (!unpacker.complete()) return broken("a member of the wrong length");
  if (const auto fault = fault_of(member, attributes); !fault.empty()) return broken(fault);
  if (++members_ > limit::members) return broken("too many members");
  drop(frame);
  TRY(read_attributes(member, attributes));
  in_file_ = member.type == MemberType::file;
  at_ = 0;
  size_ = member.size;
  return member;
}

Result<std::optional<Block>> RecordReader::next_block() {
  if (!in_file_) return std::nullopt;
  const auto frame = TRY(peek());
  if (frame.type != data_frame) return std::nullopt;
  Unpacker unpacker(frame.body);
  Block block;
  block.offset = unpacker.take<std::uint64_t>();
  block.data = unpacker.rest();
  if (!unpacker.complete() || block.data.empty() || block.data.size() > limit::data) return broken("a block of data of the wrong length");
  if (block.offset < at_ || block.offset > size_ || block.data.size() > size_ - block.offset) return broken("a block of data outside its file");
  at_ = block.offset + block.data.size();
  drop(frame);
  return block;
}

}  // namespace signet
