#include "image/directory_log.h"

#include <algorithm>
#include <cstring>

namespace signet {
namespace {

constexpr std::size_t chunk_bytes = 64 << 10;

// What stands before a path's end and the attributes. Only this process reads it.
struct Head {
  std::int64_t seconds;
  std::uint32_t uid, gid, nanoseconds;
  std::uint16_t mode, shared, rest, attributes;
};

}  // namespace

Result<> DirectoryLog::add(const Member& directory) {
  const auto shared = static_cast<std::size_t>(std::ranges::mismatch(last_, directory.path).in1 - last_.begin());
  const auto rest = std::string_view(directory.path).substr(shared);
  std::size_t need = sizeof(Head) + rest.size();
  for (const auto& attribute : directory.attributes) need += 2 * sizeof(std::uint32_t) + attribute.name.size() + attribute.value.size();
  if (total_ + need > most_bytes)
    return std::unexpected(Error(ErrorKind::invalid, "the image has too many directories: their names and owners need more than 16 MiB")
                               .advise("an image has some hundred thousand directories at most; leave caches and data out of it"));
  if (chunks_.empty() || chunks_.back().size - chunks_.back().used < need) {
    const auto size = std::max(need, chunk_bytes);
    chunks_.push_back({std::make_unique_for_overwrite<std::byte[]>(size), size, 0});
  }
  auto& chunk = chunks_.back();
  const auto put = [&](const void* from, std::size_t length) {
    if (length > 0) std::memcpy(chunk.bytes.get() + chunk.used, from, length);
    chunk.used += length;
  };
  const Head head{directory.seconds,
                  directory.uid,
                  directory.gid,
                  static_cast<std::uint32_t>(directory.nanoseconds),
                  static_cast<std::uint16_t>(directory.mode),
                  static_cast<std::uint16_t>(shared),
                  static_cast<std::uint16_t>(rest.size()),
                  static_cast<std::uint16_t>(directory.attributes.size())};
  put(&head, sizeof head);
  put(rest.data(), rest.size());
  for (const auto& attribute : directory.attributes) {
    const std::uint32_t lengths[] = {static_cast<std::uint32_t>(attribute.name.size()), static_cast<std::uint32_t>(attribute.value.size())};
    put(lengths, sizeof lengths);
    put(attribute.name.data(), attribute.name.size());
    put(attribute.value.data(), attribute.value.size());
  }
  total_ += need;
  last_ = directory.path;
  return {};
}

Result<> DirectoryLog::replay(const std::function<Result<>(const Member&)>& apply) const {
  Member directory;
  directory.type = MemberType::directory;
  for (const auto& chunk : chunks_) {
    std::size_t at = 0;
    const auto take = [&](void* to, std::size_t length) {
      if (length > 0) std::memcpy(to, chunk.bytes.get() + at, length);
      at += length;
    };
    while (at < chunk.used) {
      Head head{};
      take(&head, sizeof head);
      directory.seconds = head.seconds;
      directory.uid = head.uid;
      directory.gid = head.gid;
      directory.nanoseconds = head.nanoseconds;
      directory.mode = head.mode;
      directory.path.resize(head.shared + std::size_t{head.rest});
      take(directory.path.data() + head.shared, head.rest);
      directory.attributes.resize(head.attributes);
      for (auto& attribute : directory.attributes) {
        std::uint32_t lengths[2];
        take(lengths, sizeof lengths);
        attribute.name.resize(lengths[0]);
        attribute.value.resize(lengths[1]);
        take(attribute.name.data(), lengths[0]);
        take(attribute.value.data(), lengths[1]);
      }
      TRY(apply(directory));
    }
  }
  return {};
}

}  // namespace signet
