#include "agent/watchdog.h"

#include <fcntl.h>
#include <linux/watchdog.h>
#include <sys/ioctl.h>
#include <unistd.h>

#include <algorithm>
#include <condition_variable>
#include <mutex>
#include <thread>

#include "base/fd.h"
#include "base/stop.h"

namespace signet {
namespace {

// "V" before close(2) says that the watchdog is no longer wanted; closed without it goes on ("magic close").
void release(const Fd& fd) {
  const int off = WDIOS_DISABLECARD;
  ::ioctl(fd.get(), WDIOC_SETOPTIONS, &off);
  [[maybe_unused]] const auto written = ::write(fd.get(), "V", 1);
}

class Device : public Watchdog {
 public:
  Device(Fd fd, std::chrono::seconds time, std::chrono::seconds patience)
      : fd_(std::move(fd)), time_(time), patience_(patience), thread_([this](const std::stop_token& stop) { feed(stop); }) {}
  ~Device() override {
    thread_.request_stop();
    thread_.join();
    release(fd_);
  }

  std::chrono::seconds time() const override { return time_; }

 private:
  void feed(const std::stop_token& stop) {
    std::mutex mutex;
    std::condition_variable_any wake;
    std::unique_lock lock(mutex);
    while (!stop.stop_requested()) {
      if (std::chrono::steady_clock::now() - last_beat() < patience_) ::ioctl(fd_.get(), WDIOC_KEEPALIVE, 0);
      wake.wait_for(lock, stop, std::max(time_ / 4, std::chrono::seconds(1)), [] { return false; });
    }
  }

  const Fd fd_;
  const std::chrono::seconds time_, patience_;
  std::jthread thread_;  // last, so it ends before what it uses
};

}  // namespace

Result<std::unique_ptr<Watchdog>> Watchdog::arm(std::chrono::seconds time, std::chrono::seconds patience, const std::string& device) {
  Fd fd = TRY(open_file(device, O_WRONLY));
  int seconds = static_cast<int>(time.count());
  if (::ioctl(fd.get(), WDIOC_SETTIMEOUT, &seconds) != 0 && ::ioctl(fd.get(), WDIOC_GETTIMEOUT, &seconds) != 0) {
    auto error = fail_errno("set the time of {}", device);
    release(fd);
    return error;
  }
  beat();
  return std::make_unique<Device>(std::move(fd), std::chrono::seconds(std::max(seconds, 1)), patience);
}

void Watchdog::disarm(const std::string& device) {
  if (const auto fd = open_file(device, O_WRONLY)) release(*fd);
}

}  // namespace signet
