#!/usr/bin/python3
"""The metal kernel on every network card and disk controller that QEMU can play: each pair installs a machine; the table at the end says which."""

import pathlib
import shutil
import subprocess
import sys
import tempfile
import time

TOP = pathlib.Path(__file__).resolve().parent.parent.parent
sys.path.insert(0, str(TOP / "qemu"))
import signetlab as lab  # noqa: E402

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
    with lab.Guest(command, TOP / f"build/boot-driver-{card}-{controller}.log") as guest:
        if guest.expect([rb"installed; next: poweroff", rb"FAILED: [^\r\n]*"], 240, "the install") == 1:
            time.sleep(1)
            raise lab.LabError((guest.match.group(0) + guest.console.read_nonblocking(2000, 1)).decode(errors="replace"))
        took = time.monotonic() - guest.started
        guest.wait_off(60)
    disk.unlink()
    return took


def main():
    lab.end_on_sigterm()
    plays = known()
    controllers = [name for name in DISKS if plays(name.replace("virtio", "virtio-blk-pci").replace("ahci", "ide-hd").replace("sdhci", "sdhci-pci").replace("usb", "usb-storage").replace("uas", "usb-uas"))]
    cards = [card for card in CARDS if plays(card)]
    work = pathlib.Path(tempfile.mkdtemp(prefix="signet-drivers-"))
    rows, bad = [], 0
    try:
        tree = lab.server_tree(work / "tree")
        group = tree / "groups/debian.toml"
        group.write_text("".join(line for line in group.read_text().splitlines(True) if not line.startswith("match")))
        with lab.Server(tree) as server:
            for number, controller in enumerate(controllers):
                card = cards[number % len(cards)]
                try:
                    rows.append((card, controller, f"installed in {install(work, server, card, controller):.1f} s"))
                except lab.LabError as error:
                    rows.append((card, controller, f"FAILED: {error}"))
                    bad += 1
                print("  {:<16} {:<14} {}".format(*rows[-1]), flush=True)
    finally:
        shutil.rmtree(work, ignore_errors=True)
    missing = [card for card in CARDS if card not in cards]
    print(f"cards: {', '.join(cards)}; controllers: {', '.join(controllers)}" + (f"; this QEMU cannot play {', '.join(missing)}" if missing else ""))
    if bad or len(controllers) < len(cards):
        sys.exit(f"drivers: {bad} of {len(rows)} pairs do not install")


if __name__ == "__main__":
    main()
