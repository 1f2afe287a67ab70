#include "agent/finish_stage.h"

#include <fcntl.h>
#include <unistd.h>

#include <algorithm>
#include <ctime>
#include <format>

#include "agent/finish.h"
#include "agent/installed.h"
#include "base/fd.h"
#include "configure/target_root.h"
#include "disk/disk.h"
#include "disk/first_sector.h"
#include "filesystem/esp.h"
#include "machine/mark.h"

namespace signet {
namespace {

// The events of the install, kept in the installed system for whoever asks later how it came to be.
Result<> keep_log(const Context& context) {
  const auto events = read_file(context.state_file("events.jsonl"), 64 << 20);
  if (!events) return {};
  const auto target = TRY(TargetRoot::open(context.settings.root));
  constexpr const char* kept = "/var/log/signet/events.jsonl";
  TRY(target.make_directories("/var/log/signet", 0700));
  // Something else of that name in the image, such as a FIFO, makes way.
  if (const auto status = target.status(kept); status && !S_ISREG(status->st_mode)) TRY(target.remove(kept));
  return target.write(kept, *events, 0600);
}

// What its file systems and we have written to the disk itself, and the disk's own cache.
Result<> sync_disk(const std::string& disk) {
  const Fd fd = TRY(open_file(disk, O_RDONLY));
  if (::fsync(fd.get()) != 0) return fail_errno("sync {}", disk);
  return {};
}

Result<> sync_disks(const Plan& plan) {
  for (const auto& planned : plan.disks) TRY(sync_disk(planned.disk.path));
  return {};
}

// The devices of the target's file systems. Unmounting writes once more and tells nobody what came of it; a descriptor that was opened before is
// told.
class Devices {
 public:
  static Result<Devices> watch(const Plan& plan) {
    Devices watched;
    for (const auto* partition : plan.mounts())
      if (!partition->in_file) watched.open_.emplace_back(partition->device, TRY(open_file(partition->device, O_RDONLY)));
    return watched;
  }
  Result<> sync() const {
    for (const auto& [device, fd] : open_)
      if (::fsync(fd.get()) != 0) return fail_errno("sync {}", device);
    return {};
  }

 private:
  std::vector<std::pair<std::string, Fd>> open_;
};

enum class State { begun, opening, complete };

// The boot disk's first: by it a node that was cut tells whether there is a system to start.
Result<> write_marks(const Context& context, State state) {
  const auto& plan = context.plan;
  const auto digests = digests_of(context);
  auto disks = plan.disks;
  std::ranges::stable_partition(disks, [&](const PlannedDisk& each) { return each.disk.path == plan.boot_disk; });
  for (const auto& planned : disks) {
    const Fd disk = TRY(open_planned(planned));
    const Mark mark{.version = SIGNET_VERSION,
                    .host = plan.host(),
                    .table = planned.table_uuid,
                    .time = std::time(nullptr),
                    .complete = state == State::complete,
                    .profile_sha256 = digests.profile,
                    .image_sha256 = digests.image,
                    .opening = state != State::opening          ? Opening::no
                               : plan.firmware == Firmware::efi ? Opening::efi
                                                                : Opening::bios};
    TRY_WITHIN(write_mark(disk.get(), mark), planned.disk.path);
  }
  return {};
}

// The core image, synced, and only then the code that loads it.
Result<> write_grub(const PlannedDisk& planned, const GrubCore& grub) {
  const auto& disk = planned.disk.path;
  const Fd fd = TRY(open_planned(planned));
  TRY_WITHIN(write_all_at(fd.get(), std::as_bytes(std::span(grub.core)), grub.offset), "write GRUB's core image to " + disk);
  if (::fsync(fd.get()) != 0) return fail_errno("sync GRUB's core image on {}", disk);
  TRY_WITHIN(write_boot_code(fd.get(), grub.code), disk);
  return {};
}

class Opener {
 public:
  Opener(Context& context, const ConfigureInputs& inputs, std::string system) : context_(context), inputs_(inputs), system_(std::move(system)) {}

  Result<> open(const std::optional<GrubCore>& grub) {
    auto opened = try_to_open(grub);
    if (!opened) close();
    return opened;
  }

 private:
  std::string scratch() const { return context_.state_file("esp"); }

  Result<> try_to_open(const std::optional<GrubCore>& grub) {
    const auto& plan = context_.plan;
    if (plan.boot_loader != BootLoader::none) TRY(write_marks(context_, State::opening));
    TRY(publish_esps(plan, scratch()));
    TRY(sync_disks(plan));
    for (const auto& planned : plan.disks)
      if (grub && planned.disk.path == plan.boot_disk) TRY(write_grub(planned, *grub));
    TRY(write_marks(context_, State::complete));
    // The loader lies where firmware looks for it anyway, so a firmware that takes no entry costs an install nothing.
    if (auto set = set_boot_entry(inputs_, system_, context_.report); !set)
      context_.report.log("UEFI boot order not changed: {}", set.error().message());
    return {};
  }

  // Each on its own: what can be taken back of a disk that fails is taken back.
  void close() {
    const auto& plan = context_.plan;
    const auto note = [&](const Result<>& done) {
      if (!done) context_.report.log("make {} not bootable: {}", plan.boot_disk, done.error().message());
    };
    if (plan.boot_loader == BootLoader::grub && plan.firmware == Firmware::bios) note(close_first_sector(plan.boot_disk));
    note(hide_esps(plan, scratch()));
    for (const auto& planned : plan.disks)
      if (!planned.disk.is_file)
        if (auto removed = forget_boot_entries(partition_guids(planned.disk.path)); !removed) note(std::unexpected(removed.error()));
    note(write_marks(context_, State::begun));
    note(sync_disks(plan));
  }

  Context& context_;
  const ConfigureInputs& inputs_;
  std::string system_;
};

}  // namespace

ConfigureInputs configure_inputs(const Context& context) {
  const auto& wanted = context.profile.network.hostname;
  return {.root = context.settings.root,
          .profile = context.profile,
          .plan = context.plan,
          .host_name = wanted.empty() ? context.identity.full_name() : wanted};
}

Result<std::string> finish_stage(Context& context) {
  const auto inputs = configure_inputs(context);
  const auto& root = context.settings.root;
  if (auto kept = keep_log(context); !kept) context.report.log("keep the log in the target: {}", kept.error().message());
  std::optional<GrubCore> grub;
  const auto devices = TRY(Devices::watch(context.plan));
  {
    const auto written = TRY(Writeback::watch(root));
    TRY(written.sync());
    grub = TRY(install_boot_loader(inputs, context.report));
    TRY(written.sync());
  }
  TRY(sync_disks(context.plan));
  auto system = system_name(root);
  if (on_node() && success_action(context) == FinishAction::kexec) TRY(load_kexec(context));
  TRY(unmount_below(root));
  TRY(devices.sync());
  TRY(Opener(context, inputs, std::move(system)).open(grub));
  return std::format("{} is complete", inputs.host_name.empty() ? "this host" : inputs.host_name);
}

}  // namespace signet
