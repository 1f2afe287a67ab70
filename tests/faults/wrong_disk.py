#!/usr/bin/python3
"""Machines whose disks come, go and change places between the plan and the first write: never is a byte changed on a disk that the plan did not name, or
that is not what it was when the plan was made. Every disk's file is compared before and after; the last line has the figures."""

import argparse
import hashlib
import json
import pathlib
import random
import re
import socket
import subprocess
import sys
import threading
import time

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent.parent / "boot"))
from boottest import SHELL, lab, log, run  # noqa: E402
from failures import profile, small  # noqa: E402

SIZE = 1 << 30
BEFORE_WRITING = rb"stopped before partition"
DONE = rb"partition +\d+ partitions? on 1 disk"


class Monitor:
    """QEMU's machine protocol (QMP) on a socket."""

    def __init__(self, path):
        deadline = time.monotonic() + 30
        while True:
            try:
                self.socket = socket.socket(socket.AF_UNIX)
                self.socket.settimeout(60)
                self.socket.connect(str(path))
                break
            except OSError:
                if time.monotonic() > deadline:
                    raise lab.LabError("QEMU's monitor does not answer") from None
                time.sleep(0.1)
        self.file = self.socket.makefile("rw")
        json.loads(self.file.readline())
        self.command("qmp_capabilities")

    def command(self, name, **arguments):
        self.file.write(json.dumps({"execute": name, "arguments": arguments}) + "\n")
        self.file.flush()
        while True:
            answer = json.loads(self.file.readline())
            if "error" in answer:
                raise lab.LabError(f"QEMU refuses {name}: {answer['error']['desc']}")
            if "return" in answer:
                return

    def remove(self, disk):
        self.command("device_del", id=disk.name)
        # A SCSI disk goes when the guest has let go of it.
        time.sleep(3)

    def add(self, disk, at=None):
        self.command("device_add", **disk.device(at))


class Disk:
    """A SCSI disk: an image file, and how the machine shows it."""

    def __init__(self, work, name, place, serial, wwn=None, file=None):
        self.name, self.place, self.serial, self.wwn = name, place, serial, wwn
        self.path = file or work / f"{name}.img"
        if not file:
            lab.blank_disk(self.path, str(SIZE))

    def device(self, at=None):
        device = {"driver": "scsi-hd", "id": self.name, "drive": f"node-{self.path.stem}", "bus": "scsi0.0", "scsi-id": self.place if at is None else at, "serial": self.serial, "share-rw": True}
        return device | ({"wwn": self.wwn} if self.wwn else {})

    def arguments(self):
        return ["-device", json.dumps(self.device())]

    def sha256(self):
        # What is a hole reads as zeros, and most is.
        digest = hashlib.sha256()
        with open(self.path, "rb") as file:
            while chunk := file.read(1 << 20):
                digest.update(chunk if any(chunk) else b"0")
        return digest.hexdigest()


def write_at(disk, offset, data):
    with open(disk.path, "r+b") as file:
        file.seek(offset)
        file.write(data)


def give_content(disk, kind):
    """What people and other programs leave on disks."""
    if kind == "ext4":
        subprocess.run(["/sbin/mkfs.ext4", "-q", "-F", "-L", "precious", disk.path], check=True)
    elif kind == "label":
        subprocess.run(["/sbin/mkfs.ext4", "-q", "-F", "-L", "SIGNET", disk.path], check=True)
    elif kind == "swap":
        subprocess.run(["/sbin/mkswap", "-q", "-L", "swap", disk.path], check=True)
    elif kind == "lvm":
        write_at(disk, 512, b"LABELONE" + bytes(16) + b"LVM2 001" + b"A" * 32)
    elif kind == "md":
        write_at(disk, 4096, bytes.fromhex("fc4e2ba901000000") + bytes(8) + b"U" * 16)
    elif kind == "deep":
        # A disk whose head and tail were erased.
        write_at(disk, 64 << 20, b"data that a person wants back" * 100)
    elif kind in ("mark", "begun"):
        # Of another host, or begun by it and not finished.
        agent = [lab.OUT / "signet-agent"]
        flags = ["--target", disk.path, "--disk", disk.path, "--wipe", "any", "--table", "mbr", "--partition", "name=root,size=rest,format=ext4,mount=/", "--boot-loader", "none"]
        for command in [["partition", *flags, "--host", "database01"], *([["finish"]] if kind == "mark" else [])]:
            done = subprocess.run([*agent, *command, "--root", disk.path.parent / "root", "--state", disk.path.parent / f"state-{disk.name}"], stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
            if done.returncode:
                raise lab.LabError(f"mark {disk.name}: {done.stdout[-300:]}")


CONTENTS = ["ext4", "label", "swap", "lvm", "md", "deep", "mark", "begun"]


class Machine:
    """One machine: its disks, the rule of its profile, what happens to it, and how it must end."""

    def __init__(self, work, kind, chance):
        self.kind, self.chance = kind, chance
        self.wipe = chance.choice(["blank", "signet"])
        self.match = 'serial = "SYSTEM"'
        self.target = Disk(work, "system", 0, "SYSTEM")
        self.bystander = Disk(work, "bystander", 1, "DATA")
        give_content(self.bystander, chance.choice(CONTENTS))
        self.spare = Disk(work, "spare", 2, "SYSTEM" if chance.random() < 0.5 else "SPARE")
        self.at_start = [self.target, self.bystander]
        self.files = [self.target, self.bystander, self.spare]
        self.append = ""
        self.late = None  # (seconds, disk)
        self.refusal = None  # where it must be refused: "plan", "partition", or None if it may go on
        self.act = lambda monitor, guest: None
        getattr(self, kind)()

    # Nothing happens: the test's own test.
    def quiet(self):
        self.refusal = None

    # The planned disk is another one by now, in the same place, with the same serial number.
    def swapped(self):
        self.spare.serial = "SYSTEM"
        give_content(self.spare, self.chance.choice(CONTENTS))
        self.refusal = "partition"

        def act(monitor, guest):
            monitor.remove(self.target)
            monitor.add(self.spare, at=0)

        self.act = act

    # Two disks change places.
    def exchanged(self):
        self.match = 'size = "1GiB", index = 0'
        self.bystander.serial = "SYSTEM-2"
        self.refusal = "partition"

        def act(monitor, guest):
            monitor.remove(self.target)
            monitor.remove(self.bystander)
            monitor.add(self.bystander, at=0)
            time.sleep(2)
            monitor.add(self.target, at=1)

        self.act = act

    # A second disk that the rule means comes after the plan.
    def twin(self):
        self.spare.serial = "SYSTEM"
        self.refusal = "partition"
        self.act = lambda monitor, guest: monitor.add(self.spare)

    def gone(self):
        self.refusal = "partition"
        self.act = lambda monitor, guest: monitor.remove(self.target)

    # A hook or a person writes to the planned disk.
    def written(self):
        self.refusal = "partition"
        place = self.chance.choice([0, 1, 1024, 2047, (SIZE >> 9) - 1])
        self.act = lambda monitor, guest: guest.run(f"echo precious | dd of=/dev/sda bs=512 seek={place} 2>/dev/null; sync")
        self.files.remove(self.target)

    # The rule means a disk that belongs to somebody else.
    def foreign(self):
        self.match = 'serial = "DATA"'
        self.refusal = "plan"

    # One disk by two paths.
    def two_paths(self):
        other = Disk(self.target.path.parent, "system-b", 3, "SYSTEM", wwn=0x5000C50015EA71AC, file=self.target.path)
        self.target.wwn = other.wwn
        self.at_start.append(other)
        self.refusal = "plan"

    # An equal disk comes 1 to 8 seconds after the kernel has started; the rule means "the disk that is not the bystander".
    def late_equal(self):
        self.match = 'model = "QEMU*"'
        self.at_start = [self.target]
        self.spare.serial = "SYSTEM"
        self.late = (self.chance.uniform(1, 8), self.spare)
        self.append = "signet.settle=12"
        self.refusal = "plan"


KINDS = ["swapped", "twin", "exchanged", "written", "two_paths", "late_equal", "foreign", "gone", "quiet"]


def play(work, number, kind, chance):
    """Runs one machine; raises if it does not end as it must."""
    scratch = work / f"{number}"
    scratch.mkdir()
    machine = Machine(scratch, kind, chance)
    tree = scratch / "tree"
    (tree / "hosts").mkdir(parents=True)
    small(tree)
    (tree / "hosts/default.toml").write_text(profile(match=machine.match, wipe=machine.wipe))
    before = {disk.name: disk.sha256() for disk in machine.files}
    nodes = {disk.path.stem: disk.path for disk in machine.at_start + [machine.spare]}
    extra = ["-qmp", f"unix:{scratch}/qmp,server=on,wait=off", "-device", "virtio-scsi-pci,id=scsi0"]
    for name, path in nodes.items():
        extra += ["-blockdev", json.dumps({"driver": "raw", "node-name": f"node-{name}", "file": {"driver": "file", "filename": str(path), "locking": "off"}})]
    for disk in machine.at_start:
        extra += disk.arguments()
    with lab.Server(tree) as server:
        append = f"console=ttyS0 quiet signet.server={server.url(lab.HOST)} signet.host=node01 signet.break=partition {machine.append}"
        command = lab.qemu_command(kernel=lab.OUT / "vmlinuz", initrd=lab.OUT / "initrd.img", memory=128, append=append, extra=extra)
        with lab.Guest(command, log(f"wrong-disk-{kind}")) as guest:
            monitor = Monitor(scratch / "qmp")
            if machine.late:
                threading.Timer(machine.late[0], monitor.add, [machine.late[1]]).start()
            came = guest.expect([BEFORE_WRITING, rb"FAILED: [^\r\n]*"], 240, "the plan")
            if came == 0:
                if machine.refusal == "plan":
                    raise lab.LabError("the plan was accepted")
                guest.expect(SHELL, 60, "the shell of the breakpoint")
                machine.act(monitor, guest)
                guest.send("exit")
                came = guest.expect([DONE, rb"FAILED: [^\r\n]*"], 240, "partition")
                if (came == 1) != (machine.refusal == "partition"):
                    raise lab.LabError(f"partition ended with {guest.match.group(0).decode(errors='replace')!r}")
            elif machine.refusal != "plan":
                raise lab.LabError(f"the plan was refused: {guest.match.group(0).decode(errors='replace')!r}")
            said = re.sub(r"\s+", " ", guest.match.group(0).decode(errors="replace"))
            guest.expect(SHELL, 240, "a shell at the end")
            guest.run("sync")
    written = [disk.name for disk in machine.files if before[disk.name] != disk.sha256()]
    allowed = [] if machine.refusal else ["system"]
    if [name for name in written if name not in allowed]:
        raise lab.LabError(f"changed: {', '.join(written)}")
    if machine.refusal is None and "system" not in written:
        raise lab.LabError("the planned disk was not written: this machine proves nothing")
    return said


def main(work):
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--count", type=int, default=len(KINDS), help="machines (default: one of each kind)")
    parser.add_argument("--seed", type=int, default=1, help="what chance begins with")
    parser.add_argument("kind", nargs="*", help="only these: " + " ".join(KINDS))
    arguments = parser.parse_args()
    kinds = arguments.kind or KINDS
    if unknown := [kind for kind in kinds if kind not in KINDS]:
        sys.exit(f"wrong_disk: there is no kind {unknown[0]}; there are: {' '.join(KINDS)}")
    bad, started = 0, time.monotonic()
    for number in range(arguments.count):
        kind = kinds[number % len(kinds)]
        try:
            said = play(work, number, kind, random.Random(f"{arguments.seed}/{number}"))
            print(f"ok: {number} {kind}: {said[:140]}", flush=True)
        except lab.LabError as error:
            bad += 1
            print(f"FAILED: {number} {kind}: {error}", flush=True)
    print(f"figures: wrong disks: {arguments.count} machines, {arguments.count - bad} right, {bad} wrong, {time.monotonic() - started:.0f} s", flush=True)
    if bad:
        raise lab.LabError(f"{bad} of {arguments.count} machines ended otherwise")


if __name__ == "__main__":
    run("wrong-disk", main, root=False)
