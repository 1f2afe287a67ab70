#!/usr/bin/python3
"""A real system, installed by a profile or by a host script in a machine with 128 MiB, then started from its own disk."""

import argparse
import json
import re
import subprocess

from boottest import await_install, check, check_equal, check_match, lab, log, require_equal, require_match, run


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
    first = require_match(r"^ +([0-9.]+) pull +http.*first bytes are here", console, "the first bytes of the image", re.M)
    print(f"kernel start to the first image byte: {first.group(1)} s")
    check_match("total ", console, "the timeline is printed")


def judge_debian(ask):
    check_equal(ask("timeout 120 systemctl is-system-running --wait"), "running", "systemd's state")
    check_equal(ask("findmnt --verify >/dev/null; findmnt -no SOURCE,FSTYPE /").split(), ["/dev/vda4", "ext4"], "the planned root file system")
    check_equal(ask("ls /etc/ssh/ssh_host_*_key | wc -l"), "3", "SSH host keys")
    check_equal(ask("swapon --show=NAME --noheadings"), "/dev/vda3", "the swap partition in use")
    # An install over the air must not have written what the image did not say.
    changed = ask("dpkg --verify 2>/dev/null | grep -v ' c ' | grep -Ev '/usr/share/(doc|man|locale|info)' || true")
    check_equal(changed, "", "packaged files that are not as Debian made them")


def judge_small(ask):
    check_match("^/dev/vda4 / ext4 rw", ask("grep ' / ' /proc/mounts"), "the planned root file system")
    check_match("^/dev/vda2 /boot/efi vfat", ask("grep ' /boot/efi ' /proc/mounts"), "the mounted EFI system partition")
    check_match("^/dev/vda3 ", ask("tail -n 1 /proc/swaps"), "the swap partition in use")


def start(disk, host, judge):
    with lab.Guest(lab.qemu_command(disks=[disk], memory=512), log(f"installed-{host}")) as guest:
        guest.expect(rb"login: ", 240, "the login prompt")
        guest.log_in()

        def ask(line):
            text, status = guest.run(line, lab.ROOT_PROMPT, 150)
            require_equal(status, 0, f"status of `{line}`, which says {text!r}")
            return re.sub(r"\x1b\[[0-9;?]*[a-zA-Z]", "", text).strip()

        check_equal(ask("hostname"), host, "the name that the system calls itself")
        judge(ask)
        check_match("^[0-9a-f]{32}$", ask("cat /etc/machine-id"), "a machine-id")
        check_match("root=UUID=", ask("cat /proc/cmdline"), "the kernel finds its root by UUID")
        check_match(r"\b10\.0\.2\.15\b", ask("for i in $(seq 30); do ip -4 -o addr show scope global | grep . && break; sleep 1; done"), "the network's address")
        stages = {json.loads(line)["stage"] for line in ask("cat /var/log/signet/events.jsonl").splitlines()}
        check({"plan", "partition", "pull", "configure"} <= stages, "the events of the install are kept", stages)
        guest.send("poweroff")
        guest.wait_off(90)


# A host script installs the small system; what a profile says, and the script made of it, is judged on a Debian.
HOSTS = {"profile": ("node01", "debian-13", judge_debian), "script": ("scripted", "small", judge_small), "generated": ("generated", "debian-13", judge_debian)}


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("how", choices=HOSTS)
    host, image, judge = HOSTS[parser.parse_args().how]

    def body(work):
        disk = lab.blank_disk(work / "disk.qcow2", "8G")
        install(lab.server_tree(work / "tree", image), disk, host)
        start(disk, host, judge)

    run("install", body, root=False)


if __name__ == "__main__":
    main()
