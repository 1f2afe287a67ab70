#!/usr/bin/python3
"""A real Debian 13, installed by a profile or by a host script in a machine with 128 MiB, then started from its own disk."""

import argparse
import json
import pathlib
import re
import shutil
import sys
import tempfile

TOP = pathlib.Path(__file__).resolve().parent.parent.parent
sys.path.insert(0, str(TOP / "qemu"))
import signetlab as lab  # noqa: E402

PROMPT = rb"root@[^\r\n]*# "


def check(condition, message):
    if not condition:
        raise lab.LabError(message)
    print(f"ok: {message}", flush=True)


def install(work, tree, disk, host):
    with lab.Server(tree) as server:
        append = f"console=ttyS0 signet.server={server.url(lab.HOST)} signet.on-success=poweroff"
        command = lab.qemu_command(disks=[disk], kernel=lab.OUT / "vmlinuz", initrd=lab.OUT / "initrd.img", append=append, memory=128, hostname=host)
        log = TOP / "build" / f"boot-install-{host}.log"
        with lab.Guest(command, log) as guest:
            if guest.expect([rb"installed; next: poweroff", rb"FAILED: [^\r\n]*"], 300, "the install") == 1:
                raise lab.LabError(guest.match.group(0).decode())
            guest.wait_off(60)
        console = log.read_bytes().decode(errors="replace").replace("\r", "")
    first = re.search(r"^ +([0-9.]+) pull +http.*first bytes are here", console, re.M)
    print(f"kernel start to the first image byte: {first.group(1)} s")
    check("total " in console, "the timeline is printed")
    return console


def start(disk, host):
    with lab.Guest(lab.qemu_command(disks=[disk], memory=512), TOP / "build" / f"boot-installed-{host}.log") as guest:
        guest.expect(rb"login: ", 240, "the login prompt")
        guest.send("root")
        guest.expect(rb"assword: ", 30)
        guest.send("signet")
        guest.expect(PROMPT, 60)
        guest.run("bind 'set enable-bracketed-paste off'; export SYSTEMD_PAGER= TERM=dumb", PROMPT)

        def run(line):
            text, status = guest.run(line, PROMPT, 150)
            return re.sub(r"\x1b\[[0-9;?]*[a-zA-Z]", "", text).strip(), status

        check(run("hostname")[0] == host, f"the system calls itself {host}")
        check(run("timeout 120 systemctl is-system-running --wait")[0] == "running", "systemd says that it is running")
        check(run("findmnt --verify >/dev/null; findmnt -no SOURCE,FSTYPE /")[0].split() == ["/dev/vda4", "ext4"], "the root file system is the planned one")
        check(re.fullmatch("[0-9a-f]{32}", run("cat /etc/machine-id")[0]), "there is a machine-id")
        check(run("ls /etc/ssh/ssh_host_*_key | wc -l")[0] == "3", "there are three SSH host keys")
        check("root=UUID=" in run("cat /proc/cmdline")[0], "the kernel finds its root by UUID")
        check(run("swapon --show=NAME --noheadings")[0] == "/dev/vda3", "the swap partition is in use")
        check("10.0.2.15" in run("ip -4 -o addr show scope global")[0], "the network is up")
        events = run("cat /var/log/signet/events.jsonl")[0].splitlines()
        stages = {event["stage"] for event in map(json.loads, events)}
        check({"plan", "partition", "pull", "configure"} <= stages, "the events of the install are kept")
        # An install over the air must not have written what the image did not say.
        check(run("dpkg --verify 2>/dev/null | grep -v ' c ' | grep -Ev '/usr/share/(doc|man|locale|info)' | wc -l")[0] == "0", "every packaged file is as Debian made it")
        guest.send("poweroff")
        guest.wait_off(90)


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("how", choices=["profile", "script"])
    how = parser.parse_args().how
    host = "node01" if how == "profile" else "scripted"
    work = pathlib.Path(tempfile.mkdtemp(prefix="signet-install-"))
    try:
        tree = lab.server_tree(work / "tree")
        disk = lab.blank_disk(work / "disk.qcow2", "8G")
        install(work, tree, disk, host)
        start(disk, host)
    except lab.LabError as error:
        sys.exit(f"install: {error}")
    finally:
        shutil.rmtree(work, ignore_errors=True)


if __name__ == "__main__":
    main()
