#include "agent/verbs.h"

#include <fcntl.h>
#include <signal.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <chrono>
#include <cstdio>
#include <format>

#include "agent/context.h"
#include "agent/failure.h"
#include "agent/finish.h"
#include "agent/install.h"
#include "agent/local_start.h"
#include "agent/lookup.h"
#include "agent/options.h"
#include "agent/overrides.h"
#include "agent/script.h"
#include "agent/ssh_server.h"
#include "agent/stages.h"
#include "agent/state.h"
#include "agent/tools.h"
#include "agent/trusted_tree.h"
#include "base/duration.h"
#include "base/fd.h"
#include "base/size.h"
#include "base/stop.h"
#include "base/text.h"
#include "configure/inside.h"
#include "image/decoder.h"
#include "machine/settings.h"
#include "machine/systems.h"
#include "profile/words.h"

namespace signet {
namespace {

// The disk that the flags are at: one begins when one is chosen after the partitions of another.
DiskFlags& this_disk(Settings& settings) {
  if (settings.disks.empty()) settings.disks.emplace_back();
  return settings.disks.back();
}
DiskFlags& begin_disk(Settings& settings) {
  if (!settings.disks.empty() && !settings.disks.back().partitions.empty()) settings.disks.emplace_back();
  return this_disk(settings);
}

// Options, each once; the verbs below name those that they take.
#define SIGNET_OPTION(variable, name, argument, help, field) \
  constexpr Option variable = {{name, argument, help}, [](Settings& settings, [[maybe_unused]] const char* value) { field; }}

SIGNET_OPTION(opt_profile, "profile", "URI", "profile or host script, a path or URI; else looked up on the server", settings.profile = value);
SIGNET_OPTION(opt_target, "target", "DISK", "disk or image file to install to, repeatable; else this node's disks",
              settings.targets.emplace_back(value));
SIGNET_OPTION(opt_root, "root", "DIR", "where the target tree is mounted ($SIGNET_ROOT, /target)", settings.root = value);
SIGNET_OPTION(opt_state, "state", "DIR", "where verbs leave things for each other ($SIGNET_STATE, /run/signet)", settings.state = value);
SIGNET_OPTION(opt_server, "server", "URI", "the server, instead of signet.server and DHCP", settings.server = value);
SIGNET_OPTION(opt_host, "host", "NAME", "this host's name, instead of signet.host and DHCP", settings.host = value);
SIGNET_OPTION(opt_trust, "trust", "FILE", "public keys (PEM); only what a signed manifest lists is used, as with signet.trust",
              settings.trust = value);
SIGNET_OPTION(opt_from, "from", "STAGE", "go on with this stage, with the saved profile and plan", settings.from = value);
SIGNET_OPTION(opt_install, "install", "WHEN", "once, when-changed or always: what to do where this host's system is installed, as signet.install",
              settings.install = value);
SIGNET_OPTION(opt_quiet, "quiet", nullptr, "say nothing but errors", settings.quiet = true);
SIGNET_OPTION(opt_planned, "planned", nullptr, "carry out the plan that `signet-agent plan` has saved", settings.planned = true);
SIGNET_OPTION(opt_id, "id", "NAME", "begins a disk and names it; so do --disk and --match after a --partition", begin_disk(settings).id = value);
SIGNET_OPTION(opt_disk, "disk", "PATH", "the disk, by its path", begin_disk(settings).path = value);
SIGNET_OPTION(opt_match, "match", "K=V,...", "the disk, by path wwn serial model size transport rotational index",
              begin_disk(settings).match = value);
SIGNET_OPTION(opt_wipe, "wipe", "RULE", "blank: only an empty disk; signet: or this host's; signet-any: or any host's; any",
              this_disk(settings).wipe = value);
SIGNET_OPTION(opt_table, "table", "TYPE", "gpt (default) or mbr", this_disk(settings).table = value);
SIGNET_OPTION(opt_partition, "partition", "K=V,...", "name=root,size=rest,type=linux,format=ext4,mount=/ ; repeatable, in order",
              this_disk(settings).partitions.emplace_back(value));
SIGNET_OPTION(opt_pre_install, "pre-install", "URI", "a hook for `signet-agent pre-install`; repeatable", settings.pre_install.emplace_back(value));
SIGNET_OPTION(opt_post_install, "post-install", "URI", "a hook for `signet-agent post-install`; repeatable",
              settings.post_install.emplace_back(value));
SIGNET_OPTION(opt_hook_timeout, "hook-timeout", "TIME", "longest time for each hook (30min)", settings.hook_timeout = value);
SIGNET_OPTION(opt_boot_loader, "boot-loader", "NAME", "automatic (default), grub or none", settings.boot_loader = value);
SIGNET_OPTION(opt_boot_order, "boot-order", "ORDER", "UEFI: disk-first (default) or keep", settings.boot_order = value);
SIGNET_OPTION(opt_settings, "settings", "FILE", "[network] and [configure] of a profile; - is standard input", settings.rest = value);
SIGNET_OPTION(opt_source, "source", "URI", "the image", settings.source = value);
SIGNET_OPTION(opt_sha256, "sha256", "HEX", "SHA-256 of the image as stored", settings.sha256 = value);
SIGNET_OPTION(opt_hostname, "hostname", "NAME", "host name of the installed system", settings.hostname = value);
SIGNET_OPTION(opt_timezone, "timezone", "ZONE", "such as Europe/Berlin", settings.timezone = value);
SIGNET_OPTION(opt_kernel_args, "kernel-args", "TEXT", "more words for the installed kernel's command line", settings.kernel_args = value);
SIGNET_OPTION(opt_root_password, "root-password", "HASH", "root's password as crypt(5) has it", settings.root_password = value);
SIGNET_OPTION(opt_ssh_key, "ssh-key", "KEY", "a public key that may log in as root; repeatable", settings.ssh_keys.emplace_back(value));
SIGNET_OPTION(opt_on_success, "on-success", "ACTION", "reboot poweroff halt kexec shell beep", settings.on_success = value);
SIGNET_OPTION(opt_on_failure, "on-failure", "ACTION", "the same, for an install that failed", settings.on_failure = value);
SIGNET_OPTION(opt_deadline, "deadline", "TIME", "longest time for the whole install, as signet.deadline (12h)", settings.deadline = value);
SIGNET_OPTION(opt_status, "status", "NUMBER", "the exit status that a shell saw: 128 and the signal", settings.status = value);
SIGNET_OPTION(opt_key, "key", "KEY", "who may log in, as signet.sshd", settings.key = value);
SIGNET_OPTION(opt_type, "type", "TYPE", "make one file system without a plan: ext2 ext3 ext4 vfat swap", settings.type = value);
SIGNET_OPTION(opt_path, "path", "PATH", "  … there, a partition or an image file", settings.path = value);
SIGNET_OPTION(opt_offset, "offset", "SIZE", "  … this far into an image file", settings.offset = value);
SIGNET_OPTION(opt_size, "size", "SIZE", "  … so large (to the end)", settings.size = value);
SIGNET_OPTION(opt_compat, "compat", "YEAR", "  … of ext4: 2018 (default), 2022 or newest", settings.compat = value);
SIGNET_OPTION(opt_label, "label", "TEXT", "  … with this label", settings.label = value);
SIGNET_OPTION(opt_uuid, "uuid", "UUID", "  … with this UUID (a fresh one)", settings.uuid = value);
#undef SIGNET_OPTION

constexpr const Option* install_options[] = {&opt_profile, &opt_server,   &opt_host,  &opt_target,     &opt_root,       &opt_state, &opt_from,
                                             &opt_install, &opt_deadline, &opt_trust, &opt_on_success, &opt_on_failure, &opt_quiet};
constexpr const Option* find_options[] = {&opt_profile, &opt_server, &opt_host, &opt_trust, &opt_target, &opt_state, &opt_quiet};
#define SIGNET_PLAN_OPTIONS                                                                                                                     \
  &opt_profile, &opt_target, &opt_id, &opt_disk, &opt_match, &opt_wipe, &opt_table, &opt_partition, &opt_source, &opt_sha256, &opt_boot_loader, \
      &opt_pre_install, &opt_post_install, &opt_hook_timeout, &opt_on_failure, &opt_trust, &opt_server, &opt_host, &opt_root, &opt_state, &opt_quiet
constexpr const Option* plan_options[] = {SIGNET_PLAN_OPTIONS};
constexpr const Option* partition_options[] = {&opt_planned, SIGNET_PLAN_OPTIONS};
#undef SIGNET_PLAN_OPTIONS
constexpr const Option* format_options[] = {&opt_type,  &opt_path, &opt_offset, &opt_size,  &opt_compat,
                                            &opt_label, &opt_uuid, &opt_root,   &opt_state, &opt_quiet};
constexpr const Option* hook_options[] = {&opt_trust, &opt_root, &opt_state, &opt_quiet};
constexpr const Option* tool_options[] = {&opt_server, &opt_state, &opt_quiet};
constexpr const Option* sshd_options[] = {&opt_key, &opt_server, &opt_trust, &opt_state, &opt_quiet};
constexpr const Option* tree_options[] = {&opt_root, &opt_state, &opt_quiet};
constexpr const Option* pull_options[] = {&opt_source, &opt_sha256, &opt_trust, &opt_root, &opt_state, &opt_quiet};
constexpr const Option* configure_options[] = {&opt_settings,    &opt_hostname, &opt_timezone, &opt_ssh_key, &opt_root_password,
                                               &opt_kernel_args, &opt_root,     &opt_state,    &opt_quiet};
constexpr const Option* finish_options[] = {&opt_on_success, &opt_boot_order, &opt_root, &opt_state, &opt_quiet};
constexpr const Option* failed_options[] = {&opt_status, &opt_root, &opt_state, &opt_quiet};
constexpr const Option* network_options[] = {&opt_state, &opt_quiet};

int exit_status(const Error& error) { return error.kind() == ErrorKind::usage ? 2 : 1; }

int complain(const Error& error) {
  print_error(error);
  return exit_status(error);
}

// Says that a stage failed, for the parent of a script and for the shell that opens then. Without a console a person still reads why.
int note_failure(Context& context, const Error& error) {
  if (context.settings.quiet) complain(error);
  write_failure(context, error);
  clean_up_after_stop(context);
  return status_after_stop(context, exit_status(error));
}

// The end of a verb that failed. What a stage has reported is not said again.
int end_with(Context& context, const Error& error) {
  const auto times = context.report.timeline();
  if (!context.settings.quiet && (times.empty() || !times.back().failed)) complain(error);
  return note_failure(context, error);
}

int run_one(const char* name, Context& context) {
  if (auto ran = run_stage(*find_stage(name), context); !ran) return note_failure(context, ran.error());
  return 0;
}

void known_machine(Context& context) {
  context.machine = scan_machine();
  if (on_node())
    if (auto local = find_local_config({}, {})) context.machine.local = std::move(*local);
}

// Words of the kernel command line that mean nothing would be passed over in silence.
void check_settings(Context& context) {
  for (const auto& mistake : mistakes_in(context.machine.command_line)) context.report.log("{}; it is ignored", mistake);
}

// signet.deadline or --deadline; 12 h unless said. From then on the whole install is bounded.
Result<> begin_deadline(const Context& context) {
  constexpr auto otherwise = std::chrono::hours(12);
  const auto said = context.machine.setting("deadline");
  const auto& option = context.settings.deadline;
  const auto text = !option.empty() ? option : said ? said->value : "";
  const auto limit = text == "no" ? std::chrono::seconds(0) : parse_duration(text).value_or(otherwise);
  if (!option.empty() && text != "no" && !parse_duration(text))
    return fail(ErrorKind::usage, "--deadline: `{}` is not a time such as 90s, 30min or 12h, or no", printable(option));
  set_deadline(limit);
  return {};
}

int verb_install(Context& context) {
  known_machine(context);
  if (auto begun = begin_deadline(context); !begun) return complain(begun.error());
  check_settings(context);
  if (!context.settings.from.empty() && !find_stage(context.settings.from)) {
    std::string names;
    for (const auto& stage : stages()) names.append(names.empty() ? "" : " ").append(stage.name);
    return complain(
        Error(ErrorKind::usage, std::format("--from: there is no stage `{}`", printable(context.settings.from))).advise("the stages are: " + names));
  }
  arm_watchdog(context);
  return install(context);
}

// Run by the initrd's start script when the agent was killed.
int verb_failed(Context& context) {
  known_machine(context);
  const auto status = parse_unsigned(context.settings.status);
  if (!status || *status > 255)
    return complain(Error(ErrorKind::usage, "failed: --status needs the exit status that the shell saw").advise("such as 137 for SIGKILL"));
  return clean_up_killed(context, static_cast<int>(*status));
}

int verb_network(Context& context) {
  known_machine(context);
  return run_one("network", context);
}

int verb_identify(Context& context) {
  known_machine(context);
  load_lease(context);
  if (auto ran = run_stage(*find_stage("identify"), context); !ran) return note_failure(context, ran.error());
  auto& identity = context.identity;
  const auto show = [](const char* name, const std::string& value, const std::string& source) {
    std::printf("%-8s %s%s\n", name, value.empty() ? "-" : value.c_str(), source.empty() ? "" : std::format("  (from {})", source).c_str());
  };
  show("host", identity.host_name, identity.host_name_source);
  show("server", identity.server ? identity.server->display() : "", identity.server_source);
  show("uuid", identity.uuid, "");
  show("mac", identity.mac, "");
  show("address", identity.address, "");
  const auto found = find_profile(context);
  std::printf("\n  %-9s %-44s  %s\n", "wanted", "asked", "answer");
  for (const auto& clue : identity.clues)
    std::printf("%s %-9s %-44s  %s%s\n", clue.won ? ">" : " ", clue.wanted.c_str(), clue.source.c_str(), clue.skipped ? "skipped: " : "",
                clue.value.empty() ? "-" : clue.value.c_str());
  if (const auto installed = installed_text(context); !installed.empty()) std::printf("\n%s", installed.c_str());
  if (!found) return complain(found.error());
  return 0;
}

// What a setting is, for scripts: its value on standard output; status 1 if nobody has said it. Without a name all of them, as lines for a shell.
int verb_setting(Context& context) {
  known_machine(context);
  const auto value = [&](std::string_view name) -> std::optional<std::string> {
    if (name == "shell") return context.machine.shells_allowed() ? "yes" : "no";
    const auto found = context.machine.setting(name);
    if (!found) return std::nullopt;
    return found->value.empty() ? "1" : found->value;
  };
  const auto& words = context.settings.words;
  if (words.size() > 1) return complain(Error(ErrorKind::usage, "setting: takes one name, such as server or debug"));
  if (words.empty()) {
    for (const auto& rule : known_settings())
      if (const auto said = value(rule.name)) {
        std::string name(rule.name);
        std::ranges::replace(name, '-', '_');
        std::printf("setting_%s=%s\n", name.c_str(), shell_quote(*said).c_str());
      }
    return 0;
  }
  const auto said = value(words.front());
  if (!said) return 1;
  std::printf("%s\n", said->c_str());
  return 0;
}

// Server and address, from what earlier verbs have left or from the lease.
Result<> know_host(Context& context) {
  known_machine(context);
  load_lease(context);
  load_identity(context);
  const auto& server = context.settings.server;
  if (server.empty()) {
    if (!context.identity.server) context.identity = identify(context.machine, context.lease);
    return {};
  }
  context.identity.server = TRY_WITHIN(parse_uri(server.ends_with('/') ? server : server + "/"), "--server");
  return {};
}

// For signet-rescue: "DEVICE TYPE OPTIONS" for each file system that may be a system's, and why others are left alone.
int verb_systems(Context& context) {
  const auto show = [](const FoundFileSystem& each) { std::printf("%s %s %s\n", each.device.c_str(), each.type.c_str(), each.options.c_str()); };
  const auto& words = context.settings.words;
  if (words.size() > 1) return complain(Error(ErrorKind::usage, "systems: takes one device"));
  if (!words.empty()) {
    const auto found = look_into(words.front());
    if (!found) return complain(found.error());
    show(*found);
    return 0;
  }
  const auto found = find_systems();
  for (const auto& each : found.systems) show(each);
  for (const auto& each : found.skipped) std::fprintf(stderr, "signet-agent: %s\n", each.why.c_str());
  return 0;
}

int verb_tool(Context& context) {
  if (context.settings.words.size() != 1) return complain(Error(ErrorKind::usage, "tool: name one, such as dropbear"));
  if (auto known = know_host(context); !known) return complain(known.error());
  if (auto trusted = load_trust(context); !trusted) return complain(trusted.error());
  const auto path = provide_tool(context, context.settings.words.front());
  if (!path) return complain(path.error());
  std::printf("%s\n", path->c_str());
  return 0;
}

int verb_sshd(Context& context) {
  if (!on_node())
    return complain(Error(ErrorKind::refused, "sshd: this is not a node that netbooted Signet").advise("use this system's own SSH server"));
  if (auto known = know_host(context); !known) return complain(known.error());
  if (auto trusted = load_trust(context); !trusted) return complain(trusted.error());
  const auto said = context.machine.setting("sshd");
  if (context.settings.key.empty() && !said) return complain(Error(ErrorKind::usage, "sshd: --key is missing, and signet.sshd is not set"));
  if (context.settings.key.empty())
    if (auto allowed = may_log_in(context, *said); !allowed) return complain(allowed.error());
  if (auto started = start_ssh_server(context, context.settings.key.empty() ? said->value : context.settings.key); !started)
    return complain(started.error());
  return 0;
}

Result<> find(Context& context, std::string_view last) {
  known_machine(context);
  load_lease(context);
  for (const auto& stage : stages()) {
    if (stage.name != "network") TRY(run_stage(stage, context));
    if (stage.name == "profile" && !context.script.empty())
      return std::unexpected(Error(ErrorKind::invalid, std::format("{} is a host script; it has no profile and no plan", context.script_name))
                                 .advise("run it with sh, or write a profile"));
    if (stage.name == last) break;
  }
  return {};
}

int verb_profile(Context& context) {
  if (auto found = find(context, "profile"); !found) return end_with(context, found.error());
  std::printf("%s", to_toml(context.profile).c_str());
  return 0;
}

// Profile and plan. With flags for disks no profile is asked for.
Result<> make_the_plan(Context& context) {
  const auto& settings = context.settings;
  if (settings.disks.empty()) return find(context, "plan");
  known_machine(context);
  load_identity(context);
  TRY(apply_host(settings, context.identity));
  TRY(save_identity(context));
  TRY(load_trust(context));
  context.report.set_identity(context.identity.host_name, context.identity.uuid);
  if (!settings.profile.empty()) TRY(find_profile(context));
  TRY(apply_overrides(settings, context.profile));
  TRY(save_profile(context));
  return run_stage(*find_stage("plan"), context);
}

int verb_plan(Context& context) {
  context.settings.print_plan = true;
  const auto made = make_the_plan(context);
  const auto installed = installed_text(context);
  if (!made) {
    std::printf("%s", installed.c_str());
    return end_with(context, made.error());
  }
  std::printf("%s\n%s", context.plan.text().c_str(), installed.c_str());
  return 0;
}

int verb_script(Context& context) {
  if (auto found = find(context, "profile"); !found) return end_with(context, found.error());
  std::printf("%s", to_script(context.profile, context.profile_name).c_str());
  return 0;
}

Result<> partition(Context& context) {
  if (context.settings.planned) {
    // What the plan was made of cannot be changed behind its back.
    const auto& also = context.settings;
    if (!also.disks.empty() || !also.targets.empty() || !also.profile.empty() || also.source || also.sha256 || also.boot_loader)
      return fail(ErrorKind::usage, "partition: --planned takes no profile, disks or image; `plan` had them");
    TRY(resume(context));
  } else {
    TRY(make_the_plan(context));
  }
  return run_stage(*find_stage("partition"), context);
}

int verb_partition(Context& context) {
  if (auto ran = partition(context); !ran) return end_with(context, ran.error());
  return 0;
}

Result<> format_one(const Settings& settings) {
  FormatRequest request;
  request.path = settings.path;
  constexpr FormatType all[] = {FormatType::ext2, FormatType::ext3, FormatType::ext4, FormatType::vfat, FormatType::swap};
  request.type = FormatType::none;
  for (const auto type : all)
    if (to_string(type) == settings.type) request.type = type;
  if (request.type == FormatType::none)
    return fail(ErrorKind::usage, "--type must be ext2, ext3, ext4, vfat or swap, not `{}`", printable(settings.type));
  if (!settings.compat.empty()) {
    const auto compat = value_of(compat_words, settings.compat);
    if (!compat || *compat == Compat::automatic)
      return fail(ErrorKind::usage, "--compat must be 2018, 2022 or newest, not `{}`", printable(settings.compat));
    request.compat = *compat;
  }
  if (request.path.empty()) return fail(ErrorKind::usage, "--path is missing: where shall the file system go?");
  const Fd device = TRY(open_file(request.path, O_RDWR));
  const auto end = ::lseek(device.get(), 0, SEEK_END);
  if (end < 0) return fail_errno("size of {}", request.path);
  const auto whole = static_cast<std::uint64_t>(end);
  if (settings.offset) request.offset = TRY_WITHIN(parse_size(*settings.offset), "--offset");
  if (request.offset >= whole) return fail(ErrorKind::usage, "--offset is behind the end of {} ({})", request.path, format_size(whole));
  request.size = settings.size ? TRY_WITHIN(parse_size(*settings.size), "--size") : whole - request.offset;
  if (request.size > whole - request.offset)
    return fail(ErrorKind::usage, "--size is more than {} has behind the offset ({})", request.path, format_size(whole - request.offset));
  request.label = settings.label;
  request.uuid = settings.uuid;
  return make_filesystem(request);
}

int verb_format(Context& context) {
  if (!context.settings.path.empty() || !context.settings.type.empty()) {
    if (auto made = format_one(context.settings); !made) return complain(made.error());
    return 0;
  }
  if (auto resumed = resume(context); !resumed) return complain(resumed.error());
  return run_one("format", context);
}

// Stages that go on with what `partition` saved.
template <const char* const& name>
int verb_resumed(Context& context) {
  if (auto resumed = resume(context); !resumed) return complain(resumed.error());
  if (auto saved = save_profile(context); !saved) return complain(saved.error());
  return run_one(name, context);
}
constexpr const char* mount_name = "mount";
constexpr const char* configure_name = "configure";

int verb_pull(Context& context) {
  // A tree may be pulled into any directory, with no plan in sight.
  if (auto resumed = resume(context); !resumed && !context.settings.source) return complain(resumed.error());
  known_machine(context);
  if (auto trusted = load_trust(context); !trusted) return complain(trusted.error());
  if (auto applied = apply_overrides(context.settings, context.profile); !applied) return complain(applied.error());
  if (context.have_plan)
    if (auto saved = save_profile(context); !saved) return complain(saved.error());
  return run_one("pull", context);
}

int verb_hooks(Context& context, const char* name) {
  if (auto resumed = resume(context); !resumed) return complain(resumed.error());
  known_machine(context);
  if (auto trusted = load_trust(context); !trusted) return complain(trusted.error());
  if (auto fetched = fetch_hooks(context); !fetched) return complain(fetched.error());
  return run_one(name, context);
}
int verb_pre_install(Context& context) { return verb_hooks(context, "pre-install"); }
int verb_post_install(Context& context) { return verb_hooks(context, "post-install"); }

int verb_finish(Context& context) {
  if (auto resumed = resume(context); !resumed) return complain(resumed.error());
  known_machine(context);
  const auto action = success_action(context);
  if (const int status = run_one("finish", context); status != 0) return status;
  if (auto noted = write_file(context.state_file("finish"), std::string(to_string(action)) + "\n"); !noted) return complain(noted.error());
  // Under a host script `install` still has a timeline to print, and acts then.
  if (::getenv("SIGNET_SCRIPT")) return 0;
  if (auto acted = act(action, context); !acted) return complain(acted.error());
  return 0;
}

struct Verb {
  std::string_view name;
  std::string_view summary;
  std::span<const Option* const> options;
  int (*run)(Context&);
};

constexpr Verb verbs[] = {
    {"install", "run every stage, then the finish action", install_options, verb_install},
    {"network", "bring the links up and get a DHCP lease", network_options, verb_network},
    {"identify", "say which host this is and how it knows: every source that was asked, and which won", find_options, verb_identify},
    {"setting", "print a setting of the kernel command line or local.cfg: signet-agent setting [NAME]", network_options, verb_setting},
    {"systems", "print the file systems that may hold an installed system: signet-agent systems [DEVICE]", network_options, verb_systems},
    {"tool", "provide a tool that is not in the initrd, and print its path: signet-agent tool NAME", tool_options, verb_tool},
    {"sshd", "start an SSH server for a key", sshd_options, verb_sshd},
    {"profile", "fetch and check the host's profile; print it with everything it extends", find_options, verb_profile},
    {"script", "fetch and check the host's profile; print a host script that installs the same", find_options, verb_script},
    {"plan", "say what an install would do; change nothing", plan_options, verb_plan},
    {"pre-install", "run the pre_install hooks", hook_options, verb_pre_install},
    {"partition", "wipe the planned disks and write their partition tables", partition_options, verb_partition},
    {"format", "make the planned file systems, or one by --type and --path", format_options, verb_format},
    {"mount", "mount the target tree", tree_options, verb_resumed<mount_name>},
    {"pull", "download, verify and unpack the image into the target tree", pull_options, verb_pull},
    {"configure", "make the image this host's own system", configure_options, verb_resumed<configure_name>},
    {"post-install", "run the post_install hooks inside the target", hook_options, verb_post_install},
    {"finish", "install the boot loader, unmount, mark the disks complete, act", finish_options, verb_finish},
    {"failed", "clean up after an `install` that was killed: report it, unmount the target, do on_failure", failed_options, verb_failed},
};

void print_help() {
  std::printf("signet-agent " SIGNET_VERSION
              " installs this machine.\n\nUsage: signet-agent VERB [OPTION]...\n\nVerbs, in the order of an install:\n");
  for (const auto& verb : verbs) std::printf("  %-13s %s\n", std::string(verb.name).c_str(), std::string(verb.summary).c_str());
  std::printf(
      "\n`signet-agent VERB --help` lists a verb's options. Exit status: 0 done, 1 failed, 2 wrong command line.\n"
      "Events are kept in /run/signet/events.jsonl, one JSON object a line.\n");
}

int run_verb(const Verb& verb, int argc, char** argv) {
  Context context;
  // A script and the hooks of an install have these, so that the verbs they call work on the same node.
  if (const char* state = ::getenv("SIGNET_STATE"); state && *state) context.settings.state = state;
  if (const char* root = ::getenv("SIGNET_ROOT"); root && *root) context.settings.root = root;
  const auto parsed = parse_options(verb.name, verb.options, argc, argv, context.settings);
  if (!parsed) return complain(parsed.error());
  if (parsed->help) {
    std::printf("signet-agent %s: %s.\n\nOptions:\n%s", std::string(verb.name).c_str(), std::string(verb.summary).c_str(),
                options_text(verb.options).c_str());
    return 0;
  }
  if (auto made = make_state_directory(context.settings.state); !made)
    return complain(std::move(made).error().advise("name another directory with --state"));
  if (auto sink = json_lines_sink(context.state_file("events.jsonl"), context.report)) context.report.add(std::move(*sink));
  if (!context.settings.quiet) context.report.add(console_sink(on_node() ? active_consoles() : std::vector<std::string>()));
  catch_stop_signals();
  return verb.run(context);
}

}  // namespace

bool on_node() { return ::access("/etc/signet/release", F_OK) == 0; }

int run_agent(int argc, char** argv) {
  // The agent's own children, by verbs that are not for people.
  if (argc > 1 && argv[1] == decoder_verb) return run_decoder(argc - 1, argv + 1);
  if (argc > 1 && argv[1] == inside_verb) return run_inside(argc - 1, argv + 1);
  ::signal(SIGPIPE, SIG_IGN);
  if (argc < 2 || std::string_view(argv[1]) == "--help" || std::string_view(argv[1]) == "-h" || std::string_view(argv[1]) == "help") {
    print_help();
    return argc < 2 ? 2 : 0;
  }
  const std::string_view name = argv[1];
  if (name == "--version" || name == "version") {
    std::printf("signet-agent " SIGNET_VERSION "\n");
    return 0;
  }
  for (const auto& verb : verbs)
    if (verb.name == name) return run_verb(verb, argc - 1, argv + 1);
  std::vector<std::string_view> names;
  for (const auto& verb : verbs) names.push_back(verb.name);
  const auto near = nearest(name, names);
  return complain(Error(ErrorKind::usage, std::format("there is no verb `{}`{}", printable(name), near ? "; did you mean `" + *near + "`?" : ""))
                      .advise("see `signet-agent --help`"));
}

}  // namespace signet
