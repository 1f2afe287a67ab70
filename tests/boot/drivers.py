#!/usr/bin/python3
"""The metal kernel on every network card and disk controller that QEMU can play: each pair installs a machine; the table at the end says which."""

import subprocess
import time

from boottest import SHELL, TOP, await_install, check_run, lab, log, run

DISKS = {
    "virtio": ["-device", "virtio-blk-pci,drive=disk"],
    "ahci": ["-device", "ide-hd,drive=disk,bus=ide.0"],
    "nvme": ["-device", "nvme,drive=disk,serial=signet"],
    "megasas": ["-device", "megasas", "-device", "scsi-hd,drive=disk"],
    "megasas-gen2": ["-device", "megasas-gen2", "-device", "scsi-hd,drive=disk"],
    "mptsas1068": ["-device", "mptsas1068", "-device", "scsi-hd,drive=disk,wwn=0x5000c50015ea71ac"],  # a SAS disk has an address
    "pvscsi": ["-device", "pvscsi", "-device", "scsi-hd,drive=disk"],
    "sdhci": ["-device", "sdhci-pci", "-device", "sd-card,drive=disk"],
    "usb": ["-device", "qemu-xhci", "-device", "usb-storage,drive=disk"],
    "uas": ["-device", "qemu-xhci", "-device", "usb-uas,id=uas", "-device", "scsi-hd,drive=disk,bus=uas.0"],
}
CARDS = ["virtio-net-pci", "e1000", "e1000e", "igb", "vmxnet3", "rtl8139"]


def known():
    """What this QEMU can play."""
    text = subprocess.run(["qemu-system-x86_64", "-device", "help"], stdout=subprocess.PIPE, check=True, text=True).stdout
    return lambda name: f'name "{name}"' in text


def install(work, server, card, controller):
    disk = lab.blank_disk(work / f"{controller}.img", "4G")
    extra = ["-netdev", "user,id=net0,hostname=node01", "-device", f"{card},netdev=net0,romfile=", "-drive", f"file={disk},if=none,id=disk,format=raw,cache=unsafe"]
    append = f"console=ttyS0 signet.server={server.url(lab.HOST)} signet.on-success=poweroff"
    command = lab.qemu_command(kernel=lab.OUT / "vmlinuz-metal", initrd=lab.OUT / "initrd.img", append=append, memory=256, network=None, extra=extra + DISKS[controller])
    with lab.Guest(command, log(f"driver-{card}-{controller}")) as guest:
        await_install(guest, timeout=240)
        took = time.monotonic() - guest.started
    disk.unlink()
    return took


def firmware(work):
    """Debian's firmware in front of the initrd: the kernel unpacks both, and the part that is microcode is gone again."""
    subprocess.run([TOP / "toolchain/firmware", "--out", work / "firmware.img"], check=True, stderr=subprocess.DEVNULL)
    command = [lab.OUT / "signet", "media", "pxe", "--kernel", lab.OUT / "vmlinuz-metal", "--firmware", work / "firmware.img", "--out", work / "pxe"]
    subprocess.run(command, check=True, stdout=subprocess.DEVNULL)
    command = lab.qemu_command(kernel=work / "pxe/vmlinuz", initrd=work / "pxe/initrd.img", append="console=ttyS0 signet.rescue quiet", memory=256, network=None)
    with lab.Guest(command, log("firmware")) as guest:
        guest.expect(SHELL, 120, "the rescue shell")
        there = "[ -s /lib/firmware/rtl_nic/rtl8168h-2.fw ] && [ -s /lib/firmware/tigon/tg3.bin ] && [ ! -e /kernel ] || ls -R /lib/firmware /kernel"
        check_run(guest, there, "firmware for cards is there, microcode takes no memory", equal="")


def drivers(work):
    firmware(work)
    plays = known()
    qemu_names = {"virtio": "virtio-blk-pci", "ahci": "ide-hd", "sdhci": "sdhci-pci", "usb": "usb-storage", "uas": "usb-uas"}
    controllers = [name for name in DISKS if plays(qemu_names.get(name, name))]
    cards = [card for card in CARDS if plays(card)]
    tree = lab.server_tree(work / "tree", "small")
    group = tree / "groups/debian.toml"
    group.write_text("".join(line for line in group.read_text().splitlines(True) if not line.startswith("match")))
    bad = 0
    with lab.Server(tree) as server:
        for number, controller in enumerate(controllers):
            card = cards[number % len(cards)]
            try:
                end = f"installed and off in {install(work, server, card, controller):.1f} s"
            except lab.LabError as error:
                end = f"FAILED: {error}"
                bad += 1
            print(f"  {card:<16} {controller:<14} {end}", flush=True)
    missing = [card for card in CARDS if card not in cards]
    print(f"cards: {', '.join(cards)}; controllers: {', '.join(controllers)}" + (f"; this QEMU cannot play {', '.join(missing)}" if missing else ""))
    if bad or len(controllers) < len(cards):
        raise lab.LabError(f"{bad} of {len(controllers)} pairs do not install")


if __name__ == "__main__":
    run("drivers", drivers, root=False)
