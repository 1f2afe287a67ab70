#!/usr/bin/python3
"""A whole install in 128 MiB, and the smallest memory in which one works, by steps of 8 MiB. Kernel and initrd are handed over by QEMU, so no firmware's
network code counts."""

import argparse

import pexpect
from boottest import check, lab, log, net, run

PROMISED = 128  # MiB
STEP = 8


def install(site_network, tap, work, memory):
    """Whether an install in so much memory ends well; how a failed one ended."""
    disk = lab.blank_disk(work / "disk.qcow2", "8G")
    command = lab.qemu_command(
        disks=[disk], kernel=lab.OUT / "vmlinuz", initrd=lab.OUT / "initrd.img", append="console=ttyS0 signet.on-success=poweroff signet.on-failure=poweroff", memory=memory, network=None,
        extra=net.card(tap, boot=False),
    )
    with lab.Guest(site_network.wrap(command), log(f"memory-{memory}")) as guest:
        ended = guest.console.expect([rb"installed; next: poweroff", rb"FAILED: [^\r\n]*", rb"Out of memory[^\r\n]*", rb"Kernel panic[^\r\n]*", rb"System is deadlocked[^\r\n]*", pexpect.TIMEOUT, pexpect.EOF], timeout=400)
        return None if ended == 0 else (guest.match.group(0).decode(errors="replace") if ended < 5 else "it stands still")


def body(image):
    def test(work):
        tree = lab.server_tree(work / "tree", image)
        with net.Network(work, tree, dhcp=["--dhcp-host=52:54:00:77:00:01,node01"]) as network:
            tap = network.tap()
            why = install(network, tap, work, PROMISED)
            check(why is None, f"{image}: a whole install in {PROMISED} MiB", why)
            memory = PROMISED
            while memory > STEP and (why := install(network, tap, work, memory - STEP)) is None:
                memory -= STEP
                print(f"ok: {memory} MiB", flush=True)
            print(f"{memory - STEP} MiB: {why}")
            print(f"figures: {image}: installed in {PROMISED} MiB; the smallest memory that works is {memory} MiB")

    return test


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--image", choices=("small", "debian-13"), default="debian-13", help="what is installed (debian-13)")
    run("memory", body(parser.parse_args().image))


if __name__ == "__main__":
    main()
