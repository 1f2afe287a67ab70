#!/usr/bin/python3
"""A disk whose install was begun and not finished, before the network in the boot order: the BIOS runs its first sector, which says so, and goes on to
the network's boot ROM. The disk is as `signet-agent partition` leaves it; SeaBIOS is the judge."""

import subprocess

from boottest import check, lab, log, run

STARTED = rb"iPXE initialising devices"  # the network's boot ROM runs
CONSOLE = ["-machine", "q35,graphics=off"]  # without graphics SeaBIOS shows its screen on the serial line


def partitioned(work, table):
    """An image file that was partitioned, and nothing more."""
    disk = lab.blank_disk(work / f"{table}.img", "1G")
    bios = ["--partition", "name=bios,size=1MiB,type=bios"] if table == "gpt" else []
    command = [lab.OUT / "signet-agent", "partition", "--target", disk, "--disk", disk, "--wipe", "blank", "--table", table, *bios]
    command += ["--partition", "name=root,size=rest,format=ext4,mount=/", "--host", "node01", "--state", work / f"state-{table}"]
    done = subprocess.run(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
    check(done.returncode == 0, f"{table}: partition ends well" + (f": {done.stdout[-300:]}" if done.returncode else ""))
    return disk


def goes_on(work, name, disk):
    # The firmware's own protocol, which says what it boots from.
    spoken = work / f"{name}.firmware"
    command = lab.qemu_command(disks=[disk], network="user", pxe=work, memory=64)
    command[command.index("-machine") + 1] = CONSOLE[1]
    command += ["-chardev", f"file,id=firmware,path={spoken}", "-device", "isa-debugcon,iobase=0x402,chardev=firmware"]
    with lab.Guest(command, log(f"first-sector-{name}")) as guest:
        guest.expect(b"Signet: installation not finished", 240, "what the first sector prints")
        guest.expect(STARTED, 240, "the network's boot ROM")
    text = spoken.read_text(errors="replace")
    check("Booting from Hard Disk" in text and "Booting from ROM" in text[text.index("Booting from Hard Disk") :], f"{name}: the BIOS ran the disk's first sector and went on to the network's ROM")


def main(work):
    for table in ("gpt", "mbr"):
        goes_on(work, table, partitioned(work, table))


run("first-sector", main, root=False)
