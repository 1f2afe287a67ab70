// GRUB for BIOS and UEFI, by the image's own tools.
#include <sys/stat.h>
#include <unistd.h>

#include <format>

#include "base/fd.h"
#include "configure/configure.h"
#include "configure/grub_core.h"
#include "configure/steps.h"
#include "filesystem/esp.h"

namespace signet {
namespace {

// The block device that is the boot disk: a disk itself, or for an image file the loop device (loop(4)) by which its partitions are mounted.
Result<std::string> boot_device(const std::string& disk) {
  struct stat status{};
  if (::stat(disk.c_str(), &status) != 0) return fail_errno("{}", disk);
  if (S_ISBLK(status.st_mode)) return disk;
  char resolved[PATH_MAX];
  const auto file = ::realpath(disk.c_str(), resolved) ? std::string(resolved) + "\n" : std::string();
  const auto block = TRY(TargetRoot::open("/sys/block"));
  for (const auto& name : block.list("/"))
    if (read_file("/sys/block/" + name + "/loop/backing_file").value_or("") == file && read_file("/sys/block/" + name + "/loop/offset") == "0\n")
      return "/dev/" + name;
  return std::unexpected(
      Error(ErrorKind::not_found, std::format("{} is attached to no loop device", disk)).advise("mount the target tree first: signet-agent mount"));
}

bool has_kernel(const TargetRoot& target) {
  for (const auto& name : target.list("/boot"))
    if (name.starts_with("vmlinuz") || name.starts_with("kernel-")) return true;
  return false;
}

Result<std::string> needed_tool(const TargetRoot& target, std::initializer_list<const char*> names) {
  for (const char* name : names)
    if (auto path = target.find_tool(name)) return *path;
  return std::unexpected(Error(ErrorKind::not_found, std::format("the image has no {}", *names.begin()))
                             .advise("put GRUB into the image (Debian: grub-pc or grub-efi-amd64), or set configure.boot_loader = \"none\""));
}

Result<> check_platform(const TargetRoot& target, Firmware firmware) {
  const bool efi = firmware == Firmware::efi;
  const auto* modules = efi ? "/usr/lib/grub/x86_64-efi" : "/usr/lib/grub/i386-pc";
  if (target.exists(modules)) return {};
  return std::unexpected(Error(ErrorKind::not_found, std::format("the image's GRUB is not for {}, which this machine starts by: it has no {}",
                                                                 efi ? "UEFI" : "BIOS", modules))
                             .advise(efi ? "put GRUB for UEFI into the image (Debian: grub-efi-amd64-bin; Fedora: grub2-efi-x64-modules)"
                                         : "put GRUB for BIOS into the image (Debian: grub-pc-bin; Fedora: grub2-pc-modules)"));
}

// Neither writes what firmware starts. For UEFI the loader goes where firmware looks when its variables are lost (UEFI 2.10 §3.5.1.1), but below a
// directory that firmware does not know yet; the boot entry is our work, not that of a tool which the image may lack. For BIOS the tool makes its
// core image and leaves it in /boot.
std::vector<std::string> install_command(const std::string& tool, const std::string& efi_directory, const std::string& device) {
  if (device.empty()) return {tool, "--target=x86_64-efi", "--efi-directory=" + efi_directory, "--removable", "--no-nvram", "--recheck"};
  return {tool, "--target=i386-pc", "--no-bootsector", "--no-floppy", "--recheck", device};
}

const PlannedDisk* planned_disk(const Plan& plan, const std::string& path) {
  for (const auto& planned : plan.disks)
    if (planned.disk.path == path) return &planned;
  return nullptr;
}

Result<GrubCore> read_core(const TargetRoot& target, const std::string& directory, const Plan& plan) {
  const auto* disk = planned_disk(plan, plan.boot_disk);
  if (!disk) return fail(ErrorKind::invalid, "the plan has no disk {}", plan.boot_disk);
  const auto boot = TRY(target.read(directory + "/i386-pc/boot.img"));
  const auto core = TRY(target.read(directory + "/i386-pc/core.img"));
  return place_grub(boot, core, TRY(grub_room(*disk)));
}

// That the menu exists, starts a kernel, and finds its root wherever the disk stands.
Result<> judge_menu(const TargetRoot& target, const std::string& path, const Plan& plan, Report& report) {
  const auto menu = TRY(target.read(path));
  if (!menu.contains("\n\tlinux") && !menu.contains("\nmenuentry") && !menu.contains("blscfg"))
    return std::unexpected(
        Error(ErrorKind::invalid, path + " has no entry that starts a kernel")
            .advise("the image's /etc/grub.d makes the entries; run `grub-mkconfig` in the golden system and look at what it finds"));
  const auto mounts = plan.mounts();
  if (!mounts.empty() && !menu.contains("root=UUID=" + mounts.front()->uuid) && !menu.contains("root=PARTUUID="))
    report.log("{} does not name the root file system by UUID; the disk must keep its name", path);
  return {};
}

}  // namespace

Result<std::optional<GrubCore>> install_boot_loader(const ConfigureInputs& inputs, Report& report) {
  if (inputs.plan.boot_loader != BootLoader::grub) return std::nullopt;
  const bool efi = inputs.plan.firmware == Firmware::efi;
  const auto target = TRY(TargetRoot::open(inputs.root));
  if (!has_kernel(target))
    return std::unexpected(
        Error(ErrorKind::not_found, "the image has no kernel in /boot").advise("an image for a disk needs a kernel (Debian: linux-image-amd64)"));
  const auto install = TRY(needed_tool(target, {"grub-install", "grub2-install"}));
  const auto make_config = TRY(needed_tool(target, {"grub-mkconfig", "grub2-mkconfig"}));
  TRY(check_platform(target, inputs.plan.firmware));
  if (const auto& more = inputs.profile.configure.kernel_args; !more.empty())
    TRY(target.write("/etc/default/grub", with_words(target.read("/etc/default/grub").value_or(""), "GRUB_CMDLINE_LINUX", more)));
  const std::string directory = target.exists("/boot/grub2") ? "/boot/grub2" : "/boot/grub";
  TRY(target.make_directories(directory));

  std::string efi_directory;
  if (efi) {
    const auto* esp = inputs.plan.esp();
    if (!esp) return fail(ErrorKind::invalid, "the plan has no EFI system partition");
    // Elsewhere the directory is mounted in the file system's place (TargetTree::mount()).
    efi_directory = hidden_by_mount(*esp) ? esp->mount : esp->mount + "/" + hidden_directory;
    TRY(target.make_directories(efi_directory));
  }
  const auto device = efi ? std::string() : TRY(boot_device(inputs.plan.boot_disk));
  const auto mounts = TRY(ChrootMounts::mount(inputs.root));
  report.log("writing {}/grub.cfg", directory);
  // os-prober would look for systems on every disk; this machine gets the one that it was given.
  TRY_WITHIN(run_tool(target, {make_config, "-o", directory + "/grub.cfg"}, {"GRUB_DISABLE_OS_PROBER=true"}), "GRUB");
  TRY_WITHIN(judge_menu(target, directory + "/grub.cfg", inputs.plan, report), "GRUB");
  report.log("installing GRUB on {}", inputs.plan.boot_disk);
  TRY_WITHIN(run_tool(target, install_command(install, efi_directory, device), {}, [&](std::string_view line) { report.log(line); }), "GRUB");
  if (efi) return std::nullopt;
  return TRY_WITHIN(read_core(target, directory, inputs.plan), "GRUB");
}

}  // namespace signet
