#include "agent/failure.h"

#include <fcntl.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/mount.h>
#include <time.h>
#include <unistd.h>

#include <algorithm>
#include <cstdio>
#include <format>
#include <map>
#include <optional>

#include "agent/events.h"
#include "agent/finish.h"
#include "agent/stages.h"
#include "agent/state.h"
#include "base/duration.h"
#include "base/fd.h"
#include "base/stop.h"
#include "base/text.h"
#include "network/network.h"

namespace signet {
namespace {

constexpr int try_again = 75;  // EX_TEMPFAIL of sysexits.h

// Lines of NAME=VALUE.
std::map<std::string, std::string> read_kept(const Context& context) {
  std::map<std::string, std::string> kept;
  const auto text = read_file(context.state_file("on-failure"));
  if (!text) return kept;
  for (const auto line : split(*text, '\n'))
    if (const auto equals = line.find('='); equals != std::string_view::npos)
      kept[std::string(line.substr(0, equals))] = std::string(line.substr(equals + 1));
  return kept;
}

// True if the kernel log reports that the OOM killer has just ended one of our programs (Documentation/admin-guide/mm/concepts.rst).
// What it said longer ago is about an earlier attempt.
bool memory_ran_out() {
  constexpr std::int64_t just_now = 10'000'000;  // microseconds
  timespec now{};
  ::clock_gettime(CLOCK_MONOTONIC, &now);
  const auto since = std::int64_t{now.tv_sec} * 1'000'000 + now.tv_nsec / 1000 - just_now;
  const auto log = open_file("/dev/kmsg", O_RDONLY | O_NONBLOCK);
  if (!log) return false;
  for (;;) {
    char record[8192];  // one for each read, Documentation/ABI/testing/dev-kmsg
    const auto size = ::read(log->get(), record, sizeof record);
    if (size < 0 && (errno == EPIPE || errno == EINTR)) continue;  // EPIPE: overwritten meanwhile
    if (size <= 0) return false;
    const std::string_view text(record, static_cast<std::size_t>(size));
    if (!text.contains("Killed process") || (!text.contains("(signet-agent)") && !text.contains("(sh)"))) continue;
    const auto fields = split(text.substr(0, text.find(';')), ',');  // priority, sequence number, microseconds since boot, flags
    if (fields.size() >= 3 && static_cast<std::int64_t>(parse_unsigned(fields[2]).value_or(0)) >= since) return true;
  }
}

Error why_it_ended(const Context& context, int status) {
  const auto log = std::format("every event is in {}", context.state_file("events.jsonl"));
  if (status <= 128) return Error(ErrorKind::io, std::format("the agent ended with exit status {} and did not say why", status)).advise(log);
  const int signal = status - 128;
  if (signal == SIGKILL && memory_ran_out())
    return Error(ErrorKind::io, "the agent was killed because memory ran out").advise("give the machine more memory; " + log);
  return Error(ErrorKind::io, std::format("the agent was killed by {}", signal_name(signal))).advise(log);
}

}  // namespace

void arm_watchdog(Context& context) {
  constexpr auto otherwise = std::chrono::minutes(2);
  const auto said = context.machine.setting("watchdog");
  const auto time = !said ? otherwise : said->value == "no" ? std::chrono::seconds(0) : parse_duration(said->value).value_or(otherwise);
  if (!on_node() || time.count() == 0) return;
  auto armed = Watchdog::arm(time);
  if (armed)
    context.watchdog = std::move(*armed);
  else if (said || armed.error().kind() != ErrorKind::not_found)
    context.report.log("no watchdog: {}", armed.error().message());
}

void note_stop(Context& context) {
  if (const int signal = take_stop()) context.stopped_by = signal;
}

void print_error(const Error& error) {
  std::fprintf(stderr, "signet-agent: %s\n", report_text(error.message()).c_str());
  if (!error.advice().empty()) std::fprintf(stderr, "What to do: %s\n", report_text(error.advice()).c_str());
}

void write_failure(Context& context, const Error& error) {
  std::string text = error.message() + "\n";
  if (!error.advice().empty()) text += "What to do: " + error.advice() + "\n";
  if (auto written = write_file(context.state_file("failure"), report_text(text), 0600); !written)
    context.report.log("{}", written.error().message());
}

void keep_on_failure(Context& context) {
  const auto text = std::format("action={}\nretries={}\nattempt={}\n", to_string(failure_action(context)), context.retries, context.attempt);
  if (auto kept = write_file(context.state_file("on-failure"), text); !kept) context.report.log("{}", kept.error().message());
}

std::optional<FinishAction> kept_action(const Context& context) { return parse_finish_action(read_kept(context)["action"]); }

std::uint64_t first_attempt() {
  const char* text = ::getenv("SIGNET_ATTEMPT");
  return text ? parse_unsigned(text).value_or(0) : 0;
}

void unmount_target(Context& context) {
  constexpr auto patience = std::chrono::seconds(10);
  const auto deadline = std::chrono::steady_clock::now() + patience;
  for (;;) {
    auto done = unmount_below(context.settings.root);
    if (done) return;
    if (std::chrono::steady_clock::now() >= deadline) {
      context.report.log("{}", done.error().message());
      return;
    }
    if (!sleep_unless_stopped(std::chrono::milliseconds(200))) note_stop(context);
  }
}

void clean_up_after_stop(Context& context) {
  note_stop(context);
  if (context.stopped_by != 0 && context.have_plan) unmount_target(context);
}

int status_after_stop(const Context& context, int otherwise) {
  if (context.stopped_by == 0) return otherwise;
  return context.stopped_by == SIGALRM ? 1 : 128 + context.stopped_by;
}

void act_on_failure(Context& context, FinishAction action) {
  if (auto noted = write_file(context.state_file("next"), std::string(to_string(action)) + "\n"); !noted)
    context.report.log("{}", noted.error().message());
  if (action != FinishAction::shell) context.report.log("on failure: {}", to_string(action));
  if (auto acted = act(action, context); !acted) context.report.failed(acted.error());
}

int clean_up_killed(Context& context, int status) {
  Watchdog::disarm();
  load_lease(context);
  load_identity(context);
  // Killed before its identity was kept: what lease and settings say is enough to report to.
  if (!context.identity.server) context.identity = identify(context.machine, context.lease);
  context.report.set_identity(context.identity.host_name, context.identity.uuid);
  start_reporting(context);
  const auto stage = read_file(context.state_file("stage"));
  context.report.start(stage ? trim(*stage) : "install");
  const auto error = why_it_ended(context, status);
  context.report.failed(error);
  write_failure(context, error);
  context.report.flush();
  // Before there was a plan nothing of ours was mounted.
  if (::access(context.state_file("plan.json").c_str(), F_OK) == 0) unmount_target(context);
  // Where `finish` and a local start look into a system.
  for (const char* place : {"esp", "local/boot", "local"}) ::umount2(context.state_file(place).c_str(), MNT_DETACH | UMOUNT_NOFOLLOW);

  auto kept = read_kept(context);
  const auto retries = parse_unsigned(kept["retries"]).value_or(0), attempt = parse_unsigned(kept["attempt"]).value_or(0);
  if (attempt < retries) {
    const auto pause = std::chrono::seconds(std::min<std::uint64_t>(5 * (attempt + 1), 60));
    context.report.log("trying again in {} s ({} of {} retries)", pause.count(), attempt + 1, retries);
    if (auto noted = write_file(context.state_file("attempt"), std::format("{}\n", attempt + 1)); !noted)
      context.report.log("{}", noted.error().message());
    context.report.flush();
    if (auto slept = sleep_unless_stopped(pause); !slept) return 1;
    return try_again;
  }
  // A host script's verbs have saved what they were told since then.
  auto action = parse_finish_action(kept["action"]);
  if (::access(context.state_file("profile.toml").c_str(), F_OK) == 0)
    if (auto saved = load_profile(context)) {
      context.profile = std::move(*saved);
      action = failure_action(context);
    }
  act_on_failure(context, action.value_or(FinishAction::shell));
  return 1;
}

}  // namespace signet
