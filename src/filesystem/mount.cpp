// The target tree: mount(2), image files by way of loop devices, and taking it all down again.
#include <fcntl.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <format>
#include <map>

#include "base/fd.h"
#include "base/text.h"
#include "filesystem/filesystem.h"
#include "filesystem/loop.h"

namespace signet {
namespace {

// Mount options as flags of mount(2) and, for the rest, as text for the file system.
struct MountOptions {
  unsigned long flags = 0;
  std::string data;
};

MountOptions parse_options(const std::vector<std::string>& options) {
  struct Flag {
    std::string_view name;
    unsigned long bit;
  };
  constexpr Flag flags[] = {{"noatime", MS_NOATIME},  {"nodiratime", MS_NODIRATIME}, {"relatime", MS_RELATIME},
                            {"sync", MS_SYNCHRONOUS}, {"dirsync", MS_DIRSYNC},       {"lazytime", MS_LAZYTIME}};
  // What holds for the running system, not for putting an image in: a /tmp mounted nodev still gets its device nodes.
  constexpr std::string_view later[] = {"defaults", "ro", "rw", "nodev", "nosuid", "noexec", "auto", "noauto", "user", "nouser", "users", "nofail"};
  MountOptions parsed;
  for (const auto& option : options) {
    if (std::ranges::find(later, option) != std::end(later) || option.starts_with("x-")) continue;
    const auto* flag = std::ranges::find(flags, option, &Flag::name);
    if (flag != std::end(flags))
      parsed.flags |= flag->bit;
    else
      parsed.data.append(parsed.data.empty() ? "" : ",").append(option);
  }
  return parsed;
}

Result<> make_directories(const std::string& path) {
  for (std::size_t slash = path.find('/', 1);; slash = path.find('/', slash + 1)) {
    const auto part = path.substr(0, slash);
    if (::mkdir(part.c_str(), 0755) != 0 && errno != EEXIST) return fail_errno("make directory {}", part);
    if (slash == std::string::npos) return {};
  }
}

// Mount points at or below root, parents first, from proc_pid_mountinfo(5) with its octal escapes.
std::vector<std::string> mounts_below(const std::string& root) {
  std::vector<std::string> found;
  const auto text = read_file("/proc/self/mountinfo");
  if (!text) return found;
  for (const auto line : split(*text, '\n')) {
    const auto fields = split(line, ' ');
    if (fields.size() < 5) continue;
    std::string place;
    for (std::size_t i = 0; i < fields[4].size(); ++i) {
      if (fields[4][i] == '\\' && i + 3 < fields[4].size()) {
        place += static_cast<char>((fields[4][i + 1] - '0') * 64 + (fields[4][i + 2] - '0') * 8 + (fields[4][i + 3] - '0'));
        i += 3;
      } else {
        place += fields[4][i];
      }
    }
    if (place == root || place.starts_with(root + "/")) found.push_back(std::move(place));
  }
  return found;
}

// The real path of a directory, as mountinfo spells it.
std::string real_path(const std::string& path) {
  char resolved[PATH_MAX];
  return ::realpath(path.c_str(), resolved) ? std::string(resolved) : path;
}

Result<> unmount_one(const std::string& place) {
  // Data first, so that an error of the disk is seen here and not lost in a lazy write.
  if (auto fd = open_file(place, O_RDONLY | O_DIRECTORY); fd && ::syncfs(fd->get()) != 0) return fail_errno("write back {}", place);
  if (::umount2(place.c_str(), UMOUNT_NOFOLLOW) == 0) return {};
  const int err = errno;
  auto error = Error::from_errno("unmount " + place, err);
  if (err == EBUSY)
    error = std::move(error).advise(std::format("something still uses it; `fuser -m {}` or `ls -l /proc/*/cwd /proc/*/fd` shows what", place));
  return std::unexpected(std::move(error));
}

Result<> unmount_all(std::vector<std::string> places) {
  Result<> first;
  for (auto place = places.rbegin(); place != places.rend(); ++place)
    if (auto done = unmount_one(*place); !done && first) first = std::move(done);
  return first;
}

}  // namespace

Result<TargetTree> TargetTree::mount(const Plan& plan, const std::string& root) {
  TargetTree tree;
  TRY(make_directories(root));
  tree.root_ = real_path(root);
  std::map<std::string, LoopDisk> loops;  // by image file
  for (const auto& planned : plan.disks)
    if (std::ranges::any_of(planned.partitions, [](const auto& partition) { return partition.in_file && !partition.mount.empty(); }))
      loops.emplace(planned.disk.path, TRY(LoopDisk::attach(planned)));
  for (const auto* partition : plan.mounts()) {
    const auto place = partition->mount == "/" ? tree.root_ : tree.root_ + partition->mount;
    TRY(make_directories(place));
    const auto device = partition->in_file ? loops.at(partition->device).partition(partition->number) : partition->device;
    const auto options = parse_options(partition->options);
    if (::mount(device.c_str(), place.c_str(), std::string(to_string(partition->format)).c_str(), options.flags, options.data.c_str()) != 0)
      return fail_errno("mount {} ({}) on {}", device, to_string(partition->format), place);
    tree.mounted_.push_back(place);
  }
  return tree;
}

TargetTree& TargetTree::operator=(TargetTree&& other) noexcept {
  std::swap(root_, other.root_);
  std::swap(mounted_, other.mounted_);
  return *this;
}

TargetTree::~TargetTree() { [[maybe_unused]] const auto done = unmount_all(std::move(mounted_)); }

Result<> TargetTree::unmount() { return unmount_all(std::exchange(mounted_, {})); }

void TargetTree::release() { mounted_.clear(); }

Result<> unmount_below(const std::string& root) { return unmount_all(mounts_below(real_path(root))); }

}  // namespace signet
