#include "machine/sysfs.h"

#include <dirent.h>
#include <limits.h>
#include <unistd.h>

#include <algorithm>
#include <compare>
#include <memory>
#include <string_view>

#include "base/fd.h"
#include "base/text.h"

namespace signet::sysfs {
namespace {

// Kernel names count in digits (eth10 after eth2) and in letters (sdaa after sdz): names are compared run by run, digits by value, letters by their
// first two, then by length.
struct Run {
  std::string_view stem;
  std::uint64_t number_or_length = 0;
  std::string_view text;
  auto operator<=>(const Run&) const = default;
};

Run take_run(std::string_view& name) {
  const bool digits = !name.empty() && name[0] >= '0' && name[0] <= '9';
  const auto end = digits ? name.find_first_not_of("0123456789") : name.find_first_of("0123456789");
  const auto run = name.substr(0, end);
  name.remove_prefix(run.size());
  if (digits) return {"", parse_unsigned(run).value_or(UINT64_MAX), run};
  return {run.substr(0, 2), run.size(), run};
}

bool name_less(std::string_view a, std::string_view b) {
  while (!a.empty() && !b.empty()) {
    const auto order = take_run(a) <=> take_run(b);
    if (order != 0) return order < 0;
  }
  return a.empty() && !b.empty();
}

}  // namespace

std::string text(const std::string& path) {
  const auto contents = read_file(path, 1 << 16);
  return contents ? std::string(trim(*contents)) : std::string();
}

std::uint64_t number(const std::string& path, std::uint64_t otherwise) { return parse_unsigned(text(path)).value_or(otherwise); }

std::vector<std::string> names(const std::string& directory) {
  std::vector<std::string> found;
  const std::unique_ptr<DIR, int (*)(DIR*)> open(::opendir(directory.c_str()), ::closedir);
  if (!open) return found;
  while (const dirent* entry = ::readdir(open.get()))
    if (entry->d_name[0] != '.') found.emplace_back(entry->d_name);
  std::ranges::sort(found, name_less);
  return found;
}

std::string link_name(const std::string& path) {
  char target[PATH_MAX];
  const ssize_t length = ::readlink(path.c_str(), target, sizeof target);
  if (length <= 0) return {};
  const std::string whole(target, static_cast<std::size_t>(length));
  return whole.substr(whole.rfind('/') + 1);
}

bool exists(const std::string& path) { return ::access(path.c_str(), F_OK) == 0; }

}  // namespace signet::sysfs
