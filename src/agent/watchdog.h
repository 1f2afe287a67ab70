// The machine's watchdog (Documentation/watchdog/watchdog-api.rst): resets the machine when the agent stands still.
#pragma once

#include <chrono>
#include <memory>
#include <string>

#include "base/result.h"

namespace signet {

/// Holds /dev/watchdog, and feeds it for as long as the install gets on with its work: as long as beat() of base/stop.h is heard at least every
/// `patience`. If this process stops or hangs, the device resets the machine after its time. Disarmed when this object goes; a process that dies
/// without that leaves it armed.
class Watchdog {
 public:
  /// Arms the device with the time, or what the device makes of it. not_found if there is none.
  static Result<std::unique_ptr<Watchdog>> arm(std::chrono::seconds time, std::chrono::seconds patience = std::chrono::minutes(30),
                                               const std::string& device = "/dev/watchdog");
  /// Disarms a device that a killed process has left armed; nothing if there is none.
  static void disarm(const std::string& device = "/dev/watchdog");

  virtual ~Watchdog() = default;
  /// What the device said of its time.
  virtual std::chrono::seconds time() const = 0;
};

}  // namespace signet
