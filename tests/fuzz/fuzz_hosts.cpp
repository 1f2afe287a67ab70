// Any bytes are a hosts/hosts file: it has a name for an interface, or none, or an error with a line.
#include "hold.h"
#include "network/network.h"

using namespace signet;

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  const std::string_view input(reinterpret_cast<const char*>(data), size);
  for (const std::string_view mac : {"52:54:00:12:34:56", ""}) {
    const auto name = name_in_hosts(input, mac, "10.0.2.15");
    if (!name) hold(name.error().message().starts_with("line "));
    if (name && *name) hold(HostName::parse((*name)->text()) == **name);
  }
  const auto name = HostName::parse(input);
  if (name) hold(HostName::parse(name->text()) == *name && name->text().size() <= 253);
  if (!name) hold(name.error().message().size() < 1000);
  return 0;
}
