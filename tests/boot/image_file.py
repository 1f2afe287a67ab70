#!/usr/bin/python3
"""A real Debian 13, installed onto an image file by the agent on this host, then started as a machine; its users log in by SSH with their keys."""

import os
import subprocess
import sys

from boottest import TOP, check, lab, log, run

AGENT = os.environ.get("SIGNET_AGENT", TOP / "build/out/signet-agent")

PROFILE = """
schema = 1
[image]
source = "{image}"
sha256 = "{sha256}"
[[disk]]
wipe = "blank"
table = "{table}"
partition = [
{bios}  {{ name = "boot", size = "256MiB", format = "ext4", mount = "/boot" }},
  {{ name = "root", size = "rest", format = "ext4", mount = "/" }},
]
[network]
hostname = "filed.example.org"
[configure]
kernel_args = "console=ttyS0,115200"
ssh_keys = ["{key}"]
[[configure.users]]
name = "deploy"
ssh_keys = ["{key}"]
sudo = true
"""


def install(work, table, key):
    made = lab.image()
    disk, profile = work / "disk.img", work / "profile.toml"
    sha256 = (made / "debian-13.tar.zst.sha256").read_text().split()[0]
    bios = '  { name = "bios", size = "1MiB", type = "bios" },\n' if table == "gpt" else ""
    profile.write_text(PROFILE.format(image=made / "debian-13.tar.zst", sha256=sha256, table=table, bios=bios, key=key))
    lab.blank_disk(disk, "3G")
    command = [AGENT, "install", "--profile", profile, "--target", disk, "--state", work / "state", "--root", work / "root", "--on-success", "shell"]
    done = subprocess.run(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, timeout=300)
    check(done.returncode == 0, f"the agent installs onto an image file ({table})" + (f": {done.stdout}" if done.returncode else ""))
    held = subprocess.run(["losetup", "-j", disk], stdout=subprocess.PIPE, check=True, text=True).stdout
    check(held == "", "no loop device holds the file")
    return disk


def start(work, disk, table):
    port = lab.free_port()
    network = ["-netdev", f"user,id=net0,hostfwd=tcp:127.0.0.1:{port}-:22", "-device", "virtio-net-pci,netdev=net0,romfile="]

    def ssh(user, *words):
        options = ["-i", work / "key", "-p", str(port), "-o", f"UserKnownHostsFile={work}/known", "-o", "StrictHostKeyChecking=accept-new", "-o", "BatchMode=yes", "-o", "ConnectTimeout=60"]
        return subprocess.run(["ssh", "-q", *options, f"{user}@127.0.0.1", *words], stdout=subprocess.PIPE, text=True, timeout=120).stdout.strip()

    with lab.Guest(lab.qemu_command(disks=[disk], network=None, extra=network), log(f"image-file-{table}")) as guest:
        guest.expect(rb"filed login: ", 240, "the login prompt")
        check(ssh("root", "hostname -f") == "filed.example.org", "root logs in with the profile's key; the host knows its full name")
        check(ssh("deploy", "id -un; sudo -n id -un; pwd; echo $SHELL").split() == ["deploy", "root", "/home/deploy", "/bin/bash"], "deploy logs in and may sudo")
        check(ssh("root", "systemctl is-system-running --wait") == "running", "systemd says that it is running")
        check(ssh("root", "findmnt -nro SOURCE /; findmnt -nro SOURCE /boot").split() == {"gpt": ["/dev/vda3", "/dev/vda2"], "mbr": ["/dev/vda2", "/dev/vda1"]}[table], "/ and /boot are the planned partitions")
        ssh("root", "poweroff")
        guest.wait_off(90)


def main():
    table = sys.argv[1] if len(sys.argv) > 1 else "gpt"

    def body(work):
        subprocess.run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-C", "test", "-f", work / "key"], check=True)
        start(work, install(work, table, (work / "key.pub").read_text().strip()), table)

    run("image-file", body)


if __name__ == "__main__":
    main()
