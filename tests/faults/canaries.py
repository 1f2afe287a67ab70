#!/usr/bin/python3
"""Secrets in every URL that a node is given: they are used, and afterwards they are neither on the console, nor where others can read, nor anywhere on the
raw disk."""

import mmap
import pathlib
import sys

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent.parent / "boot"))
from boottest import SHELL, await_install, check, check_equal, check_run, log, net, run  # noqa: E402
from machine import Site  # noqa: E402

SECRETS = ["CanaryProfileUser", "CanaryProfilePassword", "CanaryProfileToken", "CanaryImageToken", "CanaryReportUser", "CanaryReportPassword", "CanaryHookToken"]
LOCAL_CFG = f"""profile = "http://CanaryProfileUser:CanaryProfilePassword@{net.ADDRESS}/hosts/default.toml?token=CanaryProfileToken"
report = "http://CanaryReportUser:CanaryReportPassword@{net.ADDRESS}/events"
"""
HOOKS = """[hooks]
post_install = ["../hooks/after.sh?token=CanaryHookToken"]
"""


def secrets_in(path):
    """Those whose bytes are anywhere in a file."""
    with open(path, "rb") as file, mmap.mmap(file.fileno(), 0, prot=mmap.PROT_READ) as data:
        return [secret for secret in SECRETS if data.find(secret.encode()) >= 0]


def canaries(work):
    local_cfg = work / "local.cfg"
    local_cfg.write_text(LOCAL_CFG)
    with Site(work, "bios", wipe="blank", append=["signet.break=finish"], media=["--local-cfg", local_cfg]) as site:
        (site.tree / "hooks").mkdir()
        (site.tree / "hooks/after.sh").write_text("#!/bin/sh\nexit 0\n")
        site.profile(more=HOOKS, image_query="?token=CanaryImageToken")
        console = log("canaries")
        with site.start(console) as guest:
            guest.expect(rb"stopped before finish", 120, "the breakpoint")
            guest.expect(SHELL, 60, "the breakpoint's shell")
            check_run(guest, "stat -c %a /run/signet", "what the agent keeps is for root alone", equal="700")
            guest.send("exit")
            await_install(guest, then="reboot", timeout=200)
            guest.expect(rb"login: ", 120, "the installed system")
        requests = site.network.nginx.requests()
        used = [secret for secret in SECRETS if secret in requests]
        check(len(used) == 3 and "POST /events" in requests, "the server was shown the three tokens, and events", used)
        check_equal(secrets_in(console), [], "the console shows none of them")
        check_equal(secrets_in(site.disk), [], "the raw disk has none of them")
    print(f"figures: secrets {len(SECRETS)}, on the console 0, on the raw disk 0, readable by others 0")


if __name__ == "__main__":
    run("canaries", canaries)
