#!/usr/bin/python3
"""UEFI firmware that cannot start an installed disk goes on to the network. Where this kernel cannot start the system either, it is asked twice and then an
error; at the next start it is asked again."""

import subprocess

from boottest import SHELL, await_install, check, lab, log, run
from machine import Site

ESP = "@@1M"  # where Site has it


def netboot(site, name, expected):
    with site.start(log(name), network_first=True) as guest:
        guest.expect(SHELL, 300, "the breakpoint's shell")
        guest.run("echo 1 >/proc/sys/kernel/kexec_load_disabled")
        guest.send("exit")
        guest.expect([expected], 200, f"{name}: {expected!r}")


def body(work):
    with Site(work, "uefi", append=["signet.break=network"]) as site:
        with site.start(log("stubborn-install"), network_first=True) as guest:
            guest.expect(SHELL, 300, "the breakpoint's shell")
            guest.send("exit")
            await_install(guest, then="reboot", timeout=400)
        # What firmware would start, away and back again.
        esp = ["-i", f"{site.disk}{ESP}"]
        subprocess.run(["mren", *esp, "::/EFI/BOOT/BOOTX64.EFI", "AWAY.EFI"], check=True)
        for time in ("first", "second"):
            netboot(site, f"stubborn-{time}", rb"restarting from /dev/vda")
        netboot(site, "stubborn-third", rb"asked 2 times to start it, and nothing on its disks has changed since")
        check(True, "firmware that cannot start the disk is asked twice, and no third time")
        subprocess.run(["mren", *esp, "::/EFI/BOOT/AWAY.EFI", "BOOTX64.EFI"], check=True)
        with site.start(log("stubborn-mended"), network_first=True) as guest:
            guest.expect(SHELL, 300, "the breakpoint's shell")
            guest.run("echo 1 >/proc/sys/kernel/kexec_load_disabled")
            guest.send("exit")
            guest.expect(rb"restarting from /dev/vda", 200, "that the firmware is asked")
            guest.expect(rb"login: ", 200, "the installed system")
        check(True, "at the next start it is asked again, and what has been mended starts")


if __name__ == "__main__":
    run("stubborn-firmware", body)
