#!/usr/bin/python3
"""The last stage, `finish`, with every single write and sync of it failing once: what it had opened is closed again, and the same profile installs anew."""

import re
import subprocess

from faults import TOP, arguments, finish
from boottest import lab, run

AGENT = TOP / "build/out/signet-agent"
CALLS = ("pwrite64", "fsync", "fdatasync", "syncfs", "umount2")
MARK_AT, MARK_STATE = (1 << 20) - 4096, 12
COMPLETE = 1
PROFILE = """schema = 1
[image]
source = "{image}"
sha256 = "{sha256}"
[[disk]]
wipe = "blank"
table = "mbr"
partition = [ {{ name = "root", size = "rest", format = "ext4", mount = "/" }} ]
[finish]
on_failure = "reboot"
"""


class Target:
    def __init__(self, work):
        self.work, self.disk, self.profile = work, work / "disk.img", work / "profile.toml"
        image = lab.image("small")
        self.profile.write_text(PROFILE.format(image=image, sha256=lab.sha256_of(image)))
        lab.blank_disk(self.disk, "512M")
        self.words = ["--target", self.disk, "--root", work / "root", "--state", work / "state"]
        for verb in ("partition", "format", "mount", "pull", "configure"):
            self.agent(verb)
        subprocess.run(["umount", "-R", work / "root"], check=True)
        self.keep = work / "kept"
        self.keep.mkdir()
        self.copy(work, self.keep)

    def agent(self, verb):
        options = {"partition": ["--profile", self.profile, *self.words[:2], "--host", "node01"], "mount": self.words[2:4], "pull": self.words[2:4], "configure": self.words[2:4]}
        subprocess.run([AGENT, verb, *options.get(verb, []), *self.words[4:], "--quiet"], check=True, stdout=subprocess.DEVNULL)

    @staticmethod
    def copy(source, to):
        for name in ("disk.img", "state"):
            subprocess.run(["rm", "-rf", to / name], check=True)
            subprocess.run(["cp", "-a", "--sparse=always", source / name, to / name], check=True)

    def finish(self, call, number):
        """Status, whether the fault was met, and what the agent said."""
        self.copy(self.keep, self.work)
        trace = self.work / "trace"
        # Only the agent's own thread: the image's programs have faults of their own.
        strace = ["strace", "-qq", "-o", trace, "-e", f"trace={call}", "-e", f"inject={call}:error=EIO:when={number}"]
        command = [*strace, AGENT, "install", "--from", "finish", "--profile", self.profile, *self.words, "--host", "node01", "--on-success", "shell"]
        done = subprocess.run(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, stdin=subprocess.DEVNULL, text=True, timeout=120)
        return done.returncode, "(INJECTED)" in trace.read_text(), done.stdout

    def judge(self, status):
        """What is wrong with the disk after `finish` has ended so; nothing if all is well."""
        with open(self.disk, "rb") as file:
            first = file.read(512)
            file.seek(MARK_AT)
            mark = file.read(512)
        closed = b"Signet: installation not finished" in first
        complete = int.from_bytes(mark[MARK_STATE : MARK_STATE + 4], "little") == COMPLETE
        mounted = subprocess.run(["findmnt", "-R", self.work / "root"], stdout=subprocess.PIPE, text=True).stdout
        if mounted:
            return f"still mounted: {mounted}"
        if status == 0:
            return "" if complete and not closed else f"status 0, but the mark is {'complete' if complete else 'begun'} and the first sector {'closed' if closed else 'open'}"
        if not closed or complete:
            return f"status {status}, but the mark is {'complete' if complete else 'begun'} and the first sector {'closed' if closed else 'open'}"
        words = [AGENT, "plan", "--profile", self.profile, "--target", self.disk, "--host", "node01", "--state", self.work / "again", "--quiet"]
        planned = subprocess.run(words, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
        return "" if planned.returncode == 0 else f"the profile does not install again: {planned.stdout}"


def main():
    parsed = arguments(__doc__, 100)

    def body(work):
        target, faults, counts = Target(work), [], {}
        status, _, said = target.finish("pwrite64", 60_000)
        if status != 0 or (wrong := target.judge(0)):
            raise lab.LabError(f"finish without a fault: status {status}: {said}{wrong if status == 0 else ''}")
        for call in CALLS:
            for number in range(1, parsed.count + 1):
                status, met, said = target.finish(call, number)
                if not met:
                    break
                counts[call] = number
                wrong = target.judge(status)
                if wrong or (status != 0 and not re.search("Input/output error|I/O error", said)):
                    faults.append(f"{call} {number}: {wrong or 'the error is not said: ' + said[-500:]}")
                print(f"{'BAD' if wrong else 'ok '} {call} {number}: status {status}{': ' + wrong if wrong else ''}", flush=True)
        finish("finish-faults", f"calls that failed once: {', '.join(f'{call} {count}' for call, count in counts.items())}; {len(faults)} disks wrong", faults)

    run("finish-faults", body)


if __name__ == "__main__":
    main()
