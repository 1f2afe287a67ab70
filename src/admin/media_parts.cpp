#include "admin/media_parts.h"

#include <sys/random.h>
#include <sys/stat.h>

#include <format>

#include "admin/cpio.h"
#include "admin/host_tools.h"
#include "admin/part_file.h"
#include "base/fd.h"
#include "base/text.h"
#include "base/uri.h"
#include "fetch/fetch.h"
#include "fetch/manifest.h"
#include "fetch/signature.h"
#include "machine/local_config.h"

namespace signet {
namespace {

// What the kernel's panics and hangs come to without anybody there: the machine starts again after 30 s.
constexpr std::string_view always = "panic=30";
// A signed program says what a signature opens: the kernel is locked down, and no shell opens without a key.
constexpr std::string_view when_signed = "lockdown=confidentiality signet.shell=no";

std::string toml_quoted(std::string_view text) {
  std::string out = "\"";
  for (const char c : text) {
    if (c == '"' || c == '\\') out += '\\';
    out += c;
  }
  return out + "\"";
}

// What --server, --host and --local-cfg say, checked as the node will check it.
Result<std::string> local_config_text(const MediaRequest& request) {
  std::string text;
  if (!request.server.empty()) {
    TRY_WITHIN(parse_uri(request.server.contains("://") ? request.server : "http://" + request.server), "--server");
    text += "server = " + toml_quoted(request.server) + "\n";
  }
  if (!request.host.empty()) text += "host = " + toml_quoted(request.host) + "\n";
  if (!request.local_cfg.empty()) text += TRY_WITHIN(read_regular_file(request.local_cfg, 1 << 20), "--local-cfg");
  TRY(parse_local_config(text, request.local_cfg.empty() ? "local.cfg" : request.local_cfg));
  return text;
}

}  // namespace

Result<std::string> config_page(const MediaRequest& request) {
  return "# Settings of the machine that starts from this medium; see docs/booting.md. Edit with any editor.\n"
         "# server = \"http://192.0.2.1/signet/\"\n# host = \"node01\"\n# network = \"ip=… as on a kernel command line\"\n" +
         (request.trust.empty() ? TRY(local_config_text(request)) : std::string());
}

Result<std::string> command_line(const MediaRequest& request, bool medium, bool is_signed) {
  std::string line;
  const auto add = [&](std::string_view word) { line.append(line.empty() ? "" : " ").append(word); };
  for (const auto& console : request.consoles) add(console.starts_with("console=") ? console : "console=" + console);
  if (request.consoles.empty()) add("console=ttyS0,115200 console=tty0");
  if (medium) add("signet.medium");
  add(always);
  for (const auto& words : request.append) add(words);
  if (is_signed) add(when_signed);  // the last word on a name counts
  for (const char c : line)
    if (c == '\n' || c == '\0') return fail(ErrorKind::usage, "a kernel command line is one line");
  if (line.size() > 2000) return fail(ErrorKind::usage, "the kernel command line has {} characters; 2000 fit", line.size());
  return line;
}

Result<Parts> load_parts(const MediaRequest& request, bool with_config) {
  Parts parts;
  parts.kernel = TRY(request.kernel.empty() ? read_part(request.parts, "vmlinuz", largest_image) : read_regular_file(request.kernel, largest_image));
  parts.initrd =
      TRY(request.initrd.empty() ? read_part(request.parts, "initrd.img", largest_image) : read_regular_file(request.initrd, largest_image));
  CpioArchive more;
  const auto config = TRY(local_config_text(request));
  if (with_config && !config.empty()) TRY(more.add("/etc/signet/local.cfg", config));
  const auto put = [&](const std::string& file, const std::string& to, const char* option, unsigned mode = 0644) -> Result<> {
    auto data = TRY_WITHIN(read_regular_file(file, largest_image), option);
    return more.add(to, std::move(data), mode).transform_error([&](Error error) { return std::move(error).within(option); });
  };
  if (!request.ca_bundle.empty()) TRY(put(request.ca_bundle, "/etc/ssl/certs/ca-certificates.crt", "--ca-bundle"));
  if (!request.trust.empty()) {
    const auto pem = TRY_WITHIN(read_regular_file(request.trust, largest_loader), "--trust");
    TrustedKeys keys;
    TRY_WITHIN(keys.add(pem, request.trust), "--trust");
    TRY(put(request.trust, "/etc/signet/trust.pem", "--trust"));
    if (!request.manifest.empty()) {
      const auto text = TRY_WITHIN(read_regular_file(request.manifest, largest_manifest), "--manifest");
      const auto signature = TRY_WITHIN(read_regular_file(request.manifest + ".sig", largest_manifest_signature), "--manifest");
      const auto manifest = TRY_WITHIN(open_manifest(text, signature, keys, {.least_serial = 0, .now = 0}, request.manifest), "--manifest");
      TRY(more.add("/etc/signet/trust.serial", std::to_string(manifest.serial) + "\n"));
    }
  } else if (!request.manifest.empty()) {
    return std::unexpected(Error(ErrorKind::usage, "--manifest needs --trust").advise("name the public keys that have signed it"));
  }
  for (const auto& pair : request.add) {
    const auto colon = pair.find(":/");
    if (colon == std::string::npos || colon == 0) return fail(ErrorKind::usage, "--add {}: write it as FILE:/path/in/the/initrd", printable(pair));
    const auto file = pair.substr(0, colon);
    struct stat status{};
    const bool program = ::stat(file.c_str(), &status) == 0 && (status.st_mode & 0111);
    TRY(put(file, pair.substr(colon + 1), "--add", program ? 0755 : 0644));
  }
  if (!more.empty()) {
    parts.initrd.resize((parts.initrd.size() + 3) / 4 * 4, '\0');  // archives start at multiples of four
    parts.initrd += more.bytes();
  }
  if (!request.firmware.empty()) {
    // Microcode is looked for at the very start (Documentation/arch/x86/microcode.rst).
    auto first = TRY_WITHIN(read_regular_file(request.firmware, largest_image), "--firmware");
    if (!first.starts_with("070701") && !first.starts_with("\xfd"
                                                           "7zXZ"))
      return std::unexpected(Error(ErrorKind::invalid, std::format("--firmware {}: this is no archive that the kernel unpacks", request.firmware))
                                 .advise("make one with toolchain/firmware"));
    first.resize((first.size() + 3) / 4 * 4, '\0');
    parts.initrd.insert(0, first);
  }
  return parts;
}

Result<std::string> medium_id(const MediaRequest& request, const Parts& parts, const std::string& config) {
  constexpr std::size_t digits = 32;
  auto seed = sha256_text(parts.kernel) + sha256_text(parts.initrd) + config;
  if (!request.trust.empty()) {
    seed.assign(digits, '\0');
    if (::getrandom(seed.data(), seed.size(), 0) != static_cast<ssize_t>(seed.size())) return fail_errno("read random numbers");
  }
  return sha256_text(seed).substr(0, digits) + "\n";
}

Result<> add_to_initrd(std::string& initrd, const std::string& path, std::string data) {
  CpioArchive more;
  TRY(more.add(path, std::move(data)));
  initrd.resize((initrd.size() + 3) / 4 * 4, '\0');  // archives start at multiples of four
  initrd += more.bytes();
  return {};
}

Result<> copy_tools(const MediaRequest& request, const std::string& to) {
  const auto names = TRY(list_part(request.parts, "boot/tools"));
  if (!names.empty()) TRY(make_directories(to));
  for (const auto& name : names) {
    const auto program = TRY(read_part(request.parts, "boot/tools/" + name, largest_loader));
    TRY(write_file(to + "/" + name, program, 0755));
  }
  return {};
}

Result<> copy_loader(const MediaRequest& request, const std::string& name, const std::string& directory) {
  const auto loader = TRY(read_part(request.parts, "boot/" + name, largest_loader));
  return write_file(directory + "/" + name, loader);
}

}  // namespace signet
