// What every kind of medium is made of: kernel, initrd with this site's files behind it, command line, tools and boot loaders.
#pragma once

#include <string>

#include "admin/media.h"
#include "base/result.h"

namespace signet {

struct Parts {
  std::string kernel, initrd;
};

/// Reads kernel and initrd and packs --ca-bundle, --trust and --add behind the initrd, --firmware in front of it. `with_config`: local.cfg goes into
/// the initrd, for media that have no place of their own for it.
Result<Parts> load_parts(const MediaRequest& request, bool with_config);

/// The kernel's command line: one line of at most 2000 characters. `medium`: the node looks for a medium with local.cfg and tools. `is_signed`: it
/// ends with the words that a signed program has.
Result<std::string> command_line(const MediaRequest& request, bool medium, bool is_signed = false);

/// What a node knows its boot medium by, in the medium's file systems and in its initrd. Without keys it follows from the parts, so that the same
/// input gives the same bytes; with keys local.cfg counts by it, so it must not be known to whoever can label a disk.
Result<std::string> medium_id(const MediaRequest& request, const Parts& parts, const std::string& config);

/// Another file behind the initrd.
Result<> add_to_initrd(std::string& initrd, const std::string& path, std::string data);

/// local.cfg with a comment for whoever edits it; checked as the node will check it. With --trust it has no settings: the initrd has them.
Result<std::string> config_page(const MediaRequest& request);

/// The tools that a node may need, beside its kernel: without a server it has no other place to get them from.
Result<> copy_tools(const MediaRequest& request, const std::string& to);
/// A boot loader of PARTS/boot into a directory.
Result<> copy_loader(const MediaRequest& request, const std::string& name, const std::string& directory);

/// --sign and --cert go together and need --trust and a kernel with lockdown (vmlinuz-metal).
Result<> check_signing(const MediaRequest& request, const Parts& parts);
/// Stub, kernel, initrd and command line as one UEFI program, signed by sbsign(1) where the request says so.
Result<std::string> unified_kernel(const MediaRequest& request, const Parts& parts, bool medium);

}  // namespace signet
