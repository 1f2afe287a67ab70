#!/usr/bin/python3
"""Secure Boot with a key of our own: OVMF learns it, refuses signet.efi unsigned, starts it signed, and the install runs. What a signature opens is tried
from inside: the kernel is locked down, kexec takes no unsigned kernel, no console has a shell, and nobody adds a word to the command line."""

import re
import shutil
import struct
import subprocess
import time
import uuid

from boottest import SHELL, TOP, await_install, check, check_match, check_run, lab, log, net, require, run

GLOBAL, DATABASE = "8be4df61-93ca-11d2-aa0d-00e098032b8c", "d719b2cb-3d3a-4596-a3bc-dad00e67656f"
OWNER = "5f2d7c1e-0b3a-4d8e-9a61-7c2f4e8b9d10"
TAMPERED = "signet.rescue signet.shell=yes lockdown=none"
PARTITION = uuid.UUID("0d3c5a3e-6d0b-4d7e-8f0c-52a4b7a1c0de")
FIRST, SECTORS = 2048, 81920  # of the EFI system partition, 512 bytes each

# kexec by both calls; the loaded kernel is never started.
KEXEC = r"""
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/syscall.h>
#include <unistd.h>
int main(int argc, char **argv) {
  for (int i = 1; i < argc; ++i) {
    int kernel = open(argv[i], O_RDONLY);
    long done = syscall(SYS_kexec_file_load, kernel, -1, 6UL, "quiet", 4UL /* KEXEC_FILE_NO_INITRAMFS */);
    printf("KEXEC %s: %s\n", argv[i], done == 0 ? "loaded" : strerrorname_np(errno));
  }
  printf("KEXEC by kexec_load: %s\n", syscall(SYS_kexec_load, 0UL, 0UL, (void *)0, 0x3e0000UL) == 0 ? "loaded" : strerrorname_np(errno));
}
"""

# A host script that tells what it sees, and then fails, so that it is seen as well what a failure opens.
PROBE = """#!/bin/sh
[ -e /sys/kernel/security/lockdown ] || mount -t securityfs securityfs /sys/kernel/security
echo "PROBE lockdown: $(cat /sys/kernel/security/lockdown)"
echo "PROBE words: $(cat /proc/cmdline)"
/root/kexec /root/unsigned /root/signed
echo "PROBE shells: $(cat /proc/[0-9]*/cmdline | tr '\\0' ' ' | grep -c "[c]onsole-shell")"
echo "PROBE done"
exit 1
"""


def call(*command):
    done = subprocess.run([str(word) for word in command], stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
    if done.returncode != 0:
        raise lab.LabError(f"{' '.join(str(word) for word in command)}: {done.stdout.strip()}")


def make_keys(work):
    """One key for everything; a real site keeps PK, KEK and db apart (UEFI 2.10 §32.3)."""
    key, certificate = work / "key.pem", work / "key.crt"
    call("openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-sha256", "-days", "30", "-subj", "/CN=Signet test", "-keyout", key, "-out", certificate)
    call("openssl", "x509", "-in", certificate, "-outform", "DER", "-out", work / "key.der")
    call("sbsiglist", "--owner", OWNER, "--type", "x509", "--output", work / "key.esl", work / "key.der")
    for name, guid in (("PK", GLOBAL), ("KEK", GLOBAL), ("db", DATABASE)):
        call("sign-efi-sig-list", "-g", OWNER, "-k", key, "-c", certificate, name, work / "key.esl", work / f"{name}.auth")
        # efivarfs wants the attributes in front: non-volatile, boot, run time, time-based authentication.
        (work / f"{name}.variable").write_bytes(b"\x27\0\0\0" + (work / f"{name}.auth").read_bytes())
    return key, certificate


def load_option(words):
    """EFI_LOAD_OPTION (UEFI 2.10 §3.1.3): \\EFI\\signet.efi on our partition, with a command line of somebody else's making."""
    disk = struct.pack("<BBHIQQ16sBB", 4, 1, 42, 1, FIRST, SECTORS, PARTITION.bytes_le, 2, 2)
    name = "\\EFI\\signet.efi\0".encode("utf-16-le")
    path = disk + struct.pack("<BBH", 4, 4, 4 + len(name)) + name + b"\x7f\xff\4\0"
    return struct.pack("<IH", 1, len(path)) + "tampered\0".encode("utf-16-le") + path + f"{words}\0".encode("utf-16-le")


def esp_disk(path, program):
    """A disk whose only partition has the signed program."""
    esp = path.with_suffix(".esp")
    call("mformat", "-C", "-i", esp, "-T", SECTORS, "-h", "16", "-s", "63", "-F", "::")
    call("mmd", "-i", esp, "::/EFI")
    call("mcopy", "-i", esp, program, "::/EFI/signet.efi")
    with open(path, "wb") as disk:
        disk.truncate((FIRST + SECTORS + 2048) * 512)
    subprocess.run(["/usr/sbin/sfdisk", "--quiet", path], input=f"label: gpt\nstart={FIRST}, size={SECTORS}, type=uefi, uuid={PARTITION}\n", text=True, check=True)
    call("dd", f"if={esp}", f"of={path}", "bs=1M", f"seek={FIRST * 512 >> 20}", "conv=notrunc", "status=none")
    return path


def enrol(work):
    """In setup mode the running system may write the keys; the platform key last, which ends that mode."""
    initrd = work / "enrol.img"
    # A boot entry that somebody has left, to be taken at the next start: it starts the signed program with words of its own.
    (work / "Boot0042.variable").write_bytes(b"\x07\0\0\0" + load_option(f"console=ttyS0 {TAMPERED}"))
    (work / "BootNext.variable").write_bytes(b"\x07\0\0\0" + struct.pack("<H", 0x42))
    names = (("Boot0042", GLOBAL), ("BootNext", GLOBAL), ("db", DATABASE), ("KEK", GLOBAL), ("PK", GLOBAL))
    adds = [word for name, _ in names for word in ("--add", f"{work}/{name}.variable:/root/{name}")]
    call(TOP / "initrd/pack", "--quiet", "--out", initrd, *adds)
    command = lab.qemu_command(kernel=lab.OUT / "vmlinuz", initrd=initrd, append="console=ttyS0 signet.rescue quiet", network=None, extra=net.uefi(work, secure=True))
    with lab.Guest(command, log("secure-enrol")) as guest:
        guest.expect(SHELL, 120, "the rescue shell")
        for name, guid in names:
            check_run(guest, f"cat /root/{name} >/sys/firmware/efi/efivars/{name}-{guid}", f"the firmware takes {name}")
        guest.send("poweroff -f")
        guest.wait_off(30)
    print("ok: the firmware has our keys and has left setup mode", flush=True)


def start(network, work, disks, name, efi=None, extra=()):
    """By UEFI HTTP boot if there is a program to be served, else from the first disk."""
    options = net.uefi(work, secure=True) + ["-no-reboot", *extra]
    options += ["-fw_cfg", "name=opt/org.tianocore/IPv4PXESupport,string=n", "-fw_cfg", "name=opt/org.tianocore/IPv6PXESupport,string=n"]
    if efi:
        shutil.copy(efi, work / "tree/boot/new.efi")
        (work / "tree/boot/new.efi").rename(work / "tree/boot/signet.efi")
    return lab.Guest(network.wrap(lab.qemu_command(disks=disks, network=None, extra=options + net.card(network.tap()))), log(f"secure-{name}"))


def sign_tree(work):
    call(lab.OUT / "signet", "tree", "sign", work / "tree", "--key", work / "site")


def probe(work, network, disks, name, program, extra=()):
    """The signed program runs PROBE and fails; what is seen of it, until the machine restarts."""
    with start(network, work, disks, name, program, extra) as guest:
        guest.expect(rb"PROBE done", 300, "the probe's end")
        text = guest.log_bytes().decode(errors="replace")
        words = check_match(r"PROBE words: ([^\r\n]*)", text, f"{name}: the probe says what the command line is").group(1)
        check(words.endswith("lockdown=confidentiality signet.shell=no"), f"{name}: the command line is the signed one", words)
        check(not any(word in words for word in TAMPERED.split()), f"{name}: nobody has added a word to it", words)
        check("PROBE lockdown: none integrity [confidentiality]" in text, f"{name}: the kernel is locked down", text[-2000:])
        check_match(r"KEXEC /root/unsigned: (EPERM|ENOKEY|EKEYREJECTED)", text, f"{name}: kexec refuses an unsigned kernel")
        check("KEXEC /root/signed: loaded" in text, f"{name}: kexec takes a kernel that db's key has signed", text[-2000:])
        check_match(r"KEXEC by kexec_load: (EPERM|ENOSYS)", text, f"{name}: nor is there another kexec")
        check("PROBE shells: 0" in text, f"{name}: no console has a shell", text[-2000:])
        guest.expect(rb"rebooting in 60 s", 120, "the end of a failed install without a shell")
        for _ in range(5):
            guest.console.send("\x03\r\nid\r\n")
            time.sleep(2)
        guest.wait_off(240)
        after = guest.log_bytes().split(b"PROBE done")[-1]
        check(b"uid=" not in after and not re.search(SHELL, after), f"{name}: a failure opens no shell; the machine restarts", after[-600:].decode(errors="replace"))


def secure(work):
    kernel = lab.OUT / "vmlinuz-metal"
    require(kernel.exists(), "build/out/vmlinuz-metal is there; toolchain/artefacts --all builds it")
    key, certificate = make_keys(work)
    enrol(work)
    call(lab.OUT / "signet", "key", "new", "--out", work / "site")
    (work / "kexec.c").write_text(KEXEC)
    call("gcc", "-static", "-Os", "-o", work / "kexec", work / "kexec.c")
    call("sbsign", "--key", key, "--cert", certificate, "--output", work / "kernel.signed", lab.OUT / "vmlinuz")

    unsigned, signed, probing = work / "unsigned.efi", work / "signed.efi", work / "probing.efi"
    media = (lab.OUT / "signet", "media", "efi", "--kernel", kernel, "--trust", work / "site.pub", "--console", "tty0", "--console", "ttyS0")
    signing = ("--sign", key, "--cert", certificate)
    call(*media, "--out", unsigned)
    call(*media, *signing, "--out", signed, "--append", "signet.on-success=poweroff")
    adds = [f"{work}/kexec:/root/kexec", f"{lab.OUT}/vmlinuz:/root/unsigned", f"{work}/kernel.signed:/root/signed"]
    call(*media, *signing, "--out", probing, *(word for add in adds for word in ("--add", add)))

    tree = lab.server_tree(work / "tree", "small")
    (tree / "boot").mkdir()
    sign_tree(work)
    disk = lab.blank_disk(work / "disk.qcow2", "8G")
    with net.Network(work, tree, dhcp=net.pxe_options() + ["--dhcp-ignore=tag:efi", "--dhcp-host=52:54:00:77:00:01,node01"]) as network:
        shutil.move(tree / "hosts", work / "hosts")
        (tree / "hosts").mkdir()
        (tree / "hosts/default.sh").write_text(PROBE)
        sign_tree(work)
        probe(work, network, [esp_disk(work / "esp.img", probing)], "entry", None)
        probe(work, network, [], "http", probing, ["-smbios", f"type=11,value=io.systemd.stub.kernel-cmdline-extra={TAMPERED}"])
        shutil.rmtree(tree / "hosts")
        shutil.move(work / "hosts", tree / "hosts")
        sign_tree(work)
        with start(network, work, [disk], "unsigned", unsigned) as guest:
            if guest.expect([rb"Access Denied|Security Violation", rb"Linux version"], 120, "the firmware's refusal") == 1:
                raise lab.LabError("the firmware started an unsigned signet.efi")
        print("ok: unsigned, signet.efi is refused", flush=True)
        with start(network, work, [disk], "signed", signed) as guest:
            guest.expect(rb"[Ss]ecure boot enabled", 120, "the kernel to say that Secure Boot is on")
            await_install(guest)
        print("ok: signed by our key, it starts and installs", flush=True)
    # The image has a GRUB that nobody has signed, so its first start is by a firmware that does not ask.
    (work / "nvram.fd").unlink()
    with lab.Guest(lab.qemu_command(disks=[disk], network=None, extra=net.uefi(work)), log("secure-disk")) as guest:
        guest.expect(rb"node01 login: ", 240, "the installed system's login prompt")
    print("ok: what was installed starts by UEFI")


if __name__ == "__main__":
    run("secure", secure)
