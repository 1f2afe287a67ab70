#include "agent/install.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <format>

#include "agent/finish.h"
#include "agent/lookup.h"
#include "agent/stages.h"
#include "agent/state.h"
#include "base/fd.h"
#include "base/process.h"
#include "base/text.h"

namespace signet {
namespace {

// What an earlier attempt left would be taken for this one's.
void forget_earlier_attempt(const Context& context) {
  for (const char* name : {"profile.toml", "plan.json", "timeline", "failure", "finish", "identity"}) ::unlink(context.state_file(name).c_str());
}

Result<> run_host_script(Context& context) {
  const auto path = context.state_file("host-script");
  TRY(write_file(path, context.script, 0700));
  context.report.log("running {}", context.script_name);
  auto environment = identity_environment(context);
  environment.push_back("SIGNET_SCRIPT=" + context.script_name);
  const auto completed = TRY(run({
      .arguments = {"sh", path},
      .environment = std::move(environment),
      .on_line = [&](std::string_view line) { context.report.log(line); },
  }));
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

// What the stages before `from` would have found or made.
Result<> catch_up(Context& context) {
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
    TRY(run_stage(stage, context));
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
  }
  return {};
}

}  // namespace

int install(Context& context) {
  if (context.settings.from.empty()) forget_earlier_attempt(context);
  const auto ran = run_stages(context);
  context.report.log(timeline_text(load_timeline(context)));

  if (!ran) {
    const auto& error = ran.error();
    std::string text = error.message() + "\n";
    if (!error.advice().empty()) text += "What to do: " + error.advice() + "\n";
    if (auto written = write_file(context.state_file("failure"), text); !written) context.report.log("{}", written.error().message());
    const auto action = failure_action(context);
    if (action != FinishAction::shell) {
      context.report.log("on failure: {}", to_string(action));
      if (auto unmounted = unmount_below(context.settings.root); !unmounted) context.report.log("{}", unmounted.error().message());
      if (auto acted = act(action, context); !acted) context.report.failed(acted.error());
    }
    return 1;
  }

  const auto action = success_action(context);
  context.report.log("installed; next: {}", to_string(action));
  if (auto acted = act(action, context); !acted) {
    context.report.failed(acted.error());
    return 1;
  }
  return 0;
}

}  // namespace signet
