#include "filesystem/esp.h"

#include <dirent.h>
#include <fcntl.h>
#include <strings.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <format>
#include <memory>
#include <vector>

#include "base/fd.h"
#include "filesystem/filesystem.h"

namespace signet {
namespace {

constexpr const char* firmware_directory = "EFI";

bool is_directory(const std::string& path) {
  struct stat status{};
  return ::lstat(path.c_str(), &status) == 0 && S_ISDIR(status.st_mode);
}

Result<std::vector<std::string>> names_in(const std::string& directory) {
  const std::unique_ptr<DIR, int (*)(DIR*)> open(::opendir(directory.c_str()), ::closedir);
  if (!open) return fail_errno("read {}", directory);
  std::vector<std::string> names;
  while (const dirent* entry = ::readdir(open.get()))
    if (entry->d_name != std::string_view(".") && entry->d_name != std::string_view("..")) names.emplace_back(entry->d_name);
  return names;
}

Result<> sync_directory(const std::string& path) {
  const Fd fd = TRY(open_file(path, O_RDONLY | O_DIRECTORY));
  if (::syncfs(fd.get()) != 0) return fail_errno("write back {}", path);
  return {};
}

// A directory that is there already takes in what the other one holds; a file gives way.
Result<> move(const std::string& from, const std::string& to) {
  if (!is_directory(from) || !is_directory(to)) {
    if (::rename(from.c_str(), to.c_str()) != 0) return fail_errno("rename {} to {}", from, to);
    return {};
  }
  for (const auto& name : TRY(names_in(from))) TRY(move(from + "/" + name, to + "/" + name));
  if (::rmdir(from.c_str()) != 0) return fail_errno("remove {}", from);
  return {};
}

Result<> for_each_esp(const Plan& plan, const std::string& scratch, Result<> (*work)(const std::string& root)) {
  for (const auto& planned : plan.disks)
    for (const auto& partition : planned.partitions) {
      if (!is_esp(partition)) continue;
      auto mounted = TRY(TargetTree::mount_one(planned, partition, scratch));
      TRY_WITHIN(work(scratch), partition.device);
      TRY(mounted.unmount());
    }
  return {};
}

}  // namespace

Result<> publish_esp(const std::string& root) {
  const auto hidden = root + "/" + hidden_directory;
  if (!is_directory(hidden)) return {};
  bool starts = false;
  for (const auto& name : TRY(names_in(hidden))) {
    // FAT compares names without regard to case.
    if (::strcasecmp(name.c_str(), firmware_directory) == 0)
      starts = true;
    else
      TRY(move(hidden + "/" + name, root + "/" + name));
  }
  TRY(sync_directory(root));
  if (starts) TRY(move(hidden + "/" + firmware_directory, root + "/" + firmware_directory));
  if (::rmdir(hidden.c_str()) != 0) return fail_errno("remove {}", hidden);
  return sync_directory(root);
}

Result<> hide_esp(const std::string& root) {
  const auto hidden = root + "/" + hidden_directory;
  if (!is_directory(root + "/" + firmware_directory)) return {};
  if (::mkdir(hidden.c_str(), 0700) != 0 && errno != EEXIST) return fail_errno("make {}", hidden);
  TRY(move(root + "/" + firmware_directory, hidden + "/" + firmware_directory));
  return sync_directory(root);
}

bool is_esp(const PlannedPartition& partition) {
  return partition.type == PartitionType::esp && partition.format == FormatType::vfat && !partition.mount.empty();
}

bool hidden_by_mount(const PlannedPartition& partition) { return is_esp(partition) && partition.mount != "/boot" && partition.mount != "/"; }

Result<> publish_esps(const Plan& plan, const std::string& scratch) { return for_each_esp(plan, scratch, publish_esp); }

Result<> hide_esps(const Plan& plan, const std::string& scratch) { return for_each_esp(plan, scratch, hide_esp); }

}  // namespace signet
