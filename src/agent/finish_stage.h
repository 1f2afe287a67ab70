// The last stage: what makes the disk start comes after everything that it starts.
#pragma once

#include <string>

#include "agent/context.h"
#include "configure/configure.h"

namespace signet {

/// In four steps; an error ends the stage where it happens, and the disk goes on to the network (BIOS) or has nothing that firmware finds (UEFI):
///   1. every file system of the target is synced;
///   2. the boot loader's files are written where firmware does not look, and everything is synced again, the disks as well;
///   3. everything is unmounted;
///   4. the disk is made to start: GRUB's core image and then the code of the first sector, or \EFI in its place and the boot entry; last of all the
///      marks say that the install is complete. An error in this step takes all of it back.
Result<std::string> finish_stage(Context& context);

/// What configure/ needs to know of this install.
ConfigureInputs configure_inputs(const Context& context);

}  // namespace signet
