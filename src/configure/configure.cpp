#include "configure/configure.h"

#include "configure/steps.h"
#include "configure/target_root.h"

namespace signet {

Result<> configure_target(const ConfigureInputs& inputs, Report& report) {
  const auto target = TRY(TargetRoot::open(inputs.root));
  if (!target.exists("/etc"))
    return std::unexpected(Error(ErrorKind::invalid, "the image has no /etc, so it is not a system").advise("check image.source"));
  const auto mounts = TRY(ChrootMounts::mount(inputs.root));
  TRY(configure_names(target, inputs.host_name));
  TRY(configure_fstab(target, inputs.plan));
  TRY(configure_network(target, inputs.profile.network, report));
  TRY(configure_identity(target, report));
  TRY(configure_time_and_locale(target, inputs.profile.configure));
  return configure_users(target, inputs.profile.configure);
}

}  // namespace signet
