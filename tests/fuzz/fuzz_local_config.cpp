// Any bytes are a local.cfg or an error with the place of every mistake; a kernel command line is always one.
#include "hold.h"
#include "machine/machine.h"
#include "machine/settings.h"

using namespace signet;

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  const std::string_view input(reinterpret_cast<const char*>(data), size);
  const auto config = parse_local_config(input, "local.cfg");
  if (config) {
    for (const auto& [name, value] : config->values) hold(find_setting(name) != nullptr);
    const auto checked = check_medium_settings(*config);
    hold(checked || !checked.error().advice().empty());
  } else {
    hold(config.error().message().starts_with("local.cfg"));
  }
  Machine machine;
  machine.command_line = KernelCommandLine::parse(input);
  for (const auto& rule : known_settings()) (void)machine.setting(rule.name);
  (void)mistakes_in(machine.command_line);
  return 0;
}
