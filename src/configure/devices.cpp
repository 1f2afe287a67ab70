// The devices that programs of the image may see.
#include <sys/stat.h>
#include <unistd.h>

#include <climits>
#include <cstdlib>
#include <format>
#include <set>

#include "base/fd.h"
#include "base/text.h"
#include "configure/inside.h"
#include "configure/target_root.h"
#include "machine/superblock.h"

namespace signet {
namespace {

constexpr std::string_view sys_block = "/sys/class/block/";

std::string real_path(const std::string& path) {
  char resolved[PATH_MAX];
  return ::realpath(path.c_str(), resolved) ? std::string(resolved) : path;
}

std::string last_of(const std::string& path) { return path.substr(path.rfind('/') + 1); }

// "vda" for vda3, "loop0" for loop0p1: the directory in sysfs that a partition's is in.
std::string disk_of(const std::string& name) {
  const auto path = real_path(std::string(sys_block) + name);
  if (::access((path + "/partition").c_str(), F_OK) != 0) return name;
  return last_of(path.substr(0, path.rfind('/')));
}

// "block:NAME:MAJOR:MINOR"; empty if there is no such device.
std::string node_word(const std::string& name) {
  const auto number = read_file(std::string(sys_block) + name + "/dev").value_or("");
  return number.empty() ? std::string() : std::format("block:{}:{}", name, trim(number));
}

}  // namespace

std::vector<std::string> device_words(const std::string& root) {
  const auto place = real_path(root);
  const auto mounts = read_file("/proc/self/mountinfo").value_or("");
  std::set<std::string> disks;
  for (const auto line : split(mounts, '\n')) {
    const auto fields = split(line, ' ');
    if (fields.size() < 5 || (fields[4] != place && !fields[4].starts_with(place + "/"))) continue;
    const auto device = real_path("/sys/dev/block/" + std::string(fields[2]));
    if (device.starts_with("/sys/devices/")) disks.insert(disk_of(last_of(device)));
  }
  std::vector<std::string> words;
  const auto add = [&](const std::string& name) {
    if (auto word = node_word(name); !word.empty()) words.push_back(std::move(word));
    if (const auto uuid = uuid_of("/dev/" + name); !uuid.empty()) words.push_back(std::format("uuid:{}:{}", uuid, name));
  };
  for (const auto& disk : disks) {
    add(disk);
    const auto directory = TargetRoot::open(real_path(std::string(sys_block) + disk));
    if (!directory) continue;
    for (const auto& name : directory->list("/"))
      if (name.starts_with(disk) && ::access((directory->path() + "/" + name + "/partition").c_str(), F_OK) == 0) add(name);
  }
  return words;
}

}  // namespace signet
