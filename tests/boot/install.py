#!/usr/bin/python3
"""A real Debian 13, installed by a profile or by a host script in a machine with 128 MiB, then started from its own disk."""

import argparse
import json
import re
import subprocess

from boottest import TOP, await_install, check, lab, log, run

PROMPT = rb"root@[^\r\n]*# "


def write_script(tree, server, host):
    """The demo's profile as the host script that `signet-agent script` makes of it."""
    command = [lab.OUT / "signet-agent", "script", "--quiet", "--state", tree.parent / "state", "--profile", server.url() + "hosts/default.toml"]
    script = subprocess.run(command, stdout=subprocess.PIPE, check=True, text=True).stdout
    (tree / f"hosts/{host}.sh").write_text(script.replace(server.url(), server.url(lab.HOST)))


def install(tree, disk, host):
    with lab.Server(tree) as server:
        if host == "generated":
            write_script(tree, server, host)
        append = f"console=ttyS0 signet.server={server.url(lab.HOST)} signet.on-success=poweroff"
        command = lab.qemu_command(disks=[disk], kernel=lab.OUT / "vmlinuz", initrd=lab.OUT / "initrd.img", append=append, memory=128, hostname=host)
        with lab.Guest(command, log(f"install-{host}")) as guest:
            await_install(guest)
        console = log(f"install-{host}").read_bytes().decode(errors="replace").replace("\r", "")
    first = re.search(r"^ +([0-9.]+) pull +http.*first bytes are here", console, re.M)
    print(f"kernel start to the first image byte: {first.group(1)} s")
    check("total " in console, "the timeline is printed")
    return console


def start(disk, host):
    with lab.Guest(lab.qemu_command(disks=[disk], memory=512), log(f"installed-{host}")) as guest:
        guest.expect(rb"login: ", 240, "the login prompt")
        guest.send("root")
        guest.expect(rb"assword: ", 30)
        guest.send("signet")
        guest.expect(PROMPT, 60)
        guest.run("bind 'set enable-bracketed-paste off'; export SYSTEMD_PAGER= TERM=dumb", PROMPT)

        def ask(line):
            text, status = guest.run(line, PROMPT, 150)
            return re.sub(r"\x1b\[[0-9;?]*[a-zA-Z]", "", text).strip(), status

        check(ask("hostname")[0] == host, f"the system calls itself {host}")
        check(ask("timeout 120 systemctl is-system-running --wait")[0] == "running", "systemd says that it is running")
        check(ask("findmnt --verify >/dev/null; findmnt -no SOURCE,FSTYPE /")[0].split() == ["/dev/vda4", "ext4"], "the root file system is the planned one")
        check(re.fullmatch("[0-9a-f]{32}", ask("cat /etc/machine-id")[0]), "there is a machine-id")
        check(ask("ls /etc/ssh/ssh_host_*_key | wc -l")[0] == "3", "there are three SSH host keys")
        check("root=UUID=" in ask("cat /proc/cmdline")[0], "the kernel finds its root by UUID")
        check(ask("swapon --show=NAME --noheadings")[0] == "/dev/vda3", "the swap partition is in use")
        check("10.0.2.15" in ask("ip -4 -o addr show scope global")[0], "the network is up")
        events = ask("cat /var/log/signet/events.jsonl")[0].splitlines()
        stages = {event["stage"] for event in map(json.loads, events)}
        check({"plan", "partition", "pull", "configure"} <= stages, "the events of the install are kept")
        # An install over the air must not have written what the image did not say.
        check(ask("dpkg --verify 2>/dev/null | grep -v ' c ' | grep -Ev '/usr/share/(doc|man|locale|info)' | wc -l")[0] == "0", "every packaged file is as Debian made it")
        guest.send("poweroff")
        guest.wait_off(90)


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("how", choices=["profile", "script", "generated"])
    host = {"profile": "node01", "script": "scripted", "generated": "generated"}[parser.parse_args().how]

    def body(work):
        disk = lab.blank_disk(work / "disk.qcow2", "8G")
        install(lab.server_tree(work / "tree"), disk, host)
        start(disk, host)

    run("install", body, root=False)


if __name__ == "__main__":
    main()
