#include "agent/stages.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <format>

#include "agent/disks.h"
#include "agent/events.h"
#include "agent/failure.h"
#include "agent/finish_stage.h"
#include "agent/lookup.h"
#include "agent/overrides.h"
#include "agent/ssh_server.h"
#include "agent/state.h"
#include "agent/trusted_tree.h"
#include "base/fd.h"
#include "base/process.h"
#include "base/size.h"
#include "base/stop.h"
#include "base/text.h"
#include "base/uuid.h"
#include "configure/configure.h"
#include "configure/target_root.h"
#include "disk/disk.h"
#include "filesystem/filesystem.h"
#include "image/image.h"
#include "network/links.h"
#include "network/parameters.h"

namespace signet {
namespace {

// What is written to as a console must be one, and not a disk.
bool is_terminal(const std::string& path) {
  const auto fd = open_file(path, O_RDONLY | O_NOCTTY | O_NONBLOCK);
  return fd && ::isatty(fd->get()) == 1;
}

// local.cfg may lie on a stick that the kernel has yet to find; a medium of ours says signet.medium, so it is waited for.
Result<> load_local_config(Context& context) {
  constexpr auto slow_stick = std::chrono::seconds(15);
  const auto wait = context.machine.flag("medium") ? slow_stick : std::chrono::seconds(0);
  context.machine.local = TRY(find_local_config(wait, [&] { context.report.progress(0, std::nullopt, "waiting for the boot medium"); }));
  const auto& local = context.machine.local;
  if (!local) return {};
  context.report.log("{} says {} things", local->source, local->values.size());
  // The kernel's consoles are set by now; ours can still grow.
  const auto console = local->values.find("console");
  if (console == local->values.end()) return {};
  std::vector<std::string> more;
  const auto present = active_consoles();
  for (const auto word : split(console->second, ' ')) {
    auto path = "/dev/" + std::string(word.substr(0, word.find(',')));
    if (std::ranges::find(present, path) != present.end()) continue;
    if (is_terminal(path))
      more.push_back(std::move(path));
    else
      context.report.log("{}: `console`: {} is not a terminal", local->source, printable(path));
  }
  if (!more.empty()) context.report.add(console_sink(more));
  return {};
}

Result<std::string> network_stage(Context& context) {
  if (on_node()) TRY(load_local_config(context));
  auto options = TRY(network_options(context.machine));
  options.state = context.settings.state;
  context.lease = TRY(acquire_lease(options, context.report));
  const auto& lease = *context.lease;
  TRY(save_lease(context));
  return std::format("{} has {}/{}{}", lease.interface, lease.address, lease.prefix, lease.routers.empty() ? "" : " via " + lease.routers.front());
}

// A node that nobody can log in to is still a node that can be installed.
void start_ssh(Context& context) {
  const auto said = context.machine.setting("sshd");
  if (!said || said->value == "0") return;
  auto started = may_log_in(context, *said).and_then([&] { return start_ssh_server(context, said->value); });
  if (!started) context.report.log("no SSH server: {}", started.error().message());
}

Result<std::string> identify_stage(Context& context) {
  context.machine.links = scan_links();
  if (context.lease)
    if (std::ranges::none_of(context.machine.links, [&](const Link& link) { return link.name == context.lease->interface; }))
      context.machine.links.push_back(describe_link(context.lease->interface));
  TRY(check_names(context.machine));
  context.identity = identify(context.machine, context.lease);
  auto& identity = context.identity;
  TRY(apply_host(context.settings, identity));
  if (!context.settings.server.empty()) {
    auto server = context.settings.server;
    if (!server.ends_with('/')) server += '/';
    identity.server = TRY_WITHIN(parse_uri(server), "--server");
    identity.server_source = "--server";
  }
  if (on_node()) {
    auto servers = context.lease ? context.lease->ntp : std::vector<std::string>();
    if (identity.server) servers.push_back(identity.server->host());
    const auto any = context.machine.setting("clock");
    set_absurd_clock(servers, clock_limits(packed_manifest_serial(), any && any->value == "any"), context.report);
  }
  // From here on the server hears of it, should something be wrong.
  context.report.set_identity(identity.host_name, identity.uuid);
  if (on_node()) start_reporting(context);
  TRY(load_trust(context));
  TRY(name_from_hosts_file(context));
  for (const auto& clue : identity.clues)
    if (clue.skipped) context.report.log("{} is skipped: {}", clue.source, clue.value);
  context.report.set_identity(identity.host_name, identity.uuid);
  TRY(save_identity(context));
  if (on_node()) start_ssh(context);
  const auto name = identity.host_name.empty() ? std::string("no name") : std::format("{} (from {})", identity.host_name, identity.host_name_source);
  const auto server =
      identity.server ? std::format("server {} (from {})", identity.server->display(), identity.server_source) : std::string("no server");
  return name + ", " + server;
}

Result<std::string> profile_stage(Context& context) {
  TRY(find_profile(context));
  if (!context.script.empty()) return std::string("a host script");
  TRY(apply_overrides(context.settings, context.profile));
  TRY(save_profile(context));
  return std::format("{} disk{}, image {}", context.profile.disks.size(), context.profile.disks.size() == 1 ? "" : "s",
                     hide_secrets(context.profile.image.source));
}

Result<std::string> plan_stage(Context& context) {
  TRY(find_disks(context));
  std::optional<std::uint64_t> image_size;
  if (!context.profile.image.source.empty()) {
    const auto uri = TRY(parse_uri(context.profile.image.source));
    image_size = TRY_WITHIN(probe(uri, with_retries(context)), "image").size;
    context.profile.image.sha256 = TRY(image_statement(context, uri, context.profile.image.sha256, image_size)).sha256;
  }
  TRY(fetch_hooks(context));
  context.plan = TRY(make_plan({context.profile, context.machine, image_size, random_uuid, names_of_host(context), context.settings.targets}));
  context.have_plan = true;
  TRY(save_plan(context));
  if (!context.settings.print_plan) context.report.log(context.plan.text());
  return std::string("everything is possible; nothing has been changed yet");
}

Result<std::string> pre_install_stage(Context& context) {
  for (const auto& hook : context.pre_install) {
    context.report.log("running {}", hook.name);
    const auto completed = TRY_WITHIN(run({
                                          .arguments = {"sh", "-s"},
                                          .environment = script_environment(context),
                                          .input = hook.text,
                                          .time_limit = context.profile.hooks.timeout,
                                          .end_group = true,
                                          .on_line = [&](std::string_view line) { context.report.log(line); },
                                      }),
                                      "pre_install hook " + hook.name);
    if (completed.status != 0)
      return fail(ErrorKind::io, "pre_install hook {}: exit status {}: {}", hook.name, completed.status, completed.last_lines());
  }
  return std::format("{} hook{}", context.pre_install.size(), context.pre_install.size() == 1 ? "" : "s");
}

Result<std::string> partition_stage(Context& context) {
  TRY(unmount_below(context.settings.root));
  TRY(check_disks_again(context));
  std::size_t partitions = 0;
  std::vector<std::string> old_partitions;
  for (const auto& planned : context.plan.disks) {
    partitions += planned.partitions.size();
    if (!planned.disk.is_file) old_partitions.append_range(partition_guids(planned.disk.path));
  }
  TRY(partition_disks(context.plan, context.report));
  // What starts a system that is gone is in the way of the network.
  if (auto removed = forget_boot_entries(old_partitions); !removed)
    context.report.log("UEFI boot entries of what was there not removed: {}", removed.error().message());
  else if (*removed != 0)
    context.report.log("{} UEFI boot entr{} of what was there removed", *removed, *removed == 1 ? "y" : "ies");
  return std::format("{} partition{} on {} disk{}", partitions, partitions == 1 ? "" : "s", context.plan.disks.size(),
                     context.plan.disks.size() == 1 ? "" : "s");
}

Result<std::string> format_stage(Context& context) {
  TRY(unmount_below(context.settings.root));
  TRY(format_partitions(context.plan, context.report));
  return std::string();
}

Result<std::string> mount_stage(Context& context) {
  TRY(unmount_below(context.settings.root));
  auto tree = TRY(TargetTree::mount(context.plan, context.settings.root));
  tree.release();
  std::string places;
  for (const auto* partition : context.plan.mounts()) places += (places.empty() ? "" : ", ") + partition->device + " on " + partition->mount;
  return places;
}

Result<std::string> pull_stage(Context& context) {
  // The flags have been put over the profile; a plan alone knows its image too.
  const bool from_plan = context.profile.image.source.empty();
  const auto& source_text = from_plan ? context.plan.image_source : context.profile.image.source;
  const auto& given = from_plan ? context.plan.image_sha256 : context.profile.image.sha256;
  if (source_text.empty())
    return std::unexpected(Error(ErrorKind::usage, "no image is named").advise("give --source URI, or image.source in the profile"));
  const auto uri = TRY(parse_uri(source_text));
  const bool planned = context.have_plan && source_text == context.plan.image_source;
  const auto [sha256, size] = TRY(image_statement(context, uri, given, planned ? context.plan.image_size : std::nullopt));
  struct stat status{};
  if (::stat(context.settings.root.c_str(), &status) != 0 || !S_ISDIR(status.st_mode))
    return std::unexpected(Error(ErrorKind::not_found, std::format("{} is not a directory", context.settings.root))
                               .advise("run `signet-agent mount` first, or name a directory with --root"));

  auto options = with_retries(context);
  options.announced = size;
  auto source = TRY(open_source(uri, options));
  const auto total = source->size();
  context.report.log("{}{}: first bytes are here", uri.display(), total ? " (" + format_size(*total) + ")" : "");
  std::uint64_t pulled = 0;
  source = count_bytes(std::move(source), [&](std::uint64_t bytes) {
    pulled = bytes;
    context.report.progress(bytes, total);
  });
  if (!sha256.empty()) source = verify_sha256(std::move(source), sha256, uri.display());
  const auto tree = TRY(write_tree(std::move(source), context.settings.root));
  if (!tree.filtered) context.report.log("this kernel has no seccomp: the decoder ran without a filter of system calls");
  return std::format("{} members, {} written from {}{}", tree.members, format_size(tree.bytes), format_size(pulled),
                     sha256.empty() ? "" : ", SHA-256 is right");
}

Result<std::string> configure_stage(Context& context) {
  const auto inputs = configure_inputs(context);
  TRY(configure_target(inputs, context.report));
  return inputs.host_name.empty() ? std::string() : "as " + inputs.host_name;
}

Result<std::string> post_install_stage(Context& context) {
  for (const auto& hook : context.post_install) {
    context.report.log("running {} in the target", hook.name);
    TRY(run_in_target(context.settings.root, hook.name, hook.text, script_environment(context), context.profile.hooks.timeout, context.report));
  }
  return std::format("{} hook{}", context.post_install.size(), context.post_install.size() == 1 ? "" : "s");
}

constexpr Stage all_stages[] = {
    {"network", "bring the links up and get a DHCP lease", network_stage},
    {"identify", "find out which host this is and which server it asks", identify_stage},
    {"profile", "fetch and check the host's profile", profile_stage},
    {"plan", "decide everything, print it, change nothing", plan_stage},
    {"pre-install", "run the pre_install hooks", pre_install_stage},
    {"partition", "wipe the planned disks and write their partition tables", partition_stage},
    {"format", "make the file systems", format_stage},
    {"mount", "mount the target tree", mount_stage},
    {"pull", "download, verify and unpack the image into the target tree", pull_stage},
    {"configure", "make the image this host's own system", configure_stage},
    {"post-install", "run the post_install hooks inside the target", post_install_stage},
    {"finish", "install the boot loader, unmount, mark the disks complete, act", finish_stage},
};

}  // namespace

std::span<const Stage> stages() { return all_stages; }

const Stage* find_stage(std::string_view name) {
  for (const auto& stage : all_stages)
    if (stage.name == name) return &stage;
  return nullptr;
}

Result<> run_stage(const Stage& stage, Context& context) {
  context.report.start(stage.name);
  if (auto noted = write_file(context.state_file("stage"), std::string(stage.name) + "\n", 0600); !noted)
    context.report.log("{}", noted.error().message());
  auto summary = check_stop().and_then([&] { return stage.run(context); });
  // Not every stage looks while it works. An install that is complete is not taken back.
  if (const auto stopped = check_stop(); summary && !stopped && stage.name != "finish") summary = std::unexpected(stopped.error());
  note_stop(context);
  if (summary)
    context.report.done(*summary);
  else
    context.report.failed(summary.error());
  if (const auto times = context.report.timeline(); !times.empty())
    if (auto noted = append_timeline(context, times.back()); !noted) context.report.log("{}", noted.error().message());
  if (!summary) return std::unexpected(std::move(summary).error());
  return {};
}

Result<> resume(Context& context) {
  load_identity(context);
  context.report.set_identity(context.identity.host_name, context.identity.uuid);
  context.profile = TRY(load_profile(context));
  TRY(apply_overrides(context.settings, context.profile));
  context.plan = TRY(load_plan(context));
  context.have_plan = true;
  return {};
}

}  // namespace signet
