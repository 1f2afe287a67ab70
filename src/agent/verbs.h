// The verbs of signet-agent: what `signet-agent VERB …` does.
#pragma once

namespace signet {

/// Runs the verb that argv names; the exit status: 0 done, 1 failed, 2 the command line is wrong.
int run_agent(int argc, char** argv);

}  // namespace signet
