// The state directory: what one verb leaves for the next, and what a person reads after a failure.
//
//   lease.IF         DHCP lease of an interface, by udhcpc's script       profile.toml   the profile in force, merged and resolved
//   identity         SIGNET_HOST='…' …, to be sourced by a shell          plan.json      the plan in force
//   events.jsonl     every event of every verb                            timeline       a line for each stage that ended
//   failure          what failed, why, what to do, for people             finish         the action that `finish` leaves to `install`
//   variables        what scripts get of lease, host and plan, as lines of `export NAME=value`
#pragma once

#include <string>
#include <vector>

#include "agent/context.h"

namespace signet {

Result<> make_state_directory(const std::string& path);

Result<> save_profile(const Context& context);
/// The saved profile; an empty one if there is none.
Result<Profile> load_profile(const Context& context);
Result<> save_plan(const Context& context);
/// Fails with advice if no plan was saved.
Result<Plan> load_plan(const Context& context);

/// What scripts and hooks get, as "NAME=value": SIGNET_SERVER, SIGNET_HOST … of the host; DHCP_… of the lease; and once there is a plan
/// SIGNET_DISK_ID, SIGNET_DEVICE_NAME and SIGNET_UUID_NAME of its disks and partitions (upper case, other characters as _), SIGNET_BOOT_DISK,
/// SIGNET_FIRMWARE and SIGNET_IMAGE.
std::vector<std::string> script_environment(const Context& context);
/// The lease that won, for verbs that come later.
Result<> save_lease(const Context& context);
void load_lease(Context& context);

Result<> save_identity(const Context& context);
/// Host name and server as an earlier verb found them, if one did.
void load_identity(Context& context);

Result<> append_timeline(const Context& context, const Report::StageTime& stage);
std::vector<Report::StageTime> load_timeline(const Context& context);

}  // namespace signet
