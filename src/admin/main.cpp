// main of signet, the admin's program.
#include <signal.h>
#include <unistd.h>

#include <cstdio>
#include <format>
#include <span>

#include "admin/keys.h"
#include "admin/media.h"
#include "base/options.h"
#include "base/text.h"

namespace signet {
namespace {

int complain(const Error& error) {
  std::fprintf(stderr, "signet: %s\n", error.message().c_str());
  if (!error.advice().empty()) std::fprintf(stderr, "What to do: %s\n", error.advice().c_str());
  return error.kind() == ErrorKind::usage ? 2 : 1;
}

struct MediaOption : OptionText {
  void (*set)(MediaRequest&, const char* value);
};

constexpr MediaOption media_options[] = {
    {{"out", "PATH", "file to make (pxe: directory)"}, [](MediaRequest& r, const char* v) { r.out = v; }},
    {{"to", "DEVICE", "usb: the stick to write, instead of a file"}, [](MediaRequest& r, const char* v) { r.device = v; }},
    {{"server", "URL", "the server that a node asks (local.cfg)"}, [](MediaRequest& r, const char* v) { r.server = v; }},
    {{"host", "NAME", "the node's name, if the medium is for one node (local.cfg)"}, [](MediaRequest& r, const char* v) { r.host = v; }},
    {{"local-cfg", "FILE", "more lines for local.cfg"}, [](MediaRequest& r, const char* v) { r.local_cfg = v; }},
    {{"console", "CONSOLE", "such as ttyS1,115200; repeatable (ttyS0,115200 and tty0)"},
     [](MediaRequest& r, const char* v) { r.consoles.emplace_back(v); }},
    {{"append", "WORDS", "more words for the kernel's command line; repeatable"}, [](MediaRequest& r, const char* v) { r.append.emplace_back(v); }},
    {{"ca-bundle", "FILE", "issuers (PEM) that https servers are trusted by"}, [](MediaRequest& r, const char* v) { r.ca_bundle = v; }},
    {{"trust", "FILE", "public keys (PEM): only what a signed manifest lists is used"}, [](MediaRequest& r, const char* v) { r.trust = v; }},
    {{"manifest", "FILE", "with --trust: the tree's manifest.toml; nodes refuse an older one"},
     [](MediaRequest& r, const char* v) { r.manifest = v; }},
    {{"firmware", "FILE", "firmware and microcode, as toolchain/firmware packs them"}, [](MediaRequest& r, const char* v) { r.firmware = v; }},
    {{"add", "FILE:PATH", "another file for the initrd; repeatable"}, [](MediaRequest& r, const char* v) { r.add.emplace_back(v); }},
    {{"kernel", "FILE", "instead of PARTS/vmlinuz"}, [](MediaRequest& r, const char* v) { r.kernel = v; }},
    {{"initrd", "FILE", "instead of PARTS/initrd.img"}, [](MediaRequest& r, const char* v) { r.initrd = v; }},
    {{"parts", "DIR", "where the built parts lie (the program's own directory)"}, [](MediaRequest& r, const char* v) { r.parts = v; }},
    {{"sign", "FILE", "key (PEM) that signs the UEFI program for Secure Boot; needs --cert and --trust"},
     [](MediaRequest& r, const char* v) { r.sign = v; }},
    {{"cert", "FILE", "certificate (PEM) of --sign"}, [](MediaRequest& r, const char* v) { r.certificate = v; }},
    {{"serial", "SERIAL", "usb: the stick's serial number; another stick is refused"}, [](MediaRequest& r, const char* v) { r.serial = v; }},
    {{"yes", nullptr, "usb: write without asking"}, [](MediaRequest& r, const char*) { r.yes = true; }},
    {{"force", nullptr, "usb: also to a disk that is not removable, or holds something"}, [](MediaRequest& r, const char*) { r.force = true; }},
};

struct Medium {
  std::string_view name, summary;
  Result<> (*make)(const MediaRequest&);
};
constexpr Medium kinds[] = {
    {"iso", "a hybrid image: CD and USB stick, BIOS and UEFI", make_iso},
    {"usb", "the same, as a file or straight onto a stick", make_usb},
    {"pxe", "a directory for TFTP and HTTP servers", make_pxe},
    {"efi", "one UEFI program: kernel, initrd and command line", make_efi},
};

std::vector<OptionText> texts() { return {std::begin(media_options), std::end(media_options)}; }

void media_help() {
  std::printf(
      "signet media makes boot media of what was built, with your settings put in. It needs no root, but for --to.\n\nUsage: signet media KIND "
      "[OPTION]...\n\nKinds:\n");
  for (const auto& kind : kinds) std::printf("  %-6s %s\n", std::string(kind.name).c_str(), std::string(kind.summary).c_str());
  std::printf("\nOptions:\n%s", options_text(texts()).c_str());
  std::printf("\nExample: signet media usb --to /dev/sdX --server http://192.0.2.1/signet/\n");
}

std::string own_directory() {
  char path[4096];
  const ssize_t length = ::readlink("/proc/self/exe", path, sizeof path);
  const std::string_view text(path, length > 0 ? static_cast<std::size_t>(length) : 0);
  return std::string(text.substr(0, text.rfind('/')));
}

Result<> media(int count, char** arguments) {
  const auto* advice = "see `signet media --help`";
  MediaRequest request;
  const auto parsed = TRY(parse_arguments("media", advice, texts(), count, arguments,
                                          [&](std::size_t which, const char* value) { media_options[which].set(request, value); }));
  if (parsed.help) return media_help(), Result<>();
  if (parsed.words.size() != 1) return std::unexpected(Error(ErrorKind::usage, "media: name one kind: iso, usb, pxe or efi").advise(advice));
  for (const auto& kind : kinds) {
    if (kind.name != parsed.words.front()) continue;
    if (request.parts.empty()) request.parts = own_directory();
    if (!request.device.empty() && kind.name != "usb") return fail(ErrorKind::usage, "media {}: --to is for usb", kind.name);
    if (request.out.empty() && request.device.empty())
      return std::unexpected(Error(ErrorKind::usage, std::format("media {}: --out is missing: where to?", kind.name)).advise(advice));
    TRY_WITHIN(kind.make(request), std::format("media {}", kind.name));
    if (request.device.empty()) std::printf("%s\n", request.out.c_str());
    return {};
  }
  return std::unexpected(Error(ErrorKind::usage, std::format("media: there is no kind `{}`", printable(parsed.words.front()))).advise(advice));
}

int run_admin(int count, char** arguments) {
  ::signal(SIGPIPE, SIG_IGN);
  const std::string_view verb = count > 1 ? arguments[1] : "";
  if (verb.empty() || verb == "--help" || verb == "-h" || verb == "help") {
    std::printf(
        "signet " SIGNET_VERSION
        " is the admin's side of Signet.\n\nUsage: signet VERB [OPTION]...\n\n  media  make boot media: ISO, USB stick, PXE directory, UEFI "
        "program\n  key    make a key pair: signet key new\n  tree   sign a server's tree, or verify it\n\n`signet VERB --help` says more.\n");
    return verb.empty() ? 2 : 0;
  }
  if (verb == "--version" || verb == "version") {
    std::printf("signet " SIGNET_VERSION "\n");
    return 0;
  }
  const struct {
    std::string_view name;
    Result<> (*run)(int, char**);
  } verbs[] = {{"media", media}, {"key", key_verb}, {"tree", tree_verb}};
  for (const auto& known : verbs) {
    if (known.name != verb) continue;
    const auto done = known.run(count - 1, arguments + 1);
    return done ? 0 : complain(done.error());
  }
  return complain(Error(ErrorKind::usage, std::format("there is no verb `{}`", printable(verb))).advise("see `signet --help`"));
}

}  // namespace
}  // namespace signet

int main(int argc, char** argv) { return signet::run_admin(argc, argv); }
