// agent/: main of signet-agent, its verbs, and the stages in order.
//
// A Context is what the stages hand to each other. On a node `signet-agent install` runs them all in one process; a host script or a person runs
// them one by one, and then the state directory (/run/signet) carries the profile and the plan from verb to verb.
#pragma once

#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "agent/watchdog.h"
#include "base/result.h"
#include "fetch/fetch.h"
#include "fetch/manifest.h"
#include "fetch/signature.h"
#include "filesystem/filesystem.h"
#include "machine/machine.h"
#include "network/network.h"
#include "plan/plan.h"
#include "profile/profile.h"
#include "report/report.h"

namespace signet {

/// One disk as a verb's flags describe it: the [[disk]] of a profile that a script has no need for.
struct DiskFlags {
  std::optional<std::string> id, match, path, wipe, table;
  std::vector<std::string> partitions;
};

/// What the command line of a verb said.
struct Settings {
  std::string state = "/run/signet";  // lease, profile, plan, events, timeline
  std::string root = "/target";       // where the target tree is mounted
  std::string profile;                // a file or URI; empty: look it up
  std::string server;                 // as signet.server
  std::vector<std::string> targets;   // disks or image files that the disk rules choose from; empty: all disks of this node
  std::string from;                   // install: the stage to begin with
  std::string install;                // as signet.install
  std::optional<std::string> host;    // as signet.host
  std::optional<std::string> trust;   // as signet.trust
  bool quiet = false;                 // no console output but errors
  bool print_plan = false;            // plan: its text goes to standard output, not to the console
  bool planned = false;               // partition: what `plan` has saved

  // What a profile would say, for verbs that a script calls without one.
  std::vector<DiskFlags> disks;
  std::optional<std::string> source, sha256, hostname, timezone, kernel_args, root_password, boot_loader, boot_order, on_success, on_failure,
      hook_timeout;
  std::vector<std::string> ssh_keys, pre_install, post_install;
  std::optional<std::string> rest;  // configure --settings: a file with [network] and [configure], - for standard input

  std::vector<std::string> words;  // setting, tool: its name
  std::string key;                 // sshd
  std::string status;              // failed
  std::string deadline;            // install

  // format, of one file system without a plan.
  std::string type, path, label, uuid, compat;
  std::optional<std::string> offset, size;
};

struct Hook {
  std::string name;  // its URI
  std::string text;
};

struct Context {
  Settings settings;
  Report report;
  Machine machine;
  DeviceEvents devices = device_events();  // when the program started
  std::optional<Lease> lease;
  Identity identity;
  Profile profile;
  std::string profile_name;         // its URI
  std::string script_name, script;  // a host script was found instead of a profile
  std::vector<Hook> pre_install, post_install;
  Plan plan;
  bool have_plan = false;
  bool armed = false;                      // this host's system is there, and is to be installed again
  std::uint64_t attempt = 0, retries = 0;  // of `install`: this one's number from 0, and how often it may try again
  int stopped_by = 0;                      // the signal that asked to stop; SIGALRM when the deadline passed
  bool reporting = false;                  // to syslog or a server, as settings say
  std::unique_ptr<Watchdog> watchdog;      // on a node, while it installs
  FetchOptions fetch;
  TrustedKeys trust;                 // with any, nothing is used but by the signed manifest
  std::optional<Manifest> manifest;  // of this tree, once it was needed
  std::optional<Uri> tree;

  std::string state_file(std::string_view name) const { return settings.state + "/" + std::string(name); }
};

/// True in Signet's own initrd, where finish actions act and every disk is ours to choose from.
bool on_node();

}  // namespace signet
