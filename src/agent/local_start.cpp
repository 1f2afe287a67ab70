#include "agent/local_start.h"

#include <fcntl.h>
#include <linux/fs.h>
#include <sys/ioctl.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <format>
#include <memory>

#include "agent/disks.h"
#include "agent/finish.h"
#include "agent/install.h"
#include "agent/installed.h"
#include "base/fd.h"
#include "base/sha256.h"
#include "base/text.h"
#include "configure/configure.h"
#include "configure/installed_kernel.h"
#include "machine/superblock.h"
#include "machine/systems.h"

namespace signet {
namespace {

std::vector<std::string> partitions_of(const std::string& disk) {
  constexpr unsigned most = 128;
  std::vector<std::string> found;
  struct stat status{};
  for (unsigned number = 1; number <= most; ++number)
    if (const auto device = partition_device(disk, number); ::stat(device.c_str(), &status) == 0) found.push_back(device);
  return found;
}

// A file system that is looked into. Nothing of it is written: its journal is not replayed, and its device refuses writes as long as it is mounted.
class Look {
 public:
  static std::optional<Look> into(const std::string& device, const std::string& place) {
    const auto found = look_into(device);
    if (!found) return std::nullopt;
    const auto options = found->options.substr(std::min(found->options.find(',') + 1, found->options.size()));  // but for "ro", which is a flag
    Look look;
    look.device_ = open_file(device, O_RDONLY).value_or(Fd());
    if (!look.device_) return std::nullopt;
    look.writable(false);
    if (::mount(device.c_str(), place.c_str(), found->type.c_str(), MS_RDONLY | MS_NOSUID | MS_NODEV | MS_NOEXEC,
                found->options == "ro" ? nullptr : options.c_str()) != 0)
      return std::nullopt;
    look.place_ = place;
    return look;
  }
  Look(Look&& other) noexcept : device_(std::move(other.device_)), place_(std::exchange(other.place_, {})) {}
  Look& operator=(Look&& other) noexcept {
    std::swap(device_, other.device_);
    std::swap(place_, other.place_);
    return *this;
  }
  ~Look() {
    if (!place_.empty()) ::umount2(place_.c_str(), MNT_DETACH | UMOUNT_NOFOLLOW);
    if (device_) writable(true);
  }

 private:
  Look() = default;
  void writable(bool wanted) const {
    const int read_only = wanted ? 0 : 1;
    ::ioctl(device_.get(), BLKROSET, &read_only);
  }
  Fd device_;
  std::string place_;
};

// fstab(5): the UUID of what is mounted on /boot, if that is apart.
std::string boot_uuid(const TargetRoot& target) {
  const auto fstab = target.read("/etc/fstab").value_or("");
  for (const auto line : split(fstab, '\n')) {
    std::string plain(line);
    std::ranges::replace(plain, '\t', ' ');
    std::vector<std::string> fields;
    for (const auto word : split(plain, ' '))
      if (!word.empty()) fields.emplace_back(word);
    if (fields.size() >= 2 && fields[1] == "/boot" && fields[0].starts_with("UUID=")) return fields[0].substr(5);
  }
  return {};
}

// Loads the kernel of the system on a disk, from whichever partition of it has one. Its /boot may lie on any of the host's own devices.
Result<KernelEntry> load_from(const std::string& disk, const std::vector<std::string>& own, const std::string& place) {
  if (::mkdir(place.c_str(), 0700) != 0 && errno != EEXIST) return fail_errno("make {}", place);
  const auto devices = partitions_of(disk);
  Error why(ErrorKind::not_found, disk + " has no file system with an installed system that this kernel can read");
  for (const auto& device : devices) {
    const auto root = Look::into(device, place);
    if (!root) continue;
    const auto target = TRY(TargetRoot::open(place));
    if (!target.exists("/etc/fstab")) continue;
    std::optional<Look> boot;
    if (const auto uuid = boot_uuid(target); !uuid.empty())
      for (const auto& other : own)
        if (other != device && uuid_of(other) == uuid) boot = Look::into(other, place + "/boot");
    auto entry = default_kernel(target, "root=UUID=" + uuid_of(device));
    auto loaded = entry ? load_kernel(target, *entry) : Result<>(std::unexpected(entry.error()));
    if (loaded) return entry;
    why = std::move(loaded).error().within(device);
  }
  return std::unexpected(std::move(why));
}

// Stands for the state of the disks' file systems: a system that starts from them mounts one of them for writing, which changes the superblock sooner
// or later. Empty if they have no file system of a type for which this holds.
std::string state_of(const std::vector<Installed>& systems) {
  constexpr std::size_t superblocks = 68 << 10;  // btrfs has the last of them, at 64 KiB
  Sha256 digest;
  std::vector<std::byte> bytes(superblocks);
  bool known = false;
  for (const auto& system : systems) {
    for (const auto& device : partitions_of(system.disk)) {
      const auto found = look_into(device);
      known = known || (found && found->type != "vfat");
      const auto fd = open_file(device, O_RDONLY);
      const ssize_t got = fd ? ::pread(fd->get(), bytes.data(), bytes.size(), 0) : 0;
      digest.update(std::span(bytes).first(static_cast<std::size_t>(std::max<ssize_t>(got, 0))));
    }
  }
  return known ? digest.finish() : "";
}

// Asks the firmware to start one of the disks next. Firmware that cannot do it goes on to the network, without an end if it is asked again each time:
// so it is asked twice, as a system may be switched off before it has mounted anything, and then this is an error, after which the count begins anew.
Result<std::string> ask_firmware(Context& context, const std::vector<Installed>& systems) {
  constexpr unsigned most = 2;
  const auto state = state_of(systems);
  const auto times = times_asked(state);
  const auto note = [&](unsigned now) {
    if (state.empty()) return;
    if (const auto noted = note_asked(state, now); !noted)
      context.report.log("it is not counted how often the firmware is asked: {}", noted.error().message());
  };
  if (times >= most) {
    note(0);
    return fail(ErrorKind::unsupported, "the firmware has been asked {} times to start it, and nothing on its disks has changed since", times);
  }
  std::string reasons;
  for (const auto& system : systems) {
    if (auto set = start_next_from(system.disk); !set) {
      reasons += (reasons.empty() ? "" : "; ") + set.error().message();
      continue;
    }
    note(times + 1);
    return system.disk;
  }
  return fail(ErrorKind::unsupported, "{}", reasons);
}

Result<> start(Context& context, const std::vector<Installed>& systems) {
  context.report.start("local", "starting " + systems.front().describe());
  std::string reasons;
  std::vector<std::string> own;
  for (const auto& system : systems) own.append_range(partitions_of(system.disk));
  for (const auto& system : systems) {
    const auto kernel = load_from(system.disk, own, context.state_file("local"));
    if (kernel) {
      context.report.log("{} {}", kernel->kernel, kernel->arguments);
      stop_at_breakpoint(context, "local");
      context.report.done("starting " + kernel->kernel);
      TRY(act(FinishAction::kexec, context));
    }
    reasons += (reasons.empty() ? "" : "; ") + (kernel ? "kexec came back" : kernel.error().message());
  }
  if (context.machine.efi) {
    context.report.log("{}; the firmware is asked to start the disk", reasons);
    if (const auto disk = ask_firmware(context, systems)) {
      stop_at_breakpoint(context, "local");
      context.report.done("restarting from " + *disk);
      TRY(act(FinishAction::reboot, context));
    } else {
      reasons += "; " + disk.error().message();
    }
  }
  auto error = Error(ErrorKind::unsupported, std::format("{} is complete, but cannot be started from here: {}", systems.front().describe(), reasons))
                   .advise("put the disk before the network in the firmware's boot order; signet.install=always installs again");
  context.report.failed(error);
  return std::unexpected(std::move(error));
}

// A server that does not answer does not keep a node from its system for long.
void hurry(Context& context) {
  context.fetch.connect_timeout = std::chrono::seconds(5);
  context.fetch.stall_timeout = std::chrono::seconds(5);
  context.fetch.text_time = std::chrono::seconds(10);
  context.fetch.attempts = 1;
}
void take_time(Context& context) {
  const FetchOptions usual;
  context.fetch.connect_timeout = usual.connect_timeout;
  context.fetch.stall_timeout = usual.stall_timeout;
  context.fetch.text_time = usual.text_time;
  context.fetch.attempts = usual.attempts;
}

Result<> scan(Context& context, std::chrono::milliseconds quiet = std::chrono::milliseconds(300)) {
  wait_for_devices(context.devices, quiet);
  context.machine.disks = TRY(scan_disks());
  return {};
}

// True if this host is to be installed again although it has a complete system; logs what has changed.
bool installs_again(Context& context, const Installed& system) {
  const auto rule = install_rule(context);
  if (rule == InstallRule::always) return true;
  const auto changed = what_changed(system.mark, digests_of(context));
  if (changed.empty()) return false;
  if (rule == InstallRule::when_changed) {
    context.report.log("{} has changed since {}: installing again", changed, system.describe());
    return true;
  }
  context.report.log("{} has changed since this system was installed; signet.install=always reinstalls", changed);
  return false;
}

}  // namespace

Result<> start_installed_instead(Context& context, std::string_view stage, const Result<>& ran) {
  if (!on_node() || !context.settings.from.empty() || context.armed) return {};
  if (stage == "network" && !ran) {
    TRY(scan(context));
    context.identity = identify(context.machine, std::nullopt);
  } else if (stage == "identify" && ran) {
    TRY(scan(context));
    if (!installed_systems(context.machine.disks).empty() && install_rule(context) != InstallRule::always) hurry(context);
    return {};
  } else if (stage == "profile") {
    take_time(context);
    // A host script has no `plan` of its own before it writes; a disk that has come since then may have this host's system.
    if (ran && !context.script.empty()) TRY(scan(context, quiet_time(context)));
  } else if (stage != "plan") {
    return {};
  }
  const auto systems = own_systems(context);
  if (systems.empty()) return {};
  context.armed = ran ? installs_again(context, systems.front()) : install_rule(context) == InstallRule::always;
  if (context.armed) return {};
  if (!ran) context.report.log("{}: the installed system is started without it", stage);
  return start(context, systems);
}

std::string installed_text(Context& context) {
  std::string text;
  if (context.machine.disks.empty() && on_node())
    if (auto scanned = scan(context); !scanned) return scanned.error().message() + "\n";
  const auto own = own_systems(context);
  for (const auto& each : installed_systems(context.machine.disks)) {
    const bool ours = std::ranges::any_of(own, [&](const Installed& system) { return system.disk == each.disk; });
    const char* next = !ours ? "another host's, not started" : installs_again(context, each) ? "would install again" : "would start the local disk";
    text += std::format("{}; {}\n", each.describe(), next);
  }
  return text;
}

}  // namespace signet
