// A unified kernel image: one UEFI program made of a boot stub and what it starts, as sections of the PE file (UAPI.5 "Unified Kernel Image").
#pragma once

#include <string>
#include <string_view>

#include "base/result.h"

namespace signet {

struct UnifiedKernelParts {
  std::string_view stub;  // systemd-stub(7), linuxx64.efi.stub
  std::string_view kernel, initrd;
  std::string command_line;
  std::string os_release;  // os-release(5): what a boot menu shows
};

/// The stub with sections .osrel, .cmdline, .initrd and .linux behind its own. Not signed; sbsign(1) signs it as it is. Fails if the stub is not a
/// PE32+ file for x86-64, has such a section already, or has no room in its header for four more.
Result<std::string> make_unified_kernel(const UnifiedKernelParts& parts);

}  // namespace signet
