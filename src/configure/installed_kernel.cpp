#include "configure/installed_kernel.h"

#include <fcntl.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/sendfile.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <algorithm>
#include <format>
#include <span>

#include "base/text.h"

namespace signet {
namespace {

std::vector<std::string> words_of(std::string_view line) {
  std::string plain(line);
  std::ranges::replace(plain, '\t', ' ');
  std::vector<std::string> words;
  for (const auto word : split(plain, ' '))
    if (!word.empty()) words.emplace_back(word);
  return words;
}

std::string joined(std::span<const std::string> words) {
  std::string text;
  for (const auto& word : words)
    if (!word.contains('$')) text.append(text.empty() ? "" : " ").append(word);
  return text;
}

// Where /boot is a file system of its own, the boot loader's paths begin there.
std::string place_of(const TargetRoot& target, std::string path) {
  // A drive in front, as in ($root)/vmlinuz.
  if (path.starts_with('(')) path = path.substr(std::min(path.find(')') + 1, path.size()));
  if (!path.starts_with('/')) path.insert(0, "/");
  return target.exists(path) ? path : "/boot" + path;
}

bool newer(const std::string& left, const std::string& right) { return ::strverscmp(left.c_str(), right.c_str()) > 0; }

std::vector<std::string> newest_first(const TargetRoot& target, const std::string& directory, std::string_view prefix, std::string_view suffix) {
  std::vector<std::string> names;
  for (const auto& name : target.list(directory))
    if (name.starts_with(prefix) && name.ends_with(suffix) && !name.contains("rescue")) names.push_back(name);
  std::ranges::sort(names, newer);
  return names;
}

KernelEntry from_boot_loader(const TargetRoot& target) {
  for (const char* menu : {"/boot/grub/grub.cfg", "/boot/grub2/grub.cfg"}) {
    auto entry = first_entry(target.read(menu).value_or(""));
    if (!entry.kernel.empty()) return entry;
  }
  constexpr const char* entries = "/boot/loader/entries";
  for (const auto& name : newest_first(target, entries, "", ".conf")) {
    auto entry = first_entry(target.read(std::format("{}/{}", entries, name)).value_or(""));
    if (!entry.kernel.empty()) return entry;
  }
  return {};
}

KernelEntry newest_kernel(const TargetRoot& target) {
  for (const auto& name : newest_first(target, "/boot", "vmlinuz-", "")) {
    const auto version = name.substr(std::string_view("vmlinuz-").size());
    KernelEntry entry;
    entry.kernel = "/boot/" + name;
    for (const auto& initrd : {"initrd.img-" + version, "initramfs-" + version + ".img", "initrd-" + version})
      if (entry.initrds.empty() && target.exists("/boot/" + initrd)) entry.initrds.push_back("/boot/" + initrd);
    return entry;
  }
  return {};
}

// kexec_file_load() takes one file; a boot loader puts several one behind the other.
Result<Fd> open_initrds(const TargetRoot& target, const std::vector<std::string>& paths) {
  if (paths.size() == 1) return target.open_file(paths.front());
  Fd all(::memfd_create("initrd", MFD_CLOEXEC));
  if (!all) return fail_errno("make a file in memory");
  for (const auto& path : paths) {
    const Fd part = TRY(target.open_file(path));
    ssize_t sent;
    do sent = ::sendfile(all.get(), part.get(), nullptr, 1 << 20);
    while (sent > 0);
    if (sent < 0) return fail_errno("read {}", path);
  }
  return all;
}

}  // namespace

KernelEntry first_entry(std::string_view text) {
  KernelEntry entry;
  for (const auto line : split(text, '\n')) {
    const auto words = words_of(line);
    if (words.size() < 2) continue;
    const auto& command = words.front();
    if (command == "linux" || command == "linux16" || command == "linuxefi") {
      if (!entry.kernel.empty()) break;
      entry.kernel = words[1];
      entry.arguments = joined(std::span(words).subspan(2));
    } else if (command == "initrd" || command == "initrd16" || command == "initrdefi") {
      for (const auto& path : std::span(words).subspan(1))
        if (!path.contains('$') || path.starts_with("($")) entry.initrds.push_back(path);
    } else if (command == "options") {
      entry.arguments = joined(std::span(words).subspan(1));
    }
  }
  return entry;
}

Result<KernelEntry> default_kernel(const TargetRoot& target, std::string_view root) {
  auto entry = from_boot_loader(target);
  if (entry.kernel.empty()) entry = newest_kernel(target);
  entry.kernel = entry.kernel.empty() ? entry.kernel : place_of(target, entry.kernel);
  for (auto& initrd : entry.initrds) initrd = place_of(target, initrd);
  if (entry.kernel.empty() || !target.exists(entry.kernel)) return fail(ErrorKind::not_found, "no kernel found in /boot of the installed system");
  if (!(" " + entry.arguments).contains(" root="))
    entry.arguments = std::format("{} ro{}{}", root, entry.arguments.empty() ? "" : " ", entry.arguments);
  return entry;
}

Result<> load_kernel(const TargetRoot& target, const KernelEntry& entry) {
  constexpr unsigned long no_initrd = 4;  // KEXEC_FILE_NO_INITRAMFS
  const Fd kernel = TRY(target.open_file(entry.kernel));
  const Fd initrd = entry.initrds.empty() ? Fd() : TRY(open_initrds(target, entry.initrds));
  // kexec_file_load(2): the length counts the closing zero byte.
  if (::syscall(SYS_kexec_file_load, kernel.get(), initrd.get(), entry.arguments.size() + 1, entry.arguments.c_str(), initrd ? 0UL : no_initrd) == 0)
    return {};
  return fail_errno("load the kernel {} for kexec", entry.kernel);
}

}  // namespace signet
