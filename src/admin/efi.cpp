#include <format>

#include "admin/host_tools.h"
#include "admin/media.h"
#include "admin/media_parts.h"
#include "admin/part_file.h"
#include "admin/unified_kernel.h"
#include "base/fd.h"
#include "base/text.h"

namespace signet {
namespace {

// The release of a bzImage, "6.12.107-metal" (Documentation/arch/x86/boot.rst, kernel_version); empty if it is not one.
std::string release_of(std::string_view kernel) {
  constexpr std::size_t magic_at = 0x202, version_at = 0x20e, base = 0x200;
  if (kernel.size() < version_at + 2 || kernel.substr(magic_at, 4) != "HdrS") return {};
  const auto at = base + static_cast<unsigned char>(kernel[version_at]) + std::size_t{256} * static_cast<unsigned char>(kernel[version_at + 1]);
  if (at >= kernel.size()) return {};
  const auto text = kernel.substr(at, 100);
  return printable(text.substr(0, text.find_first_of(std::string_view(" \0", 2))));
}

Result<std::string> sign(const MediaRequest& request, std::string_view program) {
  const auto scratch = TRY(Scratch::make());
  const auto plain = scratch / "plain.efi", signed_program = scratch / "signed.efi";
  TRY(write_file(plain, program));
  TRY_WITHIN(run_tool({"sbsign", "--key", request.sign, "--cert", request.certificate, "--output", signed_program, plain}, "sbsigntool"), "--sign");
  return read_regular_file(signed_program, largest_image);
}

}  // namespace

Result<> check_signing(const MediaRequest& request, const Parts& parts) {
  if (request.sign.empty() && request.certificate.empty()) return {};
  if (request.sign.empty() || request.certificate.empty())
    return std::unexpected(Error(ErrorKind::usage, request.sign.empty() ? "--cert needs --sign" : "--sign needs --cert")
                               .advise("give the key and its certificate: --sign db.key --cert db.crt"));
  if (request.trust.empty())
    return std::unexpected(
        Error(ErrorKind::refused, "a signed program without --trust would give every machine with Secure Boot to whoever answers its DHCP request")
            .advise("name the public keys that the tree is signed by: --trust keys.pem"));
  if (const auto release = release_of(parts.kernel); !release.contains("-metal"))
    return std::unexpected(
        Error(ErrorKind::refused, std::format("this kernel ({}) has no lockdown, so it is not signed", release.empty() ? "unknown" : release))
            .advise("use the other kernel: toolchain/artefacts --all, then --kernel build/out/vmlinuz-metal"));
  return {};
}

Result<std::string> unified_kernel(const MediaRequest& request, const Parts& parts, bool medium) {
  TRY(check_signing(request, parts));
  const bool is_signed = !request.sign.empty();
  const auto stub = TRY(read_part(request.parts, "boot/linuxx64.efi.stub", largest_loader));
  const auto release = "ID=signet\nNAME=Signet\nPRETTY_NAME=\"Signet " SIGNET_VERSION "\"\nVERSION_ID=" SIGNET_VERSION "\n";
  const auto line = TRY(command_line(request, medium, is_signed));
  const auto program =
      TRY(make_unified_kernel({.stub = stub, .kernel = parts.kernel, .initrd = parts.initrd, .command_line = line, .os_release = release}));
  return is_signed ? sign(request, program) : program;
}

Result<> make_efi(const MediaRequest& request) {
  const auto parts = TRY(load_parts(request, true));
  const auto program = TRY(unified_kernel(request, parts, false));
  return write_file(request.out, program);
}

}  // namespace signet
