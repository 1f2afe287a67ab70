// The stages of an install, in order. Each is a verb too.
#pragma once

#include <span>
#include <string_view>

#include "agent/context.h"

namespace signet {

struct Stage {
  std::string_view name;
  std::string_view summary;              // for --help
  Result<std::string> (*run)(Context&);  // what was done, in a few words
};

/// network identify profile plan pre-install partition format mount pull configure post-install finish.
std::span<const Stage> stages();
const Stage* find_stage(std::string_view name);

/// Runs one stage with its events, and notes it in the timeline.
Result<> run_stage(const Stage& stage, Context& context);

/// What stages after `plan` need when an earlier process made it: profile, identity and plan from the state directory.
Result<> resume(Context& context);

}  // namespace signet
