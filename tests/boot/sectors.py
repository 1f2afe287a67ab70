#!/usr/bin/python3
"""A disk whose sectors have 4096 bytes ("4Kn"), which UEFI starts and a BIOS cannot: installed, started, and installed again over itself."""

from boottest import await_install, check, check_equal, log, run
from machine import Site


def install(work):
    with Site(work, "uefi", size="1G") as site:
        for name in ("install", "again"):
            with site.start(log(f"sectors-{name}"), network_first=name == "again", sector_size=4096) as guest:
                await_install(guest, then="reboot", timeout=400)
                if name == "install":
                    guest.expect(rb"login: ", 200, "the installed system")
                    check(True, "the installed system starts from a disk with sectors of 4096 bytes")
            site.profile(top='install = "always"')
        check(True, "and is installed again over itself")


def refusal(work):
    with Site(work, "bios", size="1G") as site:
        with site.start(log("sectors-bios"), sector_size=4096) as guest:
            guest.expect(rb"plan +FAILED: .*a BIOS does not start from a disk with sectors of 4096 bytes", 200, "a refusal by the plan")
        check_equal(site.disk.read_bytes().strip(b"\0"), b"", "a BIOS does not start from such a disk: refused before the first write")


def test(work):
    for name, body in (("uefi", install), ("bios", refusal)):
        (work / name).mkdir()
        body(work / name)


if __name__ == "__main__":
    run("sectors", test)
