#!/usr/bin/python3
"""A machine that starts from the network first and is installed already: its system is started and nothing is written, a changed profile is reported, a dead
server does not keep it, and only arming installs again."""

import argparse
import hashlib
import time

from boottest import SHELL, await_install, check, lab, log, run
from machine import FIRMWARE, Site

LEASE = rb"\d network +\S+ has "
CHANGED = rb"the profile has changed since this system was installed; signet.install=always reinstalls"


def digest(path):
    with open(path, "rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def start_locally(site, name, also=None, patience=200):
    """The machine, network first, up to the breakpoint before its system is started, and on to the login prompt; the disk is compared in between. Seconds
    from the lease to the breakpoint's announcement."""
    before = digest(site.disk)
    with site.start(log(name), network_first=True) as guest:
        if also != "no lease":
            guest.expect(LEASE, 200, "a lease")
        leased = time.monotonic()
        if also and also != "no lease":
            guest.expect(also, patience, f"{also!r}")
        guest.expect(rb"starting node01, installed on ", patience, "that the installed system is started")
        seconds = time.monotonic() - leased
        guest.expect(rb"stopped before local", 60, "the breakpoint")
        guest.expect(SHELL, 60, "the breakpoint's shell")
        check(digest(site.disk) == before, f"{name}: nothing has been written to the disk")
        guest.send("exit")
        guest.expect(rb"login: ", 200, "the installed system's login prompt")
        return seconds


def body(firmware):
    def test(work):
        with Site(work, firmware, append=["signet.break=local"]) as site:
            with site.start(log(f"once-{firmware}-install")) as guest:
                await_install(guest, then="reboot", timeout=400)
                guest.expect(rb"login: ", 200, "the installed system")
            seconds = start_locally(site, f"once-{firmware}")
            site.profile(more='timezone = "Europe/Berlin"\n')
            start_locally(site, f"once-{firmware}-changed", also=CHANGED)
            with site.start(log(f"once-{firmware}-always"), network_first=True) as guest:
                site.profile(top='install = "always"')
                await_install(guest, then="reboot", timeout=400)
                if firmware == "uefi":
                    guest.expect(rb"login: ", 200, "the installed system")  # uses up BootNext; a BIOS goes to the network
            check(True, f"{firmware}: install = \"always\" installs again")
            site.profile()
            site.network.nginx.close()
            start_locally(site, f"once-{firmware}-no-server", also=rb"FAILED: ")
            print(f"figures: {firmware}: {seconds:.1f} s from the lease to the start of the local system")

    return test


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("firmware", choices=FIRMWARE)
    firmware = parser.parse_args().firmware
    run(f"once-{firmware}", body(firmware))


if __name__ == "__main__":
    main()
