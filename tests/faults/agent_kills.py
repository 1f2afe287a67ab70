#!/usr/bin/python3
"""The agent killed, stopped and starved at random moments of installs on image files: on_failure always happens, nothing stays mounted, the event is there."""

import argparse
import json
import os
import pathlib
import random
import shutil
import signal
import subprocess
import sys
import tempfile
import time

TOP = pathlib.Path(__file__).resolve().parent.parent.parent
AGENT = pathlib.Path(os.environ.get("SIGNET_AGENT", TOP / "build/out/signet-agent"))
MEMORY = pathlib.Path("/sys/fs/cgroup/memory")  # version 1
KINDS = ("KILL", "TERM", "INT", "HUP", "STOP", "OOM")
LIMIT = 120  # seconds; an install here takes two
HOOK = "sleep 0.3 & sleep 0.3\n"


def make_image(work):
    tree = work / "tree"
    for name in ("bin", "etc", "dev", "proc", "sys", "run", "tmp", "usr/share", "var/log"):
        (tree / name).mkdir(parents=True)
    (tree / "etc/hostname").write_text("golden\n")
    (tree / "etc/passwd").write_text("root:x:0:0:root:/root:/bin/sh\n")
    (tree / "etc/shadow").write_text("root:*:20000:0:99999:7:::\n")
    (tree / "etc/group").write_text("root:x:0:\n")
    for number in range(300):
        (tree / f"usr/share/{number}").write_bytes(os.urandom(100_000))
    subprocess.run(["tar", "-C", tree, "-cf", work / "tree.tar", "."], check=True)
    (work / "hook.sh").write_text(HOOK)
    digest = subprocess.run(["sha256sum", work / "tree.tar"], check=True, stdout=subprocess.PIPE, text=True).stdout.split()[0]
    (work / "profile.toml").write_text(f"""schema = 1
[image]
source = "tree.tar"
sha256 = "{digest}"
[[disk]]
id = "system"
wipe = "any"
partition = [ {{ name = "root", size = "rest", format = "ext4", mount = "/" }} ]
[hooks]
pre_install = ["hook.sh"]
[configure]
boot_loader = "none"
[finish]
on_failure = "poweroff"
""")


class Group:
    """A memory cgroup, for agents that are starved."""

    def __init__(self, name, limit):
        self.path = MEMORY / name
        self.path.mkdir()
        (self.path / "memory.limit_in_bytes").write_text(str(limit))

    def enter(self):
        (self.path / "cgroup.procs").write_text(str(os.getpid()))

    def remove(self):
        for _ in range(50):
            try:
                self.path.rmdir()
                return
            except OSError:
                time.sleep(0.1)


class Install:
    def __init__(self, work, group=None):
        self.work, self.state, self.root, self.disk = work, work / "state", work / "root", work / "disk.img"
        shutil.rmtree(self.state, ignore_errors=True)
        if not self.disk.exists():
            with self.disk.open("wb") as file:
                file.truncate(256 << 20)
        command = [AGENT, "install", "--profile", work / "profile.toml", "--target", self.disk, "--root", self.root, "--state", self.state]
        self.output = (work / "output").open("wb")

        def prepare():
            # A test in the background may have been started with these ignored, and the agent leaves that so.
            for ignored in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
                signal.signal(ignored, signal.SIG_DFL)
            if group:
                group.enter()

        self.process = subprocess.Popen(command, stdout=self.output, stderr=subprocess.STDOUT, stdin=subprocess.DEVNULL, preexec_fn=prepare)

    def status(self):
        """As a shell has it."""
        code = self.process.wait(LIMIT)
        self.output.close()
        return code if code >= 0 else 128 - code

    def clean_up(self, status):
        """What the initrd's start script does when the agent has left no `next`."""
        if (self.state / "next").exists():
            return
        ended = subprocess.run([AGENT, "failed", "--status", str(status), "--root", self.root, "--state", self.state], stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, timeout=LIMIT)
        if ended.returncode != 1:
            raise AssertionError(f"failed ends with status {ended.returncode}: {ended.stdout}")

    def judge(self):
        """Every reason why this did not end well."""
        wrong = []
        mounts = [line.split()[4] for line in pathlib.Path("/proc/self/mountinfo").read_text().splitlines()]
        wrong += [f"{place} is mounted" for place in mounts if place.startswith(str(self.work))]
        loops = subprocess.run(["losetup", "-j", self.disk], stdout=subprocess.PIPE, text=True, check=True).stdout.strip()
        if loops:
            wrong.append(f"a loop device is left: {loops}")
        left = []
        for _ in range(50):
            left = processes_of(self.work)
            if not left:
                break
            time.sleep(0.1)
        wrong += [f"a process is left: {line}" for line in left]
        try:
            after = (self.state / "next").read_text().strip()
        except OSError:
            after = "nothing"
        if after not in ("poweroff", "shell", "reboot"):
            wrong.append(f"what comes next is {after}")
        events = [json.loads(line) for line in (self.state / "events.jsonl").read_text().splitlines() if line.endswith("}")]
        if not any(event["event"] == "failed" for event in events):
            wrong.append("no failed event")
        if not (self.state / "failure").exists():
            wrong.append("no failure file")
        # Once the profile is known, it says what comes next.
        if (self.state / "profile.toml").exists() and after != "poweroff":
            wrong.append(f"the profile says poweroff, and what comes next is {after}")
        return wrong


def processes_of(work):
    found = []
    for path in pathlib.Path("/proc").glob("[0-9]*"):
        try:
            command = (path / "cmdline").read_bytes().replace(b"\0", b" ").decode(errors="replace").strip()
            state = (path / "stat").read_text().rsplit(")", 1)[1].split()[0]
            environment = (path / "environ").read_bytes()
        except OSError:
            continue
        if int(path.name) != os.getpid() and state != "Z" and (f"{work}/" in command or f"SIGNET_STATE={work}".encode() in environment):
            found.append(command)
    return found


def one(work, kind, moment):
    """One install that is hurt; what was wrong, or None if it was over before."""
    group = Group(f"signet-kills-{os.getpid()}", moment) if kind == "OOM" else None
    install = Install(work, group)
    try:
        if kind != "OOM":
            time.sleep(moment)
            if kind == "STOP":
                install.process.send_signal(signal.SIGSTOP)
                time.sleep(0.2)
                # What a watchdog does to a machine, the kill does to a process.
                install.process.send_signal(signal.SIGKILL)
            else:
                install.process.send_signal(getattr(signal, f"SIG{kind}"))
        status = install.status()
    finally:
        if install.process.poll() is None:
            install.process.kill()
    if status == 0 or not install.state.exists():
        if group:
            group.remove()
        return None
    install.clean_up(status)
    if group:
        group.remove()
    return install.judge()


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--count", type=int, default=24, help="installs that are hurt (24)")
    parser.add_argument("--seed", type=int, default=8, help="of the moments (8)")
    arguments = parser.parse_args()
    if os.geteuid() != 0:
        print("this test mounts file systems and needs root")
        sys.exit(77)
    random.seed(arguments.seed)
    kinds = [kind for kind in KINDS if kind != "OOM" or os.access(MEMORY / "memory.limit_in_bytes", os.R_OK)]
    work = pathlib.Path(tempfile.mkdtemp(prefix="signet-kills-"))
    hurt = dict.fromkeys(kinds, 0)
    over = 0
    failures = []
    try:
        make_image(work)
        start = time.monotonic()
        install = Install(work)
        if install.status() != 0:
            sys.exit(f"an install that nobody hurts fails: {(work / 'output').read_text()}")
        whole = time.monotonic() - start
        for number in range(3 * arguments.count):
            if sum(hurt.values()) == arguments.count:
                break
            kind = min(kinds, key=lambda each: (hurt[each], kinds.index(each))) if number % 2 else kinds[number % len(kinds)]
            moment = random.randrange(2 << 20, 24 << 20, 65536) if kind == "OOM" else random.uniform(0.02, whole)
            wrong = one(work, kind, moment)
            if wrong is None:
                over += 1
                continue
            hurt[kind] += 1
            failures += [f"{kind} {moment:.2f}: {each}" for each in wrong]
            if wrong:
                print(f"FAILED: {kind} at {moment:.2f} of {whole:.1f}: {wrong}", flush=True)
                subprocess.run(["umount", "-R", work / "root"], stderr=subprocess.DEVNULL, check=False)
    finally:
        shutil.rmtree(work, ignore_errors=True)
    total = sum(hurt.values())
    print(f"figures: {total} installs hurt ({', '.join(f'{kind} {count}' for kind, count in hurt.items())}; {over} were over before), {len(failures)} things wrong")
    if failures or total < arguments.count * 2 // 3:
        sys.exit("agent_kills: on_failure did not always happen" if failures else "agent_kills: too few installs were hurt to prove anything")


if __name__ == "__main__":
    main()
