// Any bytes are a lease or an error; of a lease only names reach what is installed, and verbs hand it on unchanged.
#include "hold.h"
#include "network/network.h"
#include "network/parameters.h"

using namespace signet;

namespace {

bool is_clean(std::string_view name) { return name.find_first_not_of("abcdefghijklmnopqrstuvwxyz0123456789.-") == std::string_view::npos; }

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  const std::string_view input(reinterpret_cast<const char*>(data), size);
  const auto rule = parse_ip_parameter(input);
  if (rule) hold(is_clean(rule->fixed.host_name));
  const auto lease = parse_lease(input, "eth0");
  if (!lease) return 0;
  hold(is_clean(lease->host_name) && is_clean(lease->domain));
  const auto again = parse_lease(lease_text(*lease), "eth0");
  hold(again && again->address == lease->address && again->host_name == lease->host_name && again->domain == lease->domain);
  // No DNS here: an address that is none is not looked up.
  auto known = *lease;
  known.dns.clear();
  const auto identity = identify({}, known);
  hold(is_clean(identity.full_name()));
  for (const auto& name : lookup_candidates(identity)) hold(!name.empty() && !name.contains('/') && !name.contains('\n'));
  return 0;
}
