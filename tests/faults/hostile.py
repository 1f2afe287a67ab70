"""What the tests with hostile images share: tar archives written by hand, a target with something beside it that must stay as it is, and the agent
run on one image with its memory measured."""

import hashlib
import os
import pathlib
import resource
import shutil
import stat
import subprocess
import tempfile
import threading

TOP = pathlib.Path(__file__).resolve().parent.parent.parent
AGENT = pathlib.Path(os.environ.get("SIGNET_AGENT", TOP / "build/out/signet-agent"))
MOST_MEMORY = 64 << 20  # bytes, of writer and decoder together
RING = 8 << 20  # most_records of src/image/decoder_process.cpp
HANG = 120  # seconds; a run takes some ten milliseconds


def header(name, kind=b"0", size=0, mode=0o644, target=b"", uid=0, gid=0, mtime=1_600_000_000, prefix=b"", magic=b"ustar\x0000", device=(0, 0)):
    """One tar header (POSIX.1-1988 ustar); every field as given, also where no tar would write it so."""

    def number(value, width):
        return value if isinstance(value, bytes) else b"%0*o\0" % (width - 1, value)

    block = bytearray(512)

    def put(at, text, width):
        block[at : at + width] = text[:width].ljust(width, b"\0")

    put(0, name, 100)
    put(100, number(mode, 8), 8)
    put(108, number(uid, 8), 8)
    put(116, number(gid, 8), 8)
    put(124, number(size, 12), 12)
    put(136, number(mtime, 12), 12)
    put(148, b" " * 8, 8)
    block[156:157] = kind
    put(157, target, 100)
    put(257, magic, 8)
    put(329, number(device[0], 8), 8)
    put(337, number(device[1], 8), 8)
    put(345, prefix, 155)
    put(148, b"%06o\0 " % sum(block), 8)
    return bytes(block)


def padded(data):
    return data + bytes(-len(data) % 512)


def member(name, data=b"", **fields):
    return header(name, size=len(data), **fields) + padded(data)


def record(key, value):
    """One line of a pax header: its own length is part of it."""
    rest = len(key) + len(value) + 3
    length = rest + len(str(rest))
    length = rest + len(str(length))
    return b"%d %s=%s\n" % (length, key, value)


def pax(records, kind=b"x"):
    return member(b"pax", b"".join(record(key, value) for key, value in records), kind=kind)


def gnu_long(text, kind):
    """GNU's long name (L) or long link (K) before a member."""
    return member(b"././@LongLink", text + b"\0", kind=kind)


END = bytes(1024)


class Target:
    """A directory to install into, and things beside it."""

    def __init__(self):
        self.outer = pathlib.Path(tempfile.mkdtemp(prefix="signet-hostile-"))
        self.root = self.outer / "root"
        self.state = pathlib.Path(tempfile.mkdtemp(prefix="signet-state-"))
        (self.outer / "secret").mkdir()
        (self.outer / "victim").write_text("untouched")
        (self.outer / "secret/key").write_text("secret")
        os.chmod(self.outer / "secret/key", 0o600)
        self.fresh()
        self.before = self.outside()

    def fresh(self):
        subprocess.run(["rm", "-rf", self.root], check=True)  # much faster than Python where an image has 200,000 directories
        self.root.mkdir()

    def outside(self):
        """Everything but the target: names, modes, owners, links, times and content."""
        found = []
        for place, directories, files in os.walk(self.outer):
            if pathlib.Path(place) == self.outer:
                directories.remove("root")
            for name in sorted(directories + files):
                path = os.path.join(place, name)
                status = os.lstat(path)
                content = b""
                if stat.S_ISREG(status.st_mode):
                    content = hashlib.sha256(open(path, "rb").read()).digest()
                found.append((path, status.st_mode, status.st_uid, status.st_gid, status.st_nlink, status.st_size, status.st_mtime_ns, content))
        return sorted(found)

    def touched(self):
        return self.outside() != self.before

    def close(self):
        shutil.rmtree(self.outer, ignore_errors=True)
        shutil.rmtree(self.state, ignore_errors=True)


class Outcome:
    def __init__(self, status, text, memory):
        self.status, self.text, self.memory = status, text, memory

    @property
    def ended_well(self):
        """Installed, or refused with one message."""
        return self.status == 0 or (self.status == 1 and self.text.count("FAILED:") <= 1)


def pull(image, target, extra=()):
    """Runs the agent on an image. Memory is twice that of the larger process of the two, but for the ring between them, which both have."""
    command = [AGENT, "pull", "--source", image, "--root", target.root, "--state", target.state, *extra]
    process = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT)
    timer = threading.Timer(HANG, process.kill)
    timer.start()
    text = process.stdout.read().decode(errors="replace")
    _, status, usage = os.wait4(process.pid, 0)
    timer.cancel()
    process.stdout.close()
    process.returncode = os.waitstatus_to_exitcode(status)
    return Outcome(process.returncode, text, max(usage.ru_maxrss * 1024, 2 * usage.ru_maxrss * 1024 - RING))


def no_core_files():
    """Nothing that a test starts leaves a core file."""
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
