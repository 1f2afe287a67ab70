"""What the tests that cut installs off share: arguments, a machine whose writes are recorded, the states of a disk that its writes can leave, and a judge
that says of such a state what a machine does with it."""

import argparse
import dataclasses
import hashlib
import json
import os
import pathlib
import shutil
import stat
import struct
import subprocess
import sys
import uuid

TOP = pathlib.Path(__file__).resolve().parent.parent.parent
sys.path.insert(0, str(TOP / "tests/boot"))
from boottest import await_install, lab, log, net  # noqa: E402
from machine import FIRMWARE  # noqa: E402

SECTOR = 512
# Types of partitions as they lie on a disk: C12A7328-F81F-11D2-BA4B-00A0C93EC93B (UEFI 2.10 table 5.7), and GRUB's 21686148-6449-6E6F-744E-656564454649.
ESP = uuid.UUID("c12a7328-f81f-11d2-ba4b-00a0c93ec93b").bytes_le
BIOS_BOOT = uuid.UUID("21686148-6449-6e6f-744e-656564454649").bytes_le


def arguments(description, count, **more):
    """The command line that all of them have; `more` are further argparse options, as name=dict."""
    parser = argparse.ArgumentParser(description=description)
    parser.add_argument("--count", type=int, default=count, metavar="N", help=f"how many ({count})")
    parser.add_argument("--seed", type=int, default=1, metavar="S", help="of the random numbers; the same seed makes the same choices (1)")
    for name, options in more.items():
        parser.add_argument(f"--{name.replace('_', '-')}", **options)
    parsed = parser.parse_args()
    if parsed.count < 1:
        parser.error(f"--count {parsed.count}: at least 1")
    return parsed


FIRMWARE_OPTION = dict(choices=[*FIRMWARE, "both"], default="both", help="of the machine (both)")


def firmwares(parsed):
    return FIRMWARE if parsed.firmware == "both" else (parsed.firmware,)


def finish(name, figures, faults):
    """The last lines of such a test: each fault, and the figures for docs/reliability.md."""
    for fault in faults:
        print(f"FAULT: {fault}", flush=True)
    print(f"figures: {figures}", flush=True)
    if faults:
        raise lab.LabError(f"{len(faults)} faults")


# --- writes


@dataclasses.dataclass
class Write:
    """One entry of a log of writes."""

    offset: int  # bytes from the start of the disk
    size: int
    data: int | None  # where the bytes lie in the log; None of a discard, which leaves zeros
    flush: bool  # everything before it is on the disk for good
    durable: bool  # written with FUA: it is on the disk itself, whatever was written before it


def record_install(site, name, disk_size):
    """Installs on a disk of zeros with every write recorded (QEMU's blklogwrites); the path of the log."""
    writes = site.work / f"{name}.writes"
    writes.write_bytes(b"")
    lab.blank_disk(site.disk, disk_size)
    file = {"driver": "file", "filename": str(site.disk), "cache": {"no-flush": True}}
    kept = {"driver": "file", "filename": str(writes), "cache": {"no-flush": True}}
    node = {"driver": "raw", "node-name": "disk0", "file": {"driver": "blklogwrites", "log-sector-size": SECTOR, "file": file, "log": kept}}
    extra = ["-blockdev", json.dumps(node), "-device", "virtio-blk-pci,drive=disk0,bootindex=1", *net.card(site.tap)]
    extra += net.uefi(site.work) if site.firmware == "uefi" else []
    with lab.Guest(site.network.wrap(lab.qemu_command(network=None, memory=256, extra=extra)), log(name)) as guest:
        await_install(guest, timeout=400)
    return writes


def read_writes(path):
    """The entries of a log, in order (the kernel's dm-log-writes format: Documentation/admin-guide/device-mapper/log-writes.rst)."""
    entries = []
    with open(path, "rb") as file:
        magic, version, count, sector = struct.unpack("<QQQI", file.read(28))
        if (magic, version) != (0x6A736677736872, 1):
            raise lab.LabError(f"{path} is not a log of writes")
        position = sector
        for _ in range(count):
            file.seek(position)
            place, sectors, flags, _ = struct.unpack("<QQQQ", file.read(32))  # the last is for marks only
            position += sector
            discard = bool(flags & 4)
            entries.append(Write(place * sector, sectors * sector, None if discard else position, bool(flags & 1), bool(flags & 2)))
            if not discard:
                position += sectors * sector
    return entries


class Replay:
    """A disk of zeros to which recorded writes are done, one after the other, and for a moment others, which are then undone."""

    def __init__(self, path, size, writes):
        self.path, self.log = pathlib.Path(path), open(writes, "rb")
        self.entries = read_writes(writes)
        lab.blank_disk(path, size)
        self.disk = os.open(path, os.O_RDWR)

    def extents(self, offset, size):
        """Where the file has bytes in a range, as (offset, size) of at most 1 MiB; everywhere else it reads as zeros."""
        end = offset + size
        while offset < end:
            try:
                offset = os.lseek(self.disk, offset, os.SEEK_DATA)
            except OSError:
                return  # ENXIO: there are no more
            hole = min(os.lseek(self.disk, offset, os.SEEK_HOLE), end)
            while offset < hole:
                part = min(hole - offset, 1 << 20)
                yield offset, part
                offset += part

    def zero(self, offset, size):
        for place, part in list(self.extents(offset, size)):
            os.pwrite(self.disk, bytes(part), place)

    def do(self, write):
        if write.data is None:
            self.zero(write.offset, write.size)
        elif write.size:
            self.log.seek(write.data)
            os.pwrite(self.disk, self.log.read(write.size), write.offset)

    def do_for_a_moment(self, writes, judge):
        """judge() with these writes done; they are undone afterwards."""
        before = []
        for write in writes:
            before.append((write, [(os.pread(self.disk, part, place), place) for place, part in self.extents(write.offset, write.size)]))
            self.do(write)
        try:
            return judge()
        finally:
            for write, kept in reversed(before):
                self.zero(write.offset, write.size)
                for data, place in kept:
                    os.pwrite(self.disk, data, place)

    def close(self):
        os.close(self.disk)
        self.log.close()


# --- the judge


@dataclasses.dataclass
class Partition:
    name: str
    type: bytes
    offset: int
    size: int


def partitions(disk):
    """Of a GPT's first copy; none if it is not whole (UEFI 2.10 §5.3)."""
    with open(disk, "rb") as file:
        file.seek(SECTOR)
        header = file.read(SECTOR)
        if header[:8] != b"EFI PART":
            return []
        place, count, size = struct.unpack("<QII", header[72:88])
        file.seek(place * SECTOR)
        found = []
        for _ in range(min(count, 128)):
            entry = file.read(size)
            if entry[:16].strip(b"\0"):
                first, last = struct.unpack("<QQ", entry[32:48])
                found.append(Partition(entry[56:128].decode("utf-16-le").rstrip("\0"), entry[:16], first * SECTOR, (last - first + 1) * SECTOR))
        return found


def is_closed(code):
    """Code in sector 0 that prints its line and gives control back by INT 18h."""
    return b"\xcd\x18" in code and b"Signet: installation not finished" in code


def starts(disk, firmware):
    """What the firmware finds on the disk: "nothing" to start, "something", or "a hang"."""
    if firmware == "uefi":
        for partition in partitions(disk):
            if partition.type == ESP:
                listed = subprocess.run(["mdir", "-b", "-i", f"{disk}@@{partition.offset}", "::/EFI/BOOT/BOOTX64.EFI"], capture_output=True, text=True)
                return "something" if listed.returncode == 0 else "nothing"
        return "nothing"
    with open(disk, "rb") as file:
        sector = file.read(SECTOR)
    if sector[510:] != b"\x55\xaa" or is_closed(sector[:440]):
        return "nothing"
    return "something" if sector[:440].strip(b"\0") else "a hang"


def digest_of_tree(root):
    """Of every name below a directory with what lies there: type, mode, owner, content."""
    digest = hashlib.sha256()
    for directory, names, files in os.walk(root):
        names.sort()
        for name in sorted([*names, *files]):
            path = os.path.join(directory, name)
            status = os.lstat(path)
            digest.update(f"{os.path.relpath(path, root)} {status.st_mode:o} {status.st_uid}:{status.st_gid} {status.st_rdev}\n".encode())
            if stat.S_ISLNK(status.st_mode):
                digest.update(os.readlink(path).encode())
            elif stat.S_ISREG(status.st_mode):
                with open(path, "rb") as file:
                    digest.update(hashlib.file_digest(file, "sha256").digest())
    return digest.hexdigest()


def system_on(disk, work):
    """What lies on the disk: digests of the trees of the root file system and the EFI system partition, and of GRUB's core image; or why there is no whole
    system."""
    digests = []
    for partition in partitions(disk):
        if partition.type == BIOS_BOOT:
            with open(disk, "rb") as file:
                file.seek(partition.offset)
                digests.append(hashlib.sha256(file.read(partition.size)).hexdigest())
        elif partition.type == ESP:
            place = work / "esp"
            shutil.rmtree(place, ignore_errors=True)
            place.mkdir()
            copied = subprocess.run(["mcopy", "-s", "-n", "-Q", "-i", f"{disk}@@{partition.offset}", "::", place], capture_output=True, text=True)
            if copied.returncode != 0:
                return f"the EFI system partition cannot be read: {copied.stderr.strip()}"
            digests.append(digest_of_tree(place))
        elif partition.name == "root":
            copy, place = work / "root.img", work / "root"
            subprocess.run(["dd", f"if={disk}", f"of={copy}", "bs=1M", "conv=sparse", "iflag=skip_bytes,count_bytes", f"skip={partition.offset}", f"count={partition.size}", "status=none"], check=True)
            checked = subprocess.run(["e2fsck", "-p", copy], capture_output=True, text=True)
            if checked.returncode > 1:  # 1: the journal was replayed, as a kernel does when it mounts
                return f"e2fsck: {(checked.stdout + checked.stderr).strip()[-300:]}"
            place.mkdir(exist_ok=True)
            subprocess.run(["mount", "-o", "ro,loop", copy, place], check=True)
            try:
                digests.append(digest_of_tree(place))
            finally:
                subprocess.run(["umount", place], check=True)
    return " ".join(digests) if digests else "no partitions"
