#include "admin/cpio.h"

#include <format>

namespace signet {
namespace {

constexpr unsigned directory = 0040755, regular = 0100000;

void pad(std::string& out) { out.resize((out.size() + 3) / 4 * 4, '\0'); }

void put(std::string& out, std::string_view name, unsigned number, unsigned mode, std::string_view data) {
  out += std::format("070701{:08X}{:08X}{:08X}{:08X}{:08X}{:08X}{:08X}{:08X}{:08X}{:08X}{:08X}{:08X}{:08X}", number, mode, 0, 0, 1, 0, data.size(), 0,
                     0, 0, 0, name.size() + 1, 0);
  out.append(name).append(1, '\0');
  pad(out);
  out += data;
  pad(out);
}

}  // namespace

Result<> CpioArchive::add(const std::string& path, std::string data, unsigned mode) {
  if (!path.starts_with('/') || path.ends_with('/') || path.contains("//") || (path + "/").contains("/../") || (path + "/").contains("/./"))
    return fail(ErrorKind::usage, "`{}` is not an absolute path of a file in the initrd", path);
  for (std::size_t slash = path.find('/', 1); slash != std::string::npos; slash = path.find('/', slash + 1))
    entries_.try_emplace(path.substr(1, slash - 1), Entry{directory, {}});
  entries_[path.substr(1)] = {regular | (mode & 07777), std::move(data)};
  return {};
}

std::string CpioArchive::bytes() const {
  std::string out;
  unsigned number = 0;
  for (const auto& [name, entry] : entries_) put(out, name, ++number, entry.mode, entry.data);
  put(out, "TRAILER!!!", 0, 0, {});
  return out;
}

}  // namespace signet
