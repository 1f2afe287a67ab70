#include "configure/configure.h"

#include "configure/steps.h"
#include "configure/target_root.h"

namespace signet {

Result<> configure_target(const ConfigureInputs& inputs, Report& report) {
  const auto target = TRY(TargetRoot::open(inputs.root));
  if (!target.exists("/etc"))
    return std::unexpected(Error(ErrorKind::invalid, "the image has no /etc, so it is not a system").advise("check image.source"));
  TRY(configure_names(target, inputs.host_name));
  TRY(configure_fstab(target, inputs.plan));
  TRY(configure_network(target, inputs.profile.network, inputs.host_name, report));
  TRY(configure_users(target, inputs.profile.configure));
  TRY(forget_identity(target));
  const auto mounts = TRY(ChrootMounts::mount(inputs.root));
  TRY(configure_identity(target, report));
  return configure_time_and_locale(target, inputs.profile.configure, report);
}

}  // namespace signet
