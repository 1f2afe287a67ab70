#!/usr/bin/python3
"""A machine that is switched off at a random moment of its install, and on again: its disk comes first, the network second, and it must end installed by itself.
With `wipe = "blank"` the disk is empty before the install that is cut; with "signet" it has a system, which is installed again."""

import random
import re
import signal
import subprocess
import time

import pexpect
from faults import FIRMWARE_OPTION, arguments, finish, firmwares
from boottest import lab, log, run
from machine import Site

LOGIN_PROMPT = rb"node01 login: "
STAGE = re.compile(rb"^ *[0-9.]+ (network|identify|profile|plan|pre-install|partition|format|mount|pull|configure|post-install|finish) ", re.M)


def await_login(guest, timeout=900):
    """Until the installed system asks for a name, whether it is installed first or not; what stands in the way is raised."""
    # A failed install waits for a person, and so does GRUB.
    if guest.expect([LOGIN_PROMPT, rb"FAILED: [^\r\n]*", rb"grub rescue>", rb"Kernel panic[^\r\n]*", rb"small: cannot mount[^\r\n]*"], timeout, "the installed system") != 0:
        time.sleep(1)
        raise lab.LabError(guest.match.group(0).decode(errors="replace"))


def stage_of(guest):
    """What the install was about when the machine went off."""
    found = STAGE.findall(guest.log_bytes())
    return found[-1].decode() if found else "before the agent"


def measure(site, name):
    """An install that nobody disturbs: seconds from power on to the first stage that writes, and to the end of the last one."""
    lab.blank_disk(site.disk, "512M")
    with site.start(log(name)) as guest:
        guest.expect(rb"\d partition ", 300, "the stage partition")
        first = time.monotonic() - guest.started
        guest.expect(rb"installed; next: reboot", 300, "the end of the install")
        last = time.monotonic() - guest.started
        await_login(guest)
        guest.log_in()
        guest.send("poweroff")
        guest.wait_off(90)
        return first, last


def copy(disk, to):
    subprocess.run(["cp", "--sparse=always", disk, to], check=True)


def cycle(site, name, moment, installed=None):
    """Switched off `moment` seconds after power on, with an empty disk or with a copy of `installed`, over which the network installs; the stage of that moment."""
    if installed:
        copy(installed, site.disk)
    else:
        lab.blank_disk(site.disk, "512M")
    with site.start(log(f"{name}-cut"), network_first=bool(installed)) as guest:
        # Read on, or a full console stops the machine.
        deadline = guest.started + moment
        while (left := deadline - time.monotonic()) > 0:
            try:
                guest.console.expect(rb"\x00never\x00", timeout=min(left, 0.5))
            except pexpect.TIMEOUT:
                pass
        stage = stage_of(guest)
        guest.console.kill(signal.SIGKILL)
        guest.console.wait()
    try:
        with site.start(log(f"{name}-again")) as guest:
            await_login(guest)
            guest.log_in()
            said, status = guest.run("hostname", lab.ROOT_PROMPT)
            if (said, status) != ("node01\n", 0):
                raise lab.LabError(f"the system's name is {said!r}, status {status}")
            guest.send("poweroff")
            guest.wait_off(90)
    except lab.LabError as error:
        return stage, str(error)
    return stage, None


def main():
    wipe = dict(choices=["blank", "signet", "both"], default="both", help="the profile's rule (both)")
    parsed = arguments(__doc__, 2, firmware=FIRMWARE_OPTION, wipe=wipe)
    rules = ["blank", "signet"] if parsed.wipe == "both" else [parsed.wipe]

    def body(work):
        faults, stages, done = [], {}, 0
        for firmware in firmwares(parsed):
            for rule in rules:
                name = f"kill-{firmware}-{rule}"
                numbers = random.Random(f"{parsed.seed} {firmware} {rule}")
                (work / name).mkdir()
                again = rule == "signet"
                with Site(work / name, firmware, wipe=rule, append=["signet.install=always"] if again else []) as site:
                    first, last = measure(site, name)
                    installed = None
                    if again:
                        installed = work / name / "installed.img"
                        copy(site.disk, installed)
                    for number in range(parsed.count):
                        moment = numbers.uniform(first - 0.5, last + 0.5)
                        stage, fault = cycle(site, f"{name}-{number}", moment, installed)
                        stages[stage] = stages.get(stage, 0) + 1
                        done += 1
                        print(f"{'BAD' if fault else 'ok '} {firmware} {rule} {number + 1}: off after {moment:.1f} of {last:.1f} s, in {stage}{': ' + fault if fault else ''}", flush=True)
                        if fault:
                            faults.append(f"{firmware}, wipe = {rule}, off after {moment:.1f} s in {stage}: {fault}")
        during = ", ".join(f"{count} in {stage}" for stage, count in sorted(stages.items()))
        finish("kill-cycles", f"{done} cycles, {done - len(faults)} end installed by themselves ({during})", faults)

    run("kill-cycles", body)


if __name__ == "__main__":
    main()
