// When all disks of a machine are there.
#include <algorithm>
#include <thread>

#include "machine/machine.h"
#include "machine/sysfs.h"

namespace signet {

using std::chrono::milliseconds;

DeviceEvents device_events(const std::string& sys) {
  return {sysfs::text(sys + "/kernel/uevent_seqnum"), std::chrono::steady_clock::now()};  // Documentation/ABI/testing/sysfs-kernel-uevent-seqnum
}

void wait_for_devices(const DeviceEvents& seen, milliseconds quiet, const std::string& sys) {
  const auto deadline = std::chrono::steady_clock::now() + quiet + std::chrono::seconds(10);
  for (auto last = seen;;) {
    const auto now = device_events(sys);
    if (now.sequence != last.sequence) last = now;
    if (now.since - last.since >= quiet || now.since >= deadline) return;
    std::this_thread::sleep_for(milliseconds(20));
  }
}

milliseconds settle_time(const std::string& sys) {
  auto longest = milliseconds(300);
  const auto at_least = [&](int time) { longest = std::max(longest, milliseconds(time)); };
  const auto any = [&](const char* directory) { return !sysfs::names(sys + directory).empty(); };
  // Drivers whose adapters are searched before init starts, or whose disks are found by others of this list.
  constexpr std::string_view prompt[] = {"ahci", "ata_piix", "ata_generic", "virtio_scsi", "usb-storage", "uas"};
  for (const auto& host : sysfs::names(sys + "/class/scsi_host"))
    if (const auto driver = sysfs::text(sys + "/class/scsi_host/" + host + "/proc_name"); !std::ranges::contains(prompt, driver)) at_least(3000);
  if (any("/bus/usb/devices")) at_least(1000);
  for (const char* driver : {"/bus/usb/drivers/usb-storage", "/bus/usb/drivers/uas"})
    for (const auto& name : sysfs::names(sys + driver))
      // Interfaces that it drives are named as "1-2:1.0"; the rest are files of the driver.
      if (name.contains(':')) at_least(3000);
  if (any("/class/sas_host")) at_least(8000);
  if (any("/class/fc_host")) at_least(10000);
  return longest;
}

}  // namespace signet
