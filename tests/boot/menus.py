#!/usr/bin/python3
"""Each boot loader's menu, driven at a serial console: it shows four entries, takes the first by itself, and each of the others when it is picked.

The local disk is one that says on the serial line that it has been started: a first sector for a BIOS, a UEFI program in an EFI system partition."""

import argparse
import re
import subprocess

from boottest import SHELL, check, lab, log, net, run
from paths import media

ENTRIES = ["automatic", "install", "local", "rescue"]
LOCAL = b"LOCAL-DISK-STARTED"
SECTORS = 131072  # of 512 bytes: the disk has 64 MiB


def bios_disk(path):
    """Its first sector sends LOCAL to the first serial port and halts."""
    code = bytes.fromhex("fa31c08ed8be167cbaf803ac84c07403eeebf8f4ebfd")
    sector = code + LOCAL + b"\r\n\0"
    path.write_bytes(sector + b"\0" * (510 - len(sector)) + b"\x55\xaa")
    with open(path, "r+b") as disk:
        disk.truncate(SECTORS * 512)
    return path


def uefi_disk(path, work):
    """GPT with an EFI system partition whose loader is a GRUB that says LOCAL."""
    script = work / "local.cfg"
    script.write_text(f"echo {LOCAL.decode()}\nhalt\n")
    lab_run("grub-mkimage", "-O", "x86_64-efi", "-p", "/", "-c", script, "-o", work / "local.efi", "normal", "echo", "halt", "configfile")
    esp = work / "local-esp.img"
    lab_run("mformat", "-C", "-i", esp, "-T", "98304", "-h", "16", "-s", "63", "-F", "::")
    lab_run("mmd", "-i", esp, "::/EFI")
    for place in ("::/EFI/BOOT/BOOTX64.EFI", "::/EFI/debian/grubx64.efi"):  # for a firmware without an entry, and as an installed system has it
        lab_run("mmd", "-i", esp, place.rsplit("/", 1)[0])
        lab_run("mcopy", "-i", esp, work / "local.efi", place)
    with open(path, "wb") as disk:
        disk.truncate(SECTORS * 512)
    lab_run("sfdisk", "--quiet", path, text="label: gpt\nstart=2048, size=98304, type=uefi\n")
    lab_run("dd", f"if={esp}", f"of={path}", "bs=1M", "seek=1", "conv=notrunc", "status=none")
    return path


def lab_run(*command, text=None):
    done = subprocess.run([str(word) for word in command], input=text, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, env={"PATH": "/usr/sbin:/usr/bin:/sbin:/bin", "MTOOLS_SKIP_CHECK": "1"})
    if done.returncode != 0:
        raise lab.LabError(f"{' '.join(str(word) for word in command)}: {done.stdout.strip()}")


class Menu:
    """One boot loader. Each shows rescue last and takes an entry's first letter."""

    def __init__(self, uefi=False, medium=None, dhcp=None, rom=None, sercon=False):
        self.uefi, self.medium, self.dhcp, self.rom, self.sercon = uefi, medium, dhcp, rom, sercon


MENUS = {
    "isolinux-cd": Menu(medium="cd"),
    "isolinux-usb": Menu(medium="usb"),
    "grub-cd": Menu(uefi=True, medium="cd"),
    "grub-usb": Menu(uefi=True, medium="usb"),
    "pxelinux": Menu(dhcp=["--dhcp-boot=lpxelinux.0"]),
    "grub-net": Menu(uefi=True, dhcp=net.pxe_options(), rom=""),  # the firmware's own PXE; the card's ROM is an iPXE
    "ipxe-bios": Menu(dhcp=["--dhcp-boot=boot.ipxe"], sercon=True),
    "ipxe-uefi": Menu(uefi=True, dhcp=["--dhcp-match=set:ipxe,175", "--dhcp-boot=tag:!ipxe,snponly.efi", "--dhcp-boot=tag:ipxe,boot.ipxe"], rom=""),
}


def machine(name, menu, work, network, disk, attempt):
    # Without a screen SeaBIOS puts its own on the serial line, where iPXE can be read and answered; syslinux speaks there by itself.
    extra = ["-no-reboot"] + (["-machine", "graphics=off"] if menu.sercon else [])
    extra += ["-drive", f"file={disk},if=none,id=local,format=raw,snapshot=on", "-device", "virtio-blk-pci,drive=local,bootindex=10"]
    if menu.uefi:
        (work / "nvram.fd").unlink(missing_ok=True)
        extra += net.uefi(work)
    if menu.medium == "cd":
        extra += ["-drive", f"file={work}/signet.iso,if=none,id=medium,format=raw,readonly=on", "-device", "ide-cd,drive=medium,bus=ide.0,bootindex=0"]
    elif menu.medium == "usb":
        extra += ["-device", "qemu-xhci", "-drive", f"file={work}/signet.usb,if=none,id=medium,format=raw,snapshot=on", "-device", "usb-storage,drive=medium,bootindex=0,removable=on"]
    command = lab.qemu_command(network=None, memory=512, extra=extra)
    if network:
        tap = network.tap()
        card = net.card(tap, boot=True, rom=menu.rom)
        card[-1] = card[-1].replace("bootindex=100", "bootindex=0")
        command = network.wrap(command + card)
    return lab.Guest(command, log(f"menu-{name}-{attempt}"))


def drive(name, menu, work):
    disk = uefi_disk(work / "local.img", work) if menu.uefi else bios_disk(work / "local.img")
    tftp = network = None
    if menu.medium:
        media("iso", work / "signet.iso")
        media("usb", work / "signet.usb")
    else:
        tftp = media("pxe", work / "tftp")
        network = net.Network(work, None, tftp, [*menu.dhcp, "--dhcp-host=52:54:00:77:00:01,node01"])
    try:
        for entry, wanted in (("local", LOCAL), ("rescue", SHELL), ("install", b"signet.install=always"), ("", rb"Command line: [^\r\n]*panic=30[^\r\n]*")):
            with machine(name, menu, work, network, disk, entry or "default") as guest:
                guest.expect(rb"escue: ", 600, f"{name}'s menu")
                shown = plain(guest.log_bytes())
                if entry:
                    missing = [each for each in ENTRIES if each not in shown]
                    if missing:
                        raise lab.LabError(f"{name} does not show {missing}: {shown[-800:]}")
                    guest.console.send(entry[0])
                guest.expect(wanted, 600, f"{name}: {entry or 'the first entry by itself'}")
                if not entry and re.search(rb"signet\.(rescue|install)", guest.match.group(0)):
                    raise lab.LabError(f"{name} has not taken automatic by itself: {guest.match.group(0)}")
                check(True, f"{name}: {entry or 'automatic, by itself'}")
    finally:
        if network:
            network.close()


def plain(output):
    """Text without the terminal's escape sequences."""
    return re.sub(rb"\x1b\[[0-9;?]*[A-Za-z]|[\x0e\x0f]", b"", output).decode(errors="replace")


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("menu", choices=MENUS)
    name = parser.parse_args().menu
    run(f"menu-{name}", lambda work: drive(name, MENUS[name], work), root=not MENUS[name].medium)


if __name__ == "__main__":
    main()
