#!/usr/bin/python3
"""A real system, installed onto an image file by the agent on this host, then started as a machine; its users have their keys."""

import argparse
import os
import subprocess

from boottest import TOP, check, check_equal, check_run, lab, log, run

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
root_password = "$6$signetdemo$UBjCsWjouze8FZverZ0CyNT1cY6vFMBA1r7LmAP0ZTFbbubwc2N9Ror6iGMOdcUkV9YY0uLLG0dj0UWt41jcB0"
[[configure.users]]
name = "deploy"
ssh_keys = ["{key}"]
{sudo}
"""


# A Debian on a GPT, the small system on an MBR: where / and /boot are.
TABLES = {"gpt": ("debian-13", ["/dev/vda3", "/dev/vda2"]), "mbr": ("small", ["/dev/vda2", "/dev/vda1"])}


def install(work, table, image, key):
    made = lab.image(image)
    disk, profile = work / "disk.img", work / "profile.toml"
    bios = '  { name = "bios", size = "1MiB", type = "bios" },\n' if table == "gpt" else ""
    sudo = "sudo = true" if image == "debian-13" else ""
    profile.write_text(PROFILE.format(image=made, sha256=lab.sha256_of(made), table=table, bios=bios, key=key, sudo=sudo))
    lab.blank_disk(disk, "3G")
    command = [AGENT, "install", "--profile", profile, "--target", disk, "--state", work / "state", "--root", work / "root", "--on-success", "shell"]
    done = subprocess.run(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, timeout=300)
    check(done.returncode == 0, f"the agent installs onto an image file ({table})", f"status {done.returncode}: {done.stdout}")
    held = subprocess.run(["losetup", "-j", disk], stdout=subprocess.PIPE, check=True, text=True).stdout
    check_equal(held, "", "loop devices that hold the file")
    return disk


def judge_debian(guest, work, port, places):
    def ssh(user, *words):
        options = ["-i", work / "key", "-p", str(port), "-o", f"UserKnownHostsFile={work}/known", "-o", "StrictHostKeyChecking=accept-new", "-o", "BatchMode=yes", "-o", "ConnectTimeout=60"]
        return subprocess.run(["ssh", "-q", *options, f"{user}@127.0.0.1", *words], stdout=subprocess.PIPE, text=True, timeout=120).stdout.strip()

    check_equal(ssh("root", "hostname -f"), "filed.example.org", "root logs in with the profile's key; the host knows its full name")
    check_equal(ssh("deploy", "id -un; sudo -n id -un; pwd; echo $SHELL").split(), ["deploy", "root", "/home/deploy", "/bin/bash"], "deploy logs in and may sudo")
    check_equal(ssh("root", "systemctl is-system-running --wait"), "running", "systemd's state")
    check_equal(ssh("root", "findmnt -nro SOURCE /; findmnt -nro SOURCE /boot").split(), places, "/ and /boot are the planned partitions")
    ssh("root", "poweroff")


def judge_small(guest, work, port, places):
    guest.log_in()

    def judge(line, message, **wanted):
        check_run(guest, line, message, prompt=lab.ROOT_PROMPT, **wanted)

    judge("hostname -f", "the host knows its full name", equal="filed.example.org")
    judge("for place in / /boot; do awk -v place=$place '$2 == place { print $1 }' /proc/mounts; done", "/ and /boot are the planned partitions", equal="\n".join(places))
    judge("grep ^deploy: /etc/passwd", "deploy has an account", has=":/home/deploy:/bin/sh")
    judge("cat /root/.ssh/authorized_keys /home/deploy/.ssh/authorized_keys | sort -u", "root and deploy have the profile's key", equal=(work / "key.pub").read_text().strip())
    guest.send("poweroff")


def start(work, disk, table):
    image, places = TABLES[table]
    port = lab.free_port()
    network = ["-netdev", f"user,id=net0,hostfwd=tcp:127.0.0.1:{port}-:22", "-device", "virtio-net-pci,netdev=net0,romfile="]
    with lab.Guest(lab.qemu_command(disks=[disk], network=None, extra=network), log(f"image-file-{table}")) as guest:
        guest.expect(rb"filed login: ", 240, "the login prompt")
        (judge_debian if image == "debian-13" else judge_small)(guest, work, port, places)
        guest.wait_off(90)


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("table", choices=TABLES)
    table = parser.parse_args().table

    def body(work):
        subprocess.run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-C", "test", "-f", work / "key"], check=True)
        start(work, install(work, table, TABLES[table][0], (work / "key.pub").read_text().strip()), table)

    run("image-file", body)


if __name__ == "__main__":
    main()
