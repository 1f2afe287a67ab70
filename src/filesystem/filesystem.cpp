#include "filesystem/filesystem.h"

#include <uuid/uuid.h>

#include <array>
#include <format>

#include "base/size.h"
#include "base/text.h"
#include "disk/disk.h"
#include "filesystem/makers.h"

namespace signet {
namespace {

Result<> make(const FormatRequest& request) {
  switch (request.type) {
    case FormatType::ext2:
    case FormatType::ext3:
    case FormatType::ext4: return make_ext(request);
    case FormatType::vfat: return make_vfat(request);
    case FormatType::swap: return make_swap(request);
    case FormatType::none: break;
  }
  return {};
}

}  // namespace

Result<std::array<unsigned char, 16>> uuid_bytes(const std::string& text) {
  std::array<unsigned char, 16> bytes{};
  if (text.empty())
    ::uuid_generate(bytes.data());
  else if (::uuid_parse(text.c_str(), bytes.data()) != 0)
    return fail(ErrorKind::invalid, "`{}` is not a UUID", printable(text));
  return bytes;
}

std::uint64_t minimum_size(FormatType type) {
  switch (type) {
    case FormatType::ext2: return 1 * MiB;
    case FormatType::ext3:
    case FormatType::ext4:
    case FormatType::vfat: return 8 * MiB;
    case FormatType::swap: return 40 * KiB;  // mkswap(8): ten pages
    case FormatType::none: break;
  }
  return 0;
}

Result<> make_filesystem(const FormatRequest& request) {
  const auto context = std::format("make {} on {}", to_string(request.type), request.path);
  if (request.size < minimum_size(request.type))
    return fail(ErrorKind::no_space, "{}: {} is too small, it needs {}", context, format_size(request.size), format_size(minimum_size(request.type)));
  TRY_WITHIN(make(request), context);
  return {};
}

Result<> format_partitions(const Plan& plan, Report& report) {
  for (const auto& planned : plan.disks) {
    const Fd disk = TRY(open_planned(planned));
    for (const auto& partition : planned.partitions) {
      if (partition.format == FormatType::none) continue;
      report.log("{} {}: {}, {}, UUID {}", partition.device, partition.name, to_string(partition.format), format_size(partition.size),
                 partition.uuid);
      // Open until the file system is made, so that the name stays this partition's.
      Fd held;
      if (!partition.in_file) held = TRY(open_partition(partition.device, {planned.disk.device, partition.number, partition.start, partition.size}));
      TRY(make_filesystem({
          .path = partition.device,
          .offset = partition.in_file ? partition.start : 0,
          .size = partition.size,
          .type = partition.format,
          .compat = partition.compat,
          .label = partition.label,
          .uuid = partition.uuid,
          .mount_point = partition.mount,
          .sector_size = planned.disk.sector_size,
      }));
    }
  }
  return {};
}

}  // namespace signet
