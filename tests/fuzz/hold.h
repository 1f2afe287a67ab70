// What every fuzz target checks with.
#pragma once

#include <cstdint>
#include <cstdlib>

/// Ends the process, which libFuzzer takes for a crash, unless the condition holds.
inline void hold(bool condition) {
  if (!condition) std::abort();
}
