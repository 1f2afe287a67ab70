#include "admin/media.h"

#include <sys/stat.h>
#include <unistd.h>

#include <cstdlib>
#include <filesystem>
#include <format>

#include "admin/cpio.h"
#include "admin/stick.h"
#include "admin/unified_kernel.h"
#include "base/fd.h"
#include "base/process.h"
#include "base/size.h"
#include "base/text.h"
#include "base/uri.h"
#include "fetch/signature.h"
#include "machine/local_config.h"

namespace signet {
namespace {

namespace fs = std::filesystem;

constexpr std::size_t largest_part = 1 << 30;
constexpr std::uint64_t config_size = MiB;  // of the SIGNET-CFG file system

Result<std::string> read_part(const std::string& path) {
  auto text = read_file(path, largest_part);
  if (!text)
    return std::unexpected(std::move(text).error().advise("build it with toolchain/artefacts, or name the directory that has it with --parts"));
  return text;
}

// A directory that goes away with this object.
class Scratch {
 public:
  static Result<Scratch> make() {
    std::string name = (std::getenv("TMPDIR") ? std::string(std::getenv("TMPDIR")) : "/tmp") + "/signet-media-XXXXXX";
    if (!::mkdtemp(name.data())) return fail_errno("make {}", name);
    return Scratch(std::move(name));
  }
  Scratch(Scratch&& other) noexcept : path_(std::exchange(other.path_, {})) {}
  Scratch(const Scratch&) = delete;
  ~Scratch() {
    std::error_code ignored;
    if (!path_.empty()) fs::remove_all(path_, ignored);
  }
  std::string operator/(std::string_view name) const { return path_ + "/" + std::string(name); }

 private:
  explicit Scratch(std::string path) : path_(std::move(path)) {}
  std::string path_;
};

Result<> make_directories(const std::string& path) {
  std::error_code error;
  fs::create_directories(path, error);
  if (error) return fail(ErrorKind::io, "make directory {}: {}", path, error.message());
  return {};
}

Result<> tool(std::vector<std::string> arguments, const char* package) {
  const auto name = arguments.front();
  // The same input gives the same bytes: file systems take this for the time of everything in them.
  std::vector<std::string> environment = {"MTOOLS_SKIP_CHECK=1"};
  if (!std::getenv("SOURCE_DATE_EPOCH")) environment.emplace_back("SOURCE_DATE_EPOCH=946684800");
  auto ran = run_checked({.arguments = std::move(arguments), .environment = std::move(environment), .time_limit = std::chrono::minutes(10)});
  if (ran) return {};
  if (ran.error().kind() == ErrorKind::not_found)
    return std::unexpected(Error(ErrorKind::not_found, name + " is not installed").advise(std::string("install Debian's package ") + package));
  return std::unexpected(std::move(ran).error());
}

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
  if (!request.local_cfg.empty()) text += TRY_WITHIN(read_file(request.local_cfg, 1 << 20), "--local-cfg");
  TRY(parse_local_config(text, request.local_cfg.empty() ? "local.cfg" : request.local_cfg));
  return text;
}

std::string config_page(const std::string& text) {
  return "# Settings of the machine that starts from this medium; see docs/booting.md. Edit with any editor.\n"
         "# server = \"http://192.0.2.1/signet/\"\n# host = \"node01\"\n# network = \"ip=… as on a kernel command line\"\n" +
         text;
}

Result<std::string> command_line(const MediaRequest& request, bool medium) {
  std::string line;
  const auto add = [&](std::string_view word) { line.append(line.empty() ? "" : " ").append(word); };
  for (const auto& console : request.consoles) add(console.starts_with("console=") ? console : "console=" + console);
  if (request.consoles.empty()) add("console=ttyS0,115200 console=tty0");
  if (medium) add("signet.medium");
  for (const auto& words : request.append) add(words);
  for (const char c : line)
    if (c == '\n' || c == '\0') return fail(ErrorKind::usage, "a kernel command line is one line");
  if (line.size() > 2000) return fail(ErrorKind::usage, "the kernel command line has {} characters; 2000 fit", line.size());
  return line;
}

struct Parts {
  std::string kernel, initrd;
};

// `with_config`: local.cfg goes into the initrd, for media that have no place of their own for it.
Result<Parts> load_parts(const MediaRequest& request, bool with_config) {
  Parts parts;
  parts.kernel = TRY(read_part(request.kernel.empty() ? request.parts + "/vmlinuz" : request.kernel));
  parts.initrd = TRY(read_part(request.initrd.empty() ? request.parts + "/initrd.img" : request.initrd));
  CpioArchive more;
  const auto config = TRY(local_config_text(request));
  if (with_config && !config.empty()) TRY(more.add("/etc/signet/local.cfg", config));
  const auto put = [&](const std::string& file, const std::string& to, const char* option, unsigned mode = 0644) -> Result<> {
    auto data = TRY_WITHIN(read_file(file, largest_part), option);
    return more.add(to, std::move(data), mode).transform_error([&](Error error) { return std::move(error).within(option); });
  };
  if (!request.ca_bundle.empty()) TRY(put(request.ca_bundle, "/etc/ssl/certs/ca-certificates.crt", "--ca-bundle"));
  if (!request.trust.empty()) {
    const auto pem = TRY_WITHIN(read_file(request.trust, largest_part), "--trust");
    TRY_WITHIN(TrustedKeys().add(pem, request.trust), "--trust");
    TRY(put(request.trust, "/etc/signet/trust.pem", "--trust"));
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
    auto first = TRY_WITHIN(read_file(request.firmware, largest_part), "--firmware");
    if (!first.starts_with("070701") && !first.starts_with("\xfd"
                                                           "7zXZ"))
      return std::unexpected(Error(ErrorKind::invalid, std::format("--firmware {}: this is no archive that the kernel unpacks", request.firmware))
                                 .advise("make one with toolchain/firmware"));
    first.resize((first.size() + 3) / 4 * 4, '\0');
    parts.initrd.insert(0, first);
  }
  return parts;
}

// The tools that a node may need, beside its kernel: without a server it has no other place to get them from.
Result<> copy_tools(const MediaRequest& request, const std::string& to) {
  const auto from = request.parts + "/boot/tools";
  std::error_code error;
  if (!fs::is_directory(from, error)) return {};
  fs::copy(from, to, fs::copy_options::recursive | fs::copy_options::overwrite_existing, error);
  if (error) return fail(ErrorKind::io, "copy {}: {}", from, error.message());
  return {};
}

Result<std::string> unified_kernel(const MediaRequest& request, const Parts& parts, const std::string& line) {
  const auto stub = TRY(read_part(request.parts + "/boot/linuxx64.efi.stub"));
  const auto release = "ID=signet\nNAME=Signet\nPRETTY_NAME=\"Signet " SIGNET_VERSION "\"\nVERSION_ID=" SIGNET_VERSION "\n";
  return make_unified_kernel({.stub = stub, .kernel = parts.kernel, .initrd = parts.initrd, .command_line = line, .os_release = release});
}

Result<> copy_loader(const MediaRequest& request, const std::string& name, const std::string& directory) {
  const auto loader = TRY(read_part(request.parts + "/boot/" + name));
  return write_file(directory + "/" + name, loader);
}

// A FAT file system in a file, with files put in ("/EFI/BOOT/BOOTX64.EFI" from a path).
Result<> make_fat(const std::string& image, std::uint64_t size, const std::string& label,
                  const std::vector<std::pair<std::string, std::string>>& files) {
  TRY(write_file(image, {}));
  TRY(tool({"mformat", "-C", "-i", image, "-T", std::to_string(size / 512), "-h", "16", "-s", "63", "-v", label, "-N", "51c00001", "::"}, "mtools"));
  for (const auto& [to, from] : files) {
    for (auto slash = to.find('/', 1); slash != std::string::npos; slash = to.find('/', slash + 1))
      if (auto made = tool({"mmd", "-D", "s", "-i", image, "::" + to.substr(0, slash)}, "mtools"); !made && !to.substr(0, slash).empty()) {
        // It is there already when an earlier file needed it.
        if (made.error().kind() == ErrorKind::not_found) return made;
      }
    TRY(tool({"mcopy", "-o", "-i", image, from, "::" + to}, "mtools"));
  }
  return {};
}

std::string isolinux_menu(const std::string& line) {
  return std::format(
      "SERIAL 0 115200\nDEFAULT signet\nPROMPT 0\nTIMEOUT 20\n"
      "LABEL signet\n  KERNEL /boot/vmlinuz\n  INITRD /boot/initrd.img\n  APPEND {0}\n"
      "LABEL rescue\n  KERNEL /boot/vmlinuz\n  INITRD /boot/initrd.img\n  APPEND {0} signet.rescue\n",
      line);
}

}  // namespace

Result<> make_efi(const MediaRequest& request) {
  const auto parts = TRY(load_parts(request, true));
  const auto line = TRY(command_line(request, false));
  const auto program = TRY(unified_kernel(request, parts, line));
  return write_file(request.out, program);
}

Result<> make_pxe(const MediaRequest& request) {
  const auto parts = TRY(load_parts(request, true));
  const auto line = TRY(command_line(request, false));
  const auto& out = request.out;
  TRY(make_directories(out + "/pxelinux.cfg"));
  TRY(write_file(out + "/vmlinuz", parts.kernel));
  TRY(write_file(out + "/initrd.img", parts.initrd));
  const auto program = TRY(unified_kernel(request, parts, line));
  TRY(write_file(out + "/signet.efi", program));
  // What a firmware of each kind fetches first; each then reads its configuration from this directory.
  for (const char* loader : {"lpxelinux.0", "ldlinux.c32", "grubnetx64.efi", "undionly.kpxe", "snponly.efi"}) TRY(copy_loader(request, loader, out));
  TRY(copy_tools(request, out + "/tools"));
  TRY(write_file(
      out + "/pxelinux.cfg/default",
      std::format("SERIAL 0 115200\nDEFAULT signet\nPROMPT 0\nLABEL signet\n  KERNEL vmlinuz\n  INITRD initrd.img\n  APPEND {}\n  IPAPPEND 2\n",
                  line)));
  TRY(write_file(
      out + "/grub.cfg",
      std::format("set timeout=0\nmenuentry Signet {{\n  linux $prefix/vmlinuz {} BOOTIF=01-$net_default_mac\n  initrd $prefix/initrd.img\n}}\n",
                  line)));
  return write_file(out + "/boot.ipxe",
                    std::format("#!ipxe\nkernel vmlinuz initrd=initrd.img {} BOOTIF=01-${{netX/mac:hexhyp}}\ninitrd initrd.img\nboot\n", line));
}

Result<> make_iso(const MediaRequest& request) {
  const auto parts = TRY(load_parts(request, false));
  const auto line = TRY(command_line(request, true));
  const auto config = config_page(TRY(local_config_text(request)));
  const auto scratch = TRY(Scratch::make());
  const auto tree = scratch / "tree";
  TRY(make_directories(tree + "/boot/tools"));
  TRY(make_directories(tree + "/isolinux"));
  TRY(write_file(tree + "/boot/vmlinuz", parts.kernel));
  TRY(write_file(tree + "/boot/initrd.img", parts.initrd));
  TRY(write_file(tree + "/local.cfg", config));  // a CD has no partitions
  TRY(write_file(tree + "/isolinux/isolinux.cfg", isolinux_menu(line)));
  for (const char* loader : {"isolinux.bin", "ldlinux.c32"}) TRY(copy_loader(request, loader, tree + "/isolinux"));
  TRY(copy_tools(request, tree + "/boot/tools"));
  const auto efi = scratch / "signet.efi", esp = scratch / "esp.img", settings = scratch / "config.img";
  const auto program = TRY(unified_kernel(request, parts, line));
  TRY(write_file(efi, program));
  // FAT's own tables and clusters take a little; a MiB is enough for one file.
  TRY(make_fat(esp, (program.size() / MiB + 2) * MiB, "SIGNET-EFI", {{"/EFI/BOOT/BOOTX64.EFI", efi}}));
  TRY(make_fat(settings, config_size, std::string(config_label), {{"/local.cfg", tree + "/local.cfg"}}));
  return tool({"xorriso",
               "-as",
               "mkisofs",
               "-quiet",
               "-o",
               request.out,
               "-V",
               std::string(medium_label),
               "-r",
               "-J",
               "-isohybrid-mbr",
               request.parts + "/boot/isohdpfx.bin",
               "-b",
               "isolinux/isolinux.bin",
               "-c",
               "isolinux/boot.cat",
               "-no-emul-boot",
               "-boot-load-size",
               "4",
               "-boot-info-table",
               "-eltorito-alt-boot",
               "-e",
               "--interval:appended_partition_2:all::",
               "-no-emul-boot",
               "-partition_offset",
               "16",
               "-append_partition",
               "2",
               "0xef",
               esp,
               "-append_partition",
               "3",
               "0x0c",
               settings,
               tree},
              "xorriso");
}

Result<> make_usb(const MediaRequest& request) {
  if (request.device.empty()) return make_iso(request);
  const auto stick = TRY(describe_stick(request.device));
  TRY(check_stick(stick, request.force));
  const auto scratch = TRY(Scratch::make());
  auto whole = request;
  whole.out = scratch / "signet.iso";
  TRY(make_iso(whole));
  if (!request.yes) TRY(ask_for_stick(stick));
  return write_stick(whole.out, stick);
}

}  // namespace signet
