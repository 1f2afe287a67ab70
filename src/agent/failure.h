// What happens when an install fails: by an error, by a signal, or because the agent was killed and could do nothing itself.
//
// Files of the state directory for that: `failure` (why, for people), `on-failure` (what to do, kept by `install` before the first stage and again
// when the profile is known), `stage` (the one that runs) and `next` (the action that an agent which ended by itself has begun).
#pragma once

#include <cstdint>

#include "agent/context.h"

namespace signet {

/// Arms the watchdog as signet.watchdog says (2 min unless it says something else), if this node has one.
void arm_watchdog(Context& context);

/// Takes a request to stop (base/stop.h), if there is one, and remembers it in the context: what cleans up may wait again.
void note_stop(Context& context);

/// "signet-agent: …" and its advice on standard error.
void print_error(const Error& error);

/// Writes the failure file.
void write_failure(Context& context, const Error& error);

/// Keeps what is to be done should this process be killed: the action, the number of retries, and the number of this attempt.
void keep_on_failure(Context& context);
/// The number of the first attempt of this process: $SIGNET_ATTEMPT, which the initrd's start script sets after a killed agent.
std::uint64_t first_attempt();
/// What an attempt of before has kept as its action on failure.
std::optional<FinishAction> kept_action(const Context& context);

/// Unmounts the target, waiting a little for what still uses it; a failure is logged.
void unmount_target(Context& context);

/// Ends a verb or an install that was asked to stop: unmounts the target of its plan. Does nothing if nobody has asked.
void clean_up_after_stop(Context& context);

/// 128 + the signal if one has asked to stop, 1 if the deadline has passed; otherwise `otherwise`.
int status_after_stop(const Context& context, int otherwise);

/// The verb `failed`: an agent that ran `install` has ended with this status and could not clean up. Reports it as a failed event of the stage that
/// ran, to every place that settings name, unmounts the target, and does on_failure. Exit status: 75 if a retry is left, whose number is in the state
/// directory's file `attempt` then; 1 if not.
int clean_up_killed(Context& context, int status);

/// Notes the action as `next` and does it. Returns if the machine lives on.
void act_on_failure(Context& context, FinishAction action);

}  // namespace signet
