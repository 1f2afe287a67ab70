#!/usr/bin/python3
"""Disks that fail to write, at places of the installed system, or to read, where a plan looks: the install fails before the disk can be started, the machine
comes back to the network by itself, and on a disk that works (every fifth time) it installs to its end. blkdebug answers with EIO."""

import argparse
import pathlib
import random
import sys
import time

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent.parent / "boot"))
from boottest import lab, log, require, run  # noqa: E402
from machine import FIRMWARE, ROOT_START, Site  # noqa: E402

LEASE = rb"\d network +\S+ has "
SECTORS = 8
DISK = 512 << 20


def written_sectors(disk, start):
    """The sectors of the root file system that an install has written, as the file's extents tell them in units of 4 KiB."""
    found = []
    with open(disk, "rb") as file:
        file.seek(start << 20)
        sector = (start << 20) // 512
        while chunk := file.read(4096):
            if chunk.count(0) != len(chunk):
                found.append(sector)
            sector += 8
    return found


def install(site, name):
    """One install on a disk that works, to the login prompt of the system that was installed."""
    with site.start(log(name)) as guest:
        if guest.expect([rb"installed; next: reboot", rb"FAILED: [^\r\n]*"], 400, "the install") == 1:
            raise lab.LabError(f"an install on a disk that works: {guest.match.group(0).decode()}")
        guest.expect(rb"login: ", 200, "the installed system")


def looked_at(firmware):
    """The sectors that are read before anything is written: both ends of the disk, the mark, the first of the root file system."""
    end = DISK // 512
    return [*range(0, 2048, 64), *range(end - 2048, end, 64), end - 1, 2040, ROOT_START[firmware] * 2048]


def try_places(site, number, access, sectors):
    """An install on bad sectors; what came of it."""
    lab.blank_disk(site.disk, str(DISK))
    name = f"eio-{site.firmware}-{number}"
    with site.start(log(name), bad_sectors=sectors, bad_access=access) as guest:
        guest.expect(LEASE, 200, "a lease")
        failed = guest.expect([rb"installed; next: reboot", rb"FAILED: [^\r\n]*"], 400, "the end of the install") == 1
        if not failed:
            guest.expect(rb"login: ", 200, "the system of an install that says that it is complete")
            return "complete"
        said = guest.match.group(0).decode(errors="replace")
        # on_failure = reboot: the disk comes first, and gives control back.
        again = guest.expect([LEASE, rb"login: ", rb"grub>", rb"error: [^\r\n]*"], 200, "the network, after the machine restarted by itself")
        require(again == 0, "a disk whose install failed is started", guest.match.group(0))
    if number % 5 == 0:
        install(site, f"{name}-again")
    return said


def body(arguments, firmware):
    def place(work):
        with Site(work, firmware, append=["signet.on-failure=reboot"]) as site:
            started = time.monotonic()
            install(site, f"eio-{firmware}-reference")
            candidates = written_sectors(site.disk, ROOT_START[firmware])
            chance = random.Random(f"{arguments.seed} {firmware}")
            failed = complete = 0
            for number in range(arguments.count):
                access = "read" if number % 4 == 3 else "write"
                sectors = sorted(chance.sample(candidates if access == "write" else looked_at(firmware), SECTORS))
                result = try_places(site, number, access, sectors)
                failed, complete = failed + (result != "complete"), complete + (result == "complete")
                print(f"{firmware} {number}: {access} sectors {sectors}: {result}", flush=True)
            print(
                f"figures: eio firmware={firmware} seed={arguments.seed} places={arguments.count} failed_and_netbooted={failed} complete={complete} half=0"
                f" seconds={time.monotonic() - started:.0f}",
                flush=True,
            )
            require(failed > 0, "no bad sector made an install fail", failed)

    return place


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--count", type=int, default=4, help="sets of bad sectors for each firmware (4)")
    parser.add_argument("--seed", type=int, default=1, help="which ones (1)")
    parser.add_argument("--firmware", choices=FIRMWARE, help="only this one")
    arguments = parser.parse_args()
    for firmware in [arguments.firmware] if arguments.firmware else FIRMWARE:
        run(f"eio-{firmware}", body(arguments, firmware))


if __name__ == "__main__":
    main()
