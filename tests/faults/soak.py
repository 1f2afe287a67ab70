#!/usr/bin/python3
"""Installs in a row on one disk: none fails, each leaves a file system without a fault, and on this host no loop device, mount or process stays behind."""

import os
import pathlib
import subprocess
import time

from faults import FIRMWARE_OPTION, TOP, arguments, finish, firmwares, partitions
from boottest import await_install, lab, log, run
from machine import Site

AGENT = pathlib.Path(os.environ.get("SIGNET_AGENT", TOP / "build/out/signet-agent"))
PROFILE = """schema = 1
[image]
source = "{image}"
sha256 = "{sha256}"
[[disk]]
wipe = "signet"
partition = [
  {{ name = "bios", size = "1MiB", type = "bios" }},
  {{ name = "root", size = "rest", format = "ext4", mount = "/" }},
]
[network]
hostname = "soaked"
"""


def left_behind(work):
    """What of an install is still there: loop devices on files of ours, mounts below our directory, processes that have it open or as their root."""
    loops = [line for line in subprocess.run(["losetup", "--noheadings", "--output", "NAME,BACK-FILE"], stdout=subprocess.PIPE, text=True, check=True).stdout.splitlines() if str(work) in line]
    mounts = [line.split()[4] for line in pathlib.Path("/proc/self/mountinfo").read_text().splitlines() if line.split()[4].startswith(f"{work}/")]
    processes = []
    for process in pathlib.Path("/proc").glob("[0-9]*"):
        try:
            if str(work) in os.readlink(process / "root") or str(work) in os.readlink(process / "cwd"):
                processes.append(f"{process.name} {(process / 'comm').read_text().strip()}")
        except OSError:
            pass  # it has just ended, or is the kernel's
    return [f"loop device {each}" for each in loops] + [f"mount {each}" for each in mounts] + [f"process {each}" for each in processes]


def root_fault(disk):
    """What e2fsck finds on the root file system of a disk or image file."""
    root = next((each for each in partitions(disk) if each.name == "root"), None)
    if root is None:
        return "there is no partition called root"
    checked = subprocess.run(["e2fsck", "-fn", f"{disk}?offset={root.offset}"], capture_output=True, text=True)
    return None if checked.returncode == 0 else f"e2fsck: {(checked.stdout + checked.stderr).strip()[-300:]}"


def on_host(count, work):
    image, disk, profile = lab.image("small"), work / "disk.img", work / "profile.toml"
    profile.write_text(PROFILE.format(image=image, sha256=lab.sha256_of(image)))
    lab.blank_disk(disk, "512M")
    faults = []
    for number in range(count):
        command = [AGENT, "install", "--profile", profile, "--target", disk, "--state", work / "state", "--root", work / "root", "--on-success", "shell"]
        done = subprocess.run(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, timeout=600)
        found = [f"status {done.returncode}: {done.stdout.strip()[-400:]}"] if done.returncode else []
        found += left_behind(work)
        if fault := root_fault(disk):
            found.append(fault)
        faults += [f"install {number + 1} on an image file: {each}" for each in found]
    return faults


def on_machine(firmware, count, work):
    faults, seconds = [], []
    with Site(work, firmware, append=["signet.on-success=poweroff", "signet.install=always"]) as site:
        for number in range(count):
            try:
                with site.start(log(f"soak-{firmware}"), network_first=True) as guest:
                    await_install(guest, timeout=600)
                    seconds.append(time.monotonic() - guest.started)
            except lab.LabError as error:
                faults.append(f"install {number + 1} on {firmware}: {error}")
            if fault := root_fault(site.disk):
                faults.append(f"install {number + 1} on {firmware}: {fault}")
    return faults, f"{count} on {firmware} ({min(seconds, default=0):.0f} to {max(seconds, default=0):.0f} s each)"


def main():
    where = dict(choices=["host", "machine", "both"], default="both", help="on image files by the agent on this host, in machines, or both (both)")
    parsed = arguments(__doc__, 3, firmware=FIRMWARE_OPTION, where=where)

    def body(work):
        faults, figures = [], []
        if parsed.where != "machine":
            (work / "host").mkdir()
            faults += on_host(parsed.count, work / "host")
            figures.append(f"{parsed.count} on an image file")
        for firmware in firmwares(parsed) if parsed.where != "host" else []:
            (work / firmware).mkdir()
            found, figure = on_machine(firmware, parsed.count, work / firmware)
            faults += found
            figures.append(figure)
        finish("soak", f"installs in a row: {', '.join(figures)}; {len(faults)} faults, leaks among them", faults)

    run("soak", body)


if __name__ == "__main__":
    main()
