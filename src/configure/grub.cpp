// GRUB for BIOS, by the image's own tools.
#include <sys/stat.h>
#include <unistd.h>

#include <chrono>
#include <format>

#include "base/process.h"
#include "base/text.h"
#include "configure/configure.h"
#include "configure/steps.h"

namespace signet {
namespace {

constexpr auto tool_limit = std::chrono::minutes(10);

// No udev runs here, so the links are made by hand: without /dev/disk/by-uuid, grub-mkconfig writes root=/dev/sda2 instead of a UUID.
Result<> link_by_uuid(const TargetRoot& target, const Plan& plan) {
  TRY(target.make_directories("/dev/disk/by-uuid"));
  for (const auto& disk : plan.disks)
    for (const auto& partition : disk.partitions)
      if (!partition.uuid.empty() && !partition.in_file && !target.exists("/dev/disk/by-uuid/" + partition.uuid))
        TRY(target.link("/dev/disk/by-uuid/" + partition.uuid, "../../" + partition.device.substr(partition.device.rfind('/') + 1)));
  return {};
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
                             .advise("put GRUB for BIOS into the image (Debian: grub-pc), or set configure.boot_loader = \"none\""));
}

}  // namespace

Result<> install_boot_loader(const ConfigureInputs& inputs, Report& report) {
  if (inputs.plan.boot_loader != BootLoader::grub) return {};
  const auto target = TRY(TargetRoot::open(inputs.root));
  if (!has_kernel(target))
    return std::unexpected(
        Error(ErrorKind::not_found, "the image has no kernel in /boot").advise("an image for a disk needs a kernel (Debian: linux-image-amd64)"));
  const auto install = TRY(needed_tool(target, {"grub-install", "grub2-install"}));
  const auto make_config = TRY(needed_tool(target, {"grub-mkconfig", "grub2-mkconfig"}));
  const auto mounts = TRY(ChrootMounts::mount(inputs.root));
  TRY(link_by_uuid(target, inputs.plan));

  const bool grub2 = target.exists("/boot/grub2");
  const std::string directory = grub2 ? "/boot/grub2" : "/boot/grub";
  if (const auto& more = inputs.profile.configure.kernel_args; !more.empty())
    TRY(target.write("/etc/default/grub", with_setting(target.read("/etc/default/grub").value_or(""), "GRUB_CMDLINE_LINUX", shell_quote(more))));
  const auto log = [&](std::string_view line) { report.log(line); };
  TRY(target.make_directories(directory));
  report.log("writing {}/grub.cfg", directory);
  TRY_WITHIN(run_checked({.arguments = {make_config, "-o", directory + "/grub.cfg"},
                          .environment = {"GRUB_DISABLE_OS_PROBER=true"},
                          .root = inputs.root,
                          .time_limit = tool_limit}),
             "GRUB");
  report.log("installing GRUB on {}", inputs.plan.boot_disk);
  TRY_WITHIN(run_checked({.arguments = {install, "--target=i386-pc", "--no-floppy", "--recheck", inputs.plan.boot_disk},
                          .root = inputs.root,
                          .time_limit = tool_limit,
                          .on_line = log}),
             "GRUB");
  return {};
}

}  // namespace signet
