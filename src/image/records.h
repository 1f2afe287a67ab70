// Records: how the decoder, a process without privileges, hands the members of an image to the writer, which has them all.
//
// A stream of frames: one byte for the type, three zero bytes, the length of what follows in bytes (4 bytes), then so many bytes. All numbers are
// little-endian. The order: hello; then for each member: member, its attributes, its data by rising offset; at the end: end or error. Whoever reads
// trusts none of it: a frame that breaks a rule of this file is an error of kind invalid, and no byte behind it is looked at.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include "base/result.h"

namespace signet {

/// What a member may have. The decoder refuses more with the member's name, the reader of the records refuses it once more.
namespace limit {
inline constexpr std::size_t path = 4096;                  // bytes; PATH_MAX
inline constexpr std::size_t target = 4095;                // bytes of a symbolic link's text; what ext4 and XFS take and more
inline constexpr std::size_t attributes = 64;              // extended attributes of one member
inline constexpr std::size_t attribute_name = 255;         // bytes; XATTR_NAME_MAX
inline constexpr std::size_t attribute_value = 64 << 10;   // bytes; XATTR_SIZE_MAX
inline constexpr std::size_t attribute_bytes = 256 << 10;  // all names and values of one member
inline constexpr std::size_t data = 256 << 10;             // bytes in one frame
inline constexpr std::size_t text = 1024;                  // bytes of an error's message, and of its advice
inline constexpr std::uint64_t members = 16'000'000;       // of one image
inline constexpr std::size_t header_bytes = 1 << 20;       // pax and GNU headers and sparse map of one member, as stored
inline constexpr std::size_t frame = data + 64;            // bytes of the largest frame, its head not counted
}  // namespace limit

enum class MemberType : std::uint8_t { file = 1, directory, symbolic_link, hard_link, character_device, block_device, fifo, socket };

struct Attribute {
  std::string name;
  std::vector<std::byte> value;
};

struct Member {
  MemberType type = MemberType::file;
  unsigned mode = 0;  // permission and set-id bits
  unsigned uid = 0, gid = 0;
  long seconds = 0, nanoseconds = 0;  // modification time
  std::uint64_t size = 0;             // of a file, holes counted
  unsigned major = 0, minor = 0;      // of a device
  std::string path;
  std::string target;  // of a link
  std::vector<Attribute> attributes;
};

/// A part of a file's content.
struct Block {
  std::uint64_t offset = 0;
  std::span<const std::byte> data;
};

/// Makes frames; they are buffered and go out through `send`, which gets all of them in order and returns false when nobody takes them any more.
class RecordWriter {
 public:
  using Send = std::function<bool(std::span<const std::byte>)>;
  explicit RecordWriter(Send send);

  // Each returns false once the reader has gone.
  bool hello(bool filtered);
  bool member(const Member& member);
  bool data(std::uint64_t offset, std::span<const std::byte> bytes);
  bool end(std::uint64_t members);
  bool error(const Error& error);

 private:
  bool frame(unsigned char type, std::span<const std::byte> head, std::span<const std::byte> body = {});
  bool flush();

  Send send_;
  std::vector<std::byte> buffer_;
};

/// Reads frames and checks every rule of them.
class RecordReader {
 public:
  /// At least one byte, or 0 at the end.
  using Receive = std::function<Result<std::size_t>(std::span<std::byte>)>;
  explicit RecordReader(Receive receive);

  /// The next member, with its attributes; nothing at the image's end. What is left of the data of the one before is passed over. Errors: the
  /// decoder's own, with its kind, message and advice; io if the stream ends without an end; invalid for a broken stream.
  Result<std::optional<Member>> next_member();
  /// The next block of the last member's data, valid until the next call; nothing behind the last.
  Result<std::optional<Block>> next_block();
  /// Whether the stream broke off between two frames or in one: the decoder has died.
  bool broken_off() const { return broken_off_; }
  /// Whether the decoder runs under a filter of system calls; known after the first next_member().
  bool filtered() const { return filtered_; }

 private:
  struct Frame {
    unsigned char type = 0;
    std::span<const std::byte> body;
  };
  Result<> fill(std::size_t wanted);
  Result<Frame> peek();
  void drop(const Frame& frame);
  Result<> read_hello();
  Result<> read_attributes(Member& member, std::size_t count);

  Receive receive_;
  std::unique_ptr<std::byte[]> buffer_;
  std::size_t begin_ = 0, end_ = 0;  // what of the buffer is waiting
  bool greeted_ = false, filtered_ = false, broken_off_ = false, ended_ = false;
  bool in_file_ = false;             // the last member is a file
  std::uint64_t at_ = 0, size_ = 0;  // in that file
  std::uint64_t members_ = 0;
};

}  // namespace signet
