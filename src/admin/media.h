// Boot media made of what was built, with this site's settings put in; nothing is compiled and nothing needs root.
//
// Settings travel as local.cfg, certificates and extra files as a second archive behind the initrd (the kernel unpacks both). xorriso(1) makes the
// ISO, mcopy(1) fills FAT file systems.
#pragma once

#include <optional>
#include <string>
#include <vector>

#include "base/result.h"

namespace signet {

struct MediaRequest {
  std::string parts;                  // directory with vmlinuz, initrd.img and boot/ (toolchain/artefacts leaves it in build/out)
  std::string kernel, initrd;         // instead of those in `parts`
  std::string out;                    // file or directory to make
  std::string server, host;           // for local.cfg
  std::string local_cfg;              // a file whose lines go into local.cfg
  std::vector<std::string> consoles;  // console= words; the last is the one that init speaks on
  std::vector<std::string> append;    // more words for the kernel's command line
  std::string ca_bundle;              // PEM file of issuers of https servers
  std::string trust;                  // PEM file of public keys; only what a signed manifest lists is used then
  std::string manifest;               // the tree's manifest.toml, with FILE.sig beside it; nodes refuse an older one
  std::string firmware;               // an archive for the kernel, before the initrd (toolchain/firmware makes it)
  std::vector<std::string> add;       // "FILE:/path/in/the/initrd"
  std::string device;                 // usb: the stick, instead of a file
  bool yes = false;                   // usb: do not ask
  bool force = false;                 // usb: also a disk that is not removable
  std::string serial;                 // usb: the stick's serial number; another stick is refused
  std::string sign, certificate;      // PEM files: the key that signs the UEFI program for Secure Boot, and its certificate
};

/// signet.efi: stub, kernel, initrd, command line in one UEFI program, signed if the request names a key.
Result<> make_efi(const MediaRequest& request);
/// A directory for a TFTP or HTTP server: kernel, initrd, signet.efi, pxelinux, GRUB and iPXE with their configurations.
Result<> make_pxe(const MediaRequest& request);
/// A hybrid image: CD and USB stick, BIOS (isolinux) and UEFI (GRUB, or the signed program); its third partition is FAT, labelled SIGNET-CFG, and
/// holds local.cfg.
Result<> make_iso(const MediaRequest& request);
/// The same onto a stick: shows what stands there, refuses what is mounted or not removable, asks, writes, reads back and compares.
Result<> make_usb(const MediaRequest& request);

}  // namespace signet
