// A request to stop: SIGINT, SIGTERM or SIGHUP, or a deadline that has passed.
//
// The first request is noted and makes stop_event() readable. Every wait looks at it and returns an error, so that a stage ends
// through the same destructors as after any other failure. A second signal ends the process at once.
#pragma once

#include <chrono>
#include <cstdint>

#include "base/result.h"

namespace signet {

/// Catches SIGINT, SIGTERM and SIGHUP (unless they are ignored, as nohup(1) does) and SIGALRM. Without it nothing below ever asks to stop.
void catch_stop_signals();
/// Gives the signals their default action back: from here on they end the process.
void release_stop_signals();

/// Asks to stop when this much time has passed; zero: never. Replaces an earlier deadline. Counts time while the machine runs, whatever its clock
/// says.
void set_deadline(std::chrono::seconds limit);

/// True from the first request until take_stop().
bool stop_asked();
/// An error of kind io that names the signal or the deadline, if there is a request.
Result<> check_stop();
/// Sleeps for so long; the error of check_stop() as soon as there is a request.
Result<> sleep_unless_stopped(std::chrono::milliseconds time);
/// A descriptor for poll(2), readable from the first request until take_stop(); -1 without catch_stop_signals().
int stop_event();
/// The signal that asked (SIGALRM for the deadline), or 0. The request is over: what cleans up may wait again.
int take_stop();

/// "SIGTERM"; "signal 64" for one without a name here.
std::string signal_name(int signal);

/// Notes that this process gets on with its work. Waits that are bounded note it as well; the watchdog looks at it.
void beat();
/// When beat() was called last, or the program started.
std::chrono::steady_clock::time_point last_beat();

}  // namespace signet
