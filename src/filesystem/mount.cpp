// The target tree: mount(2), image files by way of loop devices, and taking it all down again.
#include <fcntl.h>
#include <sys/file.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <format>
#include <map>

#include "base/fd.h"
#include "base/text.h"
#include "filesystem/esp.h"
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

// A line of proc_pid_mountinfo(5).
struct Mounted {
  std::string id, parent, device;  // device: "MAJOR:MINOR"
  std::string place;
  bool ours = false;
};

// Where what we have mounted is noted, a line each: "MAJOR:MINOR PLACE", the place with mountinfo's escapes. A later verb takes down only that.
constexpr const char* list_directory = "/run/signet";

// What we have mounted, a list for each mount namespace: what another one has mounted is not in our mountinfo. "/run/signet/mounts-4026531841".
std::string list_path() {
  char name[64] = "";
  [[maybe_unused]] const auto length = ::readlink("/proc/self/ns/mnt", name, sizeof name - 1);
  std::string digits;
  for (const char c : std::string_view(name))
    if (c >= '0' && c <= '9') digits += c;
  return std::format("{}/mounts-{}", list_directory, digits);
}

std::string unescape(std::string_view field) {
  std::string place;
  for (std::size_t i = 0; i < field.size(); ++i) {
    if (field[i] == '\\' && i + 3 < field.size()) {
      place += static_cast<char>((field[i + 1] - '0') * 64 + (field[i + 2] - '0') * 8 + (field[i + 3] - '0'));
      i += 3;
    } else {
      place += field[i];
    }
  }
  return place;
}

// What is mounted at or below root, parents first. Ours is what the list has, and what was mounted upon that later.
std::vector<Mounted> mounts_below(const std::string& root) {
  std::vector<Mounted> found;
  const auto text = read_file("/proc/self/mountinfo").value_or(""), list = read_file(list_path()).value_or("");
  const auto lines = split(list, '\n');
  for (const auto line : split(text, '\n')) {
    const auto fields = split(line, ' ');
    if (fields.size() < 5) continue;
    auto place = unescape(fields[4]);
    if (place != root && !place.starts_with(root + "/")) continue;
    const auto noted = std::format("{} {}", fields[2], fields[4]);
    const bool ours = std::ranges::find(lines, noted) != lines.end() ||
                      std::ranges::any_of(found, [&](const Mounted& each) { return each.ours && each.id == fields[1]; });
    found.push_back({std::string(fields[0]), std::string(fields[1]), std::string(fields[2]), std::move(place), ours});
  }
  return found;
}

// Notes what has just been mounted at a place; what is mounted no longer leaves the list.
Result<> note_mount(const std::string& place) {
  if (::mkdir(list_directory, 0755) != 0 && errno != EEXIST) return fail_errno("make directory {}", list_directory);
  // One agent at a time: each rewrites the whole list.
  const Fd lock = TRY(open_file(std::string(list_directory) + "/mounts.lock", O_RDWR | O_CREAT));
  if (::flock(lock.get(), LOCK_EX) != 0) return fail_errno("lock {}/mounts.lock", list_directory);
  const auto text = TRY(read_file("/proc/self/mountinfo")), list = read_file(list_path()).value_or("");
  const auto old = split(list, '\n');
  std::string wanted;
  for (const auto line : split(text, '\n')) {
    const auto fields = split(line, ' ');
    if (fields.size() < 5) continue;
    const auto noted = std::format("{} {}", fields[2], fields[4]);
    if (unescape(fields[4]) == place || std::ranges::find(old, noted) != old.end()) wanted += noted + "\n";
  }
  return write_file(list_path(), wanted);
}

// The real path of a directory, as mountinfo spells it.
std::string real_path(const std::string& path) {
  char resolved[PATH_MAX];
  return ::realpath(path.c_str(), resolved) ? std::string(resolved) : path;
}

Result<> unmount_one(const std::string& place) {
  // Data first, so that an error of the disk is seen here and not lost in a lazy write. What cannot be written back is unmounted all the same.
  Result<> written;
  if (auto fd = open_file(place, O_RDONLY | O_DIRECTORY); fd && ::syncfs(fd->get()) != 0) written = fail_errno("write back {}", place);
  if (::umount2(place.c_str(), UMOUNT_NOFOLLOW) == 0) return written;
  const int err = errno;
  auto error = Error::from_errno("unmount " + place, err);
  if (err == EBUSY)
    error = std::move(error).advise(std::format("something still uses it; `fuser -m {}` or `ls -l /proc/*/cwd /proc/*/fd` shows what", place));
  return std::unexpected(std::move(error));
}

// Mounting over what somebody else has mounted hides it, and taking it down later is not ours to do.
Result<> need_no_strangers(const std::string& root) {
  for (const auto& each : mounts_below(root))
    if (!each.ours)
      return std::unexpected(Error(ErrorKind::refused, std::format("{} is a mount point that Signet did not make", printable(each.place)))
                                 .advise("name another directory with --root, or unmount it first"));
  return {};
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
  TRY(need_no_strangers(tree.root_));
  std::map<std::string, LoopDisk> loops;  // by image file
  for (const auto& planned : plan.disks)
    if (std::ranges::any_of(planned.partitions, [](const auto& partition) { return partition.in_file && !partition.mount.empty(); }))
      loops.emplace(planned.disk.path, TRY(LoopDisk::attach(planned)));
  for (const auto* partition : plan.mounts()) {
    const auto place = partition->mount == "/" ? tree.root_ : tree.root_ + partition->mount;
    TRY(tree.add(*partition, partition->in_file ? loops.at(partition->device).partition(partition->number) : partition->device, place));
    TRY(note_mount(place));
    if (!hidden_by_mount(*partition)) continue;
    const auto hidden = place + "/" + hidden_directory;
    TRY(make_directories(hidden));
    if (::mount(hidden.c_str(), place.c_str(), nullptr, MS_BIND, nullptr) != 0) return fail_errno("mount {} on {}", hidden, place);
    tree.mounted_.push_back(place);
  }
  return tree;
}

Result<TargetTree> TargetTree::mount_one(const PlannedDisk& disk, const PlannedPartition& partition, const std::string& place) {
  TargetTree tree;
  if (!partition.in_file) {
    TRY(tree.add(partition, partition.device, place));
    return tree;
  }
  const auto loop = TRY(LoopDisk::attach(disk));
  TRY(tree.add(partition, loop.partition(partition.number), place));
  return tree;
}

Result<> TargetTree::add(const PlannedPartition& partition, const std::string& device, const std::string& place) {
  TRY(make_directories(place));
  const auto options = parse_options(partition.options);
  if (::mount(device.c_str(), place.c_str(), std::string(to_string(partition.format)).c_str(), options.flags, options.data.c_str()) != 0)
    return fail_errno("mount {} ({}) on {}", device, to_string(partition.format), place);
  mounted_.push_back(place);
  return {};
}

TargetTree& TargetTree::operator=(TargetTree&& other) noexcept {
  std::swap(root_, other.root_);
  std::swap(mounted_, other.mounted_);
  return *this;
}

TargetTree::~TargetTree() { [[maybe_unused]] const auto done = unmount_all(std::move(mounted_)); }

Result<> TargetTree::unmount() { return unmount_all(std::exchange(mounted_, {})); }

void TargetTree::release() { mounted_.clear(); }

Result<Writeback> Writeback::watch(const std::string& root) {
  Writeback watched;
  for (auto& each : mounts_below(real_path(root))) {
    if (!each.ours) continue;
    auto fd = TRY(open_file(each.place, O_RDONLY | O_DIRECTORY));
    watched.places_.emplace_back(std::move(each.place), std::move(fd));
  }
  return watched;
}

Result<> Writeback::sync() const {
  for (const auto& [place, fd] : places_)
    if (::syncfs(fd.get()) != 0)
      return std::unexpected(
          Error::from_errno("write back " + place).advise("the disk does not keep what is written to it; look at the kernel's log and replace it"));
  return {};
}

Result<> unmount_below(const std::string& root) {
  std::vector<std::string> places;
  for (auto& each : mounts_below(real_path(root)))
    if (each.ours) places.push_back(std::move(each.place));
  return unmount_all(std::move(places));
}

}  // namespace signet
