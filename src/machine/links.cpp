#include <net/if_arp.h>

#include "base/text.h"
#include "machine/machine.h"
#include "machine/sysfs.h"

namespace signet {

std::vector<Link> scan_links(const std::string& sys) {
  std::vector<Link> links;
  const std::string directory = sys + "/class/net/";
  for (const auto& name : sysfs::names(directory)) {
    const std::string link = directory + name;
    // A bridge, a tunnel, a dummy have no device behind them.
    if (sysfs::number(link + "/type") != ARPHRD_ETHER || !sysfs::exists(link + "/device")) continue;
    links.push_back({
        .name = name,
        .mac = to_lower(sysfs::text(link + "/address")),
        .driver = sysfs::link_name(link + "/device/driver"),
        .carrier = sysfs::number(link + "/carrier") == 1,
    });
  }
  return links;
}

}  // namespace signet
