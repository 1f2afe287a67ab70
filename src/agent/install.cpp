#include "agent/install.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <chrono>
#include <format>
#include <optional>
#include <thread>

#include "agent/failure.h"
#include "agent/finish.h"
#include "agent/local_start.h"
#include "agent/lookup.h"
#include "agent/stages.h"
#include "agent/state.h"
#include "agent/trusted_tree.h"
#include "base/fd.h"
#include "base/process.h"
#include "base/stop.h"
#include "base/text.h"

namespace signet {
namespace {

// What an earlier attempt left would be taken for this one's.
void forget_earlier_attempt(const Context& context) {
  for (const char* name : {"profile.toml", "plan.json", "variables", "timeline", "failure", "finish", "identity", "on-failure", "stage", "next"})
    ::unlink(context.state_file(name).c_str());
}

Result<> run_host_script(Context& context) {
  const auto path = context.state_file("host-script");
  TRY(write_file(path, context.script, 0700));
  context.report.log("running {}", context.script_name);
  auto environment = script_environment(context);
  environment.push_back("SIGNET_SCRIPT=" + context.script_name);
  const auto completed = TRY(run({
      .arguments = {"sh", path},
      .environment = std::move(environment),
      .grace = std::chrono::seconds(30),  // for the verb that runs, which unmounts the target
      .end_group = true,
      .on_line = [&](std::string_view line) { context.report.log(line); },
  }));
  // What the script has said to its verbs counts from here on, on_failure not least.
  if (auto saved = load_profile(context)) context.profile = std::move(*saved);
  if (completed.status != 0) {
    const auto said = read_file(context.state_file("failure"));
    return std::unexpected(Error(ErrorKind::io, std::format("host script {}: exit status {}{}", context.script_name, completed.status,
                                                            said ? "; its last failure is above" : ": " + completed.last_lines()))
                               .advise(std::format("the script is at {}; run it again with `sh -x {}`", path, path)));
  }
  if (::access(context.state_file("finish").c_str(), F_OK) != 0)
    return std::unexpected(
        Error(ErrorKind::invalid, std::format("host script {} ended without `signet-agent finish`", context.script_name))
            .advise("let the script end with `signet-agent finish`; only that makes the disk bootable and says that it is complete"));
  return {};
}

bool breaks_at(const Context& context, std::string_view stage) {
  const auto wanted = context.machine.setting("break");
  if (!wanted) return false;
  for (const auto part : split(wanted->value, ','))
    if (trim(part) == stage) return true;
  return false;
}

// A breakpoint: a shell on every console, and the install goes on when one of them is left.
void stop_for_shell(Context& context, std::string_view stage) {
  if (!context.machine.shells_allowed()) {
    context.report.log("signet.break: no stop before {}, as no shell is allowed here (signet.shell)", stage);
    return;
  }
  context.report.log("stopped before {} (signet.break); leave the shell with `exit` to go on", stage);
  context.watchdog.reset();
  std::vector<Child> shells;
  for (const auto& console : active_consoles())
    if (auto shell = Child::start({.arguments = {"sh", "-c", "exec setsid -c sh -l <\"$0\" >\"$0\" 2>&1", console}, .inherit_output = true}))
      shells.push_back(std::move(*shell));
  while (!shells.empty() && std::ranges::all_of(shells, [](Child& shell) { return shell.running(); }))
    if (!sleep_unless_stopped(std::chrono::milliseconds(100))) return;
  arm_watchdog(context);
}

// What the stages before `from` would have found or made.
Result<> catch_up(Context& context) {
  TRY(load_trust(context));
  const auto* from = find_stage(context.settings.from);
  const auto after = [&](std::string_view name) { return from > find_stage(name); };
  if (after("identify") && !after("plan")) load_identity(context);
  if (from == find_stage("plan")) context.profile = TRY(load_profile(context));
  if (!after("plan")) return {};
  TRY(resume(context));
  TRY(fetch_hooks(context));
  if (after("mount")) return run_stage(*find_stage("mount"), context);
  return {};
}

Result<> run_stages(Context& context) {
  bool running = context.settings.from.empty();
  if (!running) TRY(catch_up(context));
  for (const auto& stage : stages()) {
    if (stage.name == context.settings.from) running = true;
    // Without a node's own kernel the network is somebody else's and is up already.
    if (!running || (stage.name == "network" && !on_node())) continue;
    stop_at_breakpoint(context, stage.name);
    const auto ran_stage = run_stage(stage, context);
    TRY(start_installed_instead(context, stage.name, ran_stage));
    TRY(ran_stage);
    if (stage.name == "profile" && !context.script.empty()) {
      context.report.start("script");
      auto ran = run_host_script(context);
      if (!ran) {
        context.report.failed(ran.error());
        return ran;
      }
      context.report.done(context.script_name);
      return {};
    }
    if (stage.name == "profile") keep_on_failure(context);
  }
  return {};
}

// The last failure, and the first if that was another, which is said as well: the last may only be its consequence.
Error with_first_cause(Context& context, Error last, const Error& first) {
  if (last.message() == first.message()) return last;
  const auto cause = std::format("The first of {} attempts failed for another reason: {}", context.attempt + 1, first.message());
  context.report.log("{}", cause);
  auto advice = last.advice().empty() ? first.advice() : last.advice();
  return Error(last.kind(), last.message() + "\n" + cause).advise(std::move(advice));
}

// signet.retries=N: so many times more from the start, a little later each time. What is wrong for good fails as fast again.
Result<> run_with_retries(Context& context) {
  const auto said = context.machine.setting("retries");
  context.retries = said ? parse_unsigned(said->value).value_or(0) : 0;
  // A try after the agent was killed: until it knows its profile, the one of before decides what follows a failure.
  if (const auto action = kept_action(context); action && first_attempt() > 0) context.profile.finish.on_failure = *action;
  std::optional<Error> first;
  for (context.attempt = first_attempt();; ++context.attempt) {
    if (context.settings.from.empty()) forget_earlier_attempt(context);
    keep_on_failure(context);
    auto ran = run_stages(context);
    note_stop(context);
    if (ran) return ran;
    if (!first) first = ran.error();
    if (context.attempt >= context.retries || !on_node() || context.stopped_by != 0)
      return std::unexpected(with_first_cause(context, std::move(ran).error(), *first));
    const auto pause = std::chrono::seconds(std::min<std::uint64_t>(5 * (context.attempt + 1), 60));
    context.report.log("trying again in {} s ({} of {} retries)", pause.count(), context.attempt + 1, context.retries);
    unmount_target(context);
    TRY(sleep_unless_stopped(pause));
  }
}

}  // namespace

void stop_at_breakpoint(Context& context, std::string_view stage) {
  if (on_node() && breaks_at(context, stage)) stop_for_shell(context, stage);
}

int install(Context& context) {
  const auto ran = run_with_retries(context);
  context.report.log(timeline_text(load_timeline(context)));

  if (!ran) {
    if (context.settings.quiet) print_error(ran.error());
    clean_up_after_stop(context);
    write_failure(context, ran.error());
    const auto action = failure_action(context);
    if (action != FinishAction::shell) unmount_target(context);
    act_on_failure(context, action);
    return status_after_stop(context, 1);
  }

  const auto action = success_action(context);
  context.report.log("installed; next: {}", to_string(action));
  if (auto noted = write_file(context.state_file("next"), std::string(to_string(action)) + "\n"); !noted)
    context.report.log("{}", noted.error().message());
  if (auto acted = act(action, context); !acted) {
    context.report.failed(acted.error());
    return 1;
  }
  return 0;
}

}  // namespace signet
