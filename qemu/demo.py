"""From a blank disk to a login prompt: builds everything, boots a machine over the network, installs Debian 13, starts it from its disk, logs in."""

import argparse
import pathlib
import re
import shutil
import subprocess
import sys
import tempfile
import time

TOP = pathlib.Path(__file__).resolve().parent.parent
sys.path.insert(0, str(TOP / "qemu"))
import signetlab as lab  # noqa: E402


class Story:
    """Tells what happens, with seconds, and keeps when it happened."""

    def __init__(self):
        self.started = time.monotonic()
        self.marks = []

    def say(self, text):
        print(f"[{time.monotonic() - self.started:6.1f} s] {text}", flush=True)

    def mark(self, text):
        self.marks.append((time.monotonic(), text))
        self.say(text)

    def timeline(self):
        lines, last = [], self.started
        for when, text in self.marks:
            lines.append(f"  {when - self.started:7.1f} s  +{when - last:6.1f} s  {text}")
            last = when
        return "\n".join(lines)


def parse():
    parser = argparse.ArgumentParser(prog="qemu/demo", description="Builds Signet, installs Debian 13 over the network onto a machine with a blank disk under QEMU, and logs in to it.")
    parser.add_argument("--keep-disk", metavar="FILE", help="install onto this (qcow2) file and keep it; made if missing")
    parser.add_argument("--disk-size", default="8G", help="size of the blank disk (8G)")
    parser.add_argument("--console", action="store_true", help="show the machine's whole console as it comes")
    parser.add_argument("--memory", type=int, default=512, metavar="MIB", help="the machine's memory (512)")
    parser.add_argument("--profile", metavar="FILE", help="another profile (.toml) or host script (.sh) than qemu/tree/hosts/default.toml; @SHA256@ in it is replaced")
    parser.add_argument("--host", default="node01", help="the machine's name, as DHCP tells it (node01)")
    parser.add_argument("--direct", action="store_true", help="hand kernel and initrd to QEMU instead of booting over the network")
    parser.add_argument("--password", default="signet", help="root's password in the profile (signet)")
    return parser.parse_args()


def follow_install(guest, story, quiet):
    """Reads the agent's console up to the reboot; its timeline as text."""
    guest.expect(rb"\d network +(\S+ \([^\r\n]*)", 180, "the agent to start")
    story.mark("the agent runs")
    guest.expect(rb"network +(eth\S* has [^\r\n]*)", 120, "a lease")
    story.mark("lease: " + guest.match.group(1).decode())
    stages = rb"\d (profile|partition|format|mount|configure) +([^\r\n]*)\r|pull +([^\r\n]*first bytes are here)|(pull) +(\d+ members[^\r\n]*)\r|finish +(\S* ?is complete)[^\r\n]*"
    failed = rb"FAILED: ([^\r\n]*)"
    while True:
        which = guest.expect([failed, stages], 600, "the install to go on")
        if which == 0:
            time.sleep(2)
            raise lab.LabError("the install failed: " + guest.match.group(1).decode())
        text = guest.match.group(0).decode()
        if "first bytes are here" in text:
            story.mark("the image's first bytes are here")
        elif "members" in text:
            story.mark("image: " + guest.match.group(5).decode())
        elif "is complete" in text:
            story.mark("installed")
            break
        elif not quiet and re.search(r"configure +as |partition +\d|format +done|mount +/dev", text):
            story.say(re.sub(r"^\d (\S+) +", r"\1: ", text))
    guest.expect(rb"finish {4}( *stage .*?kernel started\))", 60, "the timeline")
    return "\n".join(re.sub("^ {18}", "", line) for line in guest.match.group(1).decode().splitlines() if line.strip())


def log_in(guest, story, arguments):
    guest.expect(rb"login: ", 240, "the login prompt")
    story.mark("login prompt of the installed system")
    guest.log_in(arguments.password)
    for command in ("hostname", "lsblk", "timeout 120 systemctl is-system-running --wait"):
        text, status = guest.run(command, lab.ROOT_PROMPT, 150)
        text = re.sub(r"\x1b\[[0-9;?]*[a-zA-Z]", "", text).strip()
        print(f"root@{arguments.host}:~# {command}\n{text}", flush=True)
        if status != 0:
            raise lab.LabError(f"`{command}` on the installed system ended with status {status}")
        if command == "hostname" and text != arguments.host:
            raise lab.LabError(f"the installed system calls itself {text}, not {arguments.host}")
    story.mark("logged in, the system is running")
    guest.send("poweroff")
    guest.wait_off(90)
    story.mark("switched off")


def main():
    arguments = parse()
    lab.end_on_sigterm()
    story = Story()
    subprocess.run([TOP / "toolchain/artefacts"], check=True)
    story.mark("kernel, initrd and agent are built")
    lab.image()
    story.mark("Debian 13 image is made")

    work = pathlib.Path(tempfile.mkdtemp(prefix="signet-demo-"))
    log = TOP / "build" / "demo-console.log"
    try:
        tree = lab.server_tree(work / "tree")
        if arguments.profile:
            source = pathlib.Path(arguments.profile)
            sha256 = lab.sha256_of(lab.image())
            for old in (tree / "hosts").iterdir():
                old.unlink()
            (tree / "hosts" / ("default" + source.suffix)).write_text(source.read_text().replace("@SHA256@", sha256))
        disk = pathlib.Path(arguments.keep_disk) if arguments.keep_disk else work / "disk.qcow2"
        if not disk.exists():
            lab.blank_disk(disk, arguments.disk_size)
        with lab.Server(tree) as server:
            append = f"console=tty0 console=ttyS0 signet.server={server.url(lab.HOST)}"
            options = dict(disks=[disk], memory=arguments.memory, hostname=arguments.host)
            if arguments.direct:
                options |= dict(kernel=lab.OUT / "vmlinuz", initrd=lab.OUT / "initrd.img", append=append)
                # With a kernel on its command line QEMU would boot that again, so the machine ends at its reboot and is started from the disk.
                command = lab.qemu_command(**options, extra=["-no-reboot"])
            else:
                # The network comes after the disk in the boot order: a blank disk does not boot, an installed one does.
                command = lab.qemu_command(**options, pxe=lab.write_pxe(work / "pxe", append))
            story.say(f"starting a machine with {arguments.memory} MiB and a disk of {arguments.disk_size}; its console: {log.relative_to(TOP)}")
            with lab.Guest(command, log, arguments.console) as guest:
                agent_timeline = follow_install(guest, story, arguments.console)
                if not arguments.direct:
                    log_in(guest, story, arguments)
                else:
                    guest.wait_off(60)
            if arguments.direct:
                with lab.Guest(lab.qemu_command(disks=[disk], memory=arguments.memory), log.with_suffix(".disk.log"), arguments.console) as guest:
                    log_in(guest, story, arguments)
    finally:
        shutil.rmtree(work, ignore_errors=True)
    print("\nThe install, as the agent timed it:\n" + agent_timeline)
    print("\nThe demo:\n" + story.timeline())


if __name__ == "__main__":
    try:
        main()
    except lab.LabError as error:
        sys.exit(f"demo: {error}")
    except subprocess.CalledProcessError as error:
        sys.exit(f"demo: {error.cmd[0] if isinstance(error.cmd, list) else error.cmd} failed (see above)")
    except KeyboardInterrupt:
        sys.exit("demo: stopped")
