#!/usr/bin/python3
"""What a kernel promises is looked for in the running kernel: limits for programs, watchdogs, an end to every panic; metal's hardening besides."""

import argparse
import re

from boottest import SHELL, check, lab, log, run

KERNELS = {"virtio": "vmlinuz", "metal": "vmlinuz-metal"}


def rescue(kernel, name, append="", extra=()):
    """A machine at the rescue shell, with no network."""
    command = lab.qemu_command(kernel=lab.OUT / KERNELS[kernel], initrd=lab.OUT / "initrd.img", append=f"console=ttyS0 signet.rescue quiet {append}", network=None, memory=256, extra=["-no-reboot", *extra])
    guest = lab.Guest(command, log(f"kernel-{kernel}-{name}"))
    try:
        guest.expect(SHELL, 240, "the rescue shell")
    except BaseException:
        guest.close()
        raise
    return guest


def limits(kernel):
    """seccomp, namespaces, watchdogs; then a panic, which has to end by itself."""
    with rescue(kernel, "limits", extra=["-device", "i6300esb"]) as guest:
        text = guest.run("grep Seccomp /proc/self/status")[0]
        check("Seccomp:\t0" in text and "Seccomp_filters:\t0" in text, f"{kernel}: programs can give up system calls (seccomp filters)")
        text = guest.run("ls /proc/self/ns")[0].split()
        check({"mnt", "pid", "net", "uts", "ipc"} <= set(text), f"{kernel}: namespaces: {' '.join(text)}")
        text = guest.run("ls /dev/watchdog*")[0].split()
        check({"/dev/watchdog", "/dev/watchdog0", "/dev/watchdog1"} <= set(text), f"{kernel}: a watchdog in software and QEMU's i6300ESB: {' '.join(text)}")
        text = guest.run("cat /proc/sys/kernel/panic /proc/sys/kernel/panic_on_oops")[0].split()
        check(text == ["30", "1"], f"{kernel}: a panic or an oops restarts the machine after 30 s: {text}")
        guest.send("echo 1 >/proc/sys/kernel/sysrq; echo c >/proc/sysrq-trigger")
        guest.expect(rb"Rebooting in 30 seconds", 120, "the panic")
        guest.wait_off(300)
        check(True, f"{kernel}: a panic has restarted the machine")


def bites(kernel):
    """A watchdog that is opened and then starved restarts the machine, whichever it is: in software, QEMU's card, with metal the chipset's as well."""
    # QEMU's chipset says that a BIOS has turned its watchdog off, unless it is told otherwise.
    extra = ["-device", "i6300esb", "-global", "ICH9-LPC.noreboot=false", "-action", "watchdog=poweroff"]
    for number in range(3 if kernel == "metal" else 2):
        with rescue(kernel, f"watchdog{number}", extra=extra) as guest:
            guest.send(f"exec 3>/dev/watchdog{number}")
            guest.expect(SHELL, 30)
            guest.wait_off(400)
    check(True, f"{kernel}: starved, each watchdog has ended the machine")


def code_address(guest):
    text = guest.run("grep 'Kernel code' /proc/iomem")[0]
    found = re.search(r"([0-9a-f]+)-[0-9a-f]+ : Kernel code", text)
    if not found or int(found.group(1), 16) == 0:
        raise lab.LabError(f"/proc/iomem does not say where the kernel is: {text}")
    return found.group(1)


def hardened():
    """What only metal has room for."""
    addresses = set()
    for attempt in range(3):  # one place in some hundreds; three times the same is no chance
        with rescue("metal", f"hardened{attempt}", "lockdown=integrity signet.shell=yes" if attempt == 0 else "") as guest:
            addresses.add(code_address(guest))
            if attempt == 0:
                text = guest.run("[ -e /sys/kernel/security/lockdown ] || mount -t securityfs none /sys/kernel/security; cat /sys/kernel/security/lockdown")[0].strip()
                check(text == "none [integrity] confidentiality", f"metal: lockdown={text}")
                text, status = guest.run("echo none >/sys/kernel/security/lockdown")
                check(status != 0, "metal: lockdown cannot be taken back")
                text = guest.run("grep . /sys/devices/system/cpu/vulnerabilities/*")[0]
                check("spectre_v2:" in text and "Vulnerable" not in text, "metal: no CPU fault that the kernel knows is left open")
                check(guest.run("dmesg | grep -q 'Linux version [0-9.]*-metal'")[1] == 0, "metal: its release says so")
        if len(addresses) > 1:
            break
    check(len(addresses) > 1, f"metal: the kernel lies elsewhere at each start: {' '.join(sorted(addresses))}")


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("kernel", choices=KERNELS)
    kernel = parser.parse_args().kernel
    if not (lab.OUT / KERNELS[kernel]).exists():
        print(f"build/out/{KERNELS[kernel]} is missing; toolchain/artefacts --all builds it")
        raise SystemExit(77)

    def body(_):
        limits(kernel)
        bites(kernel)
        if kernel == "metal":
            hardened()

    run(f"kernel-{kernel}", body, root=False)


if __name__ == "__main__":
    main()
