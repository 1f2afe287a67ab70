#!/usr/bin/python3
"""A node whose agent is killed, stopped or cut off in the middle: what the start script, the watchdog and the retries make of it."""

import http.server
import json
import os
import threading
import time

from boottest import SHELL, await_install, check, check_match, lab, log, require, run

AGENT = "$(cut -d ' ' -f 4 /proc/$PPID/stat)"  # of a hook, whose parent is its guard
PROFILE = """schema = 1
[image]
source = "../images/small.tar.zst"
sha256 = "{sha256}"
[[disk]]
id = "system"
wipe = "blank"
partition = [
  {{ name = "bios", size = "1MiB", type = "bios" }},
  {{ name = "root", size = "rest", format = "ext4", mount = "/" }},
]
{more}
"""


class Events:
    """A server that keeps what nodes report."""

    def __init__(self):
        self.events = []
        events = self.events

        class Handler(http.server.BaseHTTPRequestHandler):
            def do_POST(self):
                for line in self.rfile.read(int(self.headers["Content-Length"])).splitlines():
                    events.append(json.loads(line))
                self.send_response(204)
                self.end_headers()

            def log_message(self, *_):
                pass

        self.server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        threading.Thread(target=self.server.serve_forever, daemon=True).start()
        self.url = f"http://{lab.HOST}:{self.server.server_port}/"

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.server.shutdown()
        self.server.server_close()


class Node:
    def __init__(self, work):
        self.work, self.tree = work, work / "tree"
        (self.tree / "hosts").mkdir(parents=True)
        self.sha256 = lab.link_image(self.tree, "small")
        self.image = self.tree / "images/small.tar.zst"
        self.whole = self.image.resolve()
        self.profile()
        self.server = lab.Server(self.tree)

    def profile(self, hook=None):
        more = ""
        if hook:
            (self.tree / "hosts/hook.sh").write_text(hook)
            more = '[hooks]\npre_install = ["hook.sh"]'
        (self.tree / "hosts/node01.toml").write_text(PROFILE.format(sha256=self.sha256, more=more))

    def serve(self, share):
        """The image, or the first part of it."""
        self.image.unlink()
        if share == 1:
            self.image.symlink_to(self.whole)
            return
        with open(self.whole, "rb") as file:
            self.image.write_bytes(file.read(int(self.whole.stat().st_size * share)))

    def start(self, name, words, extra=()):
        disk = lab.blank_disk(self.work / "disk.img", "512M")
        append = f"console=ttyS0 panic=30 signet.server={self.server.url(lab.HOST)} signet.host=node01 {words}"
        command = lab.qemu_command(disks=[disk], kernel=lab.OUT / "vmlinuz", initrd=lab.OUT / "initrd.img", memory=192, append=append, extra=list(extra))
        return lab.Guest(command, log(f"hurt-{name}"))


def killed(node):
    node.profile(f"[ -e /run/signet/hurt ] || {{ touch /run/signet/hurt; kill -KILL {AGENT}; sleep 30; }}\n")
    with Events() as server, node.start("killed", f"signet.retries=1 signet.report={server.url} signet.on-success=poweroff") as guest:
        guest.expect(rb"the agent was killed by SIGKILL", 120, "that the agent was killed")
        guest.expect(rb"trying again in \d+ s \(1 of 1 retries\)", 60, "another try")
        await_install(guest)
        said = guest.log_bytes().decode(errors="replace")
    require(not any(each["event"] == "failed" for each in server.events[-3:]), "the last events tell of an install", server.events[-3:])
    check(any("killed by SIGKILL" in json.dumps(each) for each in server.events), "the server hears that the agent was killed", server.events)
    check_match("installed; next: poweroff", said, "an agent that was killed is started again, and installs")

    node.profile(f"kill -KILL {AGENT}; sleep 30\n")
    with node.start("killed-for-good", "signet.on-failure=poweroff") as guest:
        guest.expect(rb"the agent was killed by SIGKILL", 120, "that the agent was killed")
        guest.wait_off(60)
    check(True, "without retries, on_failure happens")


def stopped(node):
    watchdog = ["-device", "i6300esb", "-action", "watchdog=poweroff"]
    node.profile(f"kill -STOP {AGENT}; sleep 600\n")
    with node.start("stopped", "signet.watchdog=15s", watchdog) as guest:
        guest.expect(rb"\d pre-install ", 120, "the hook")
        guest.wait_off(90)
    check(True, "an agent that stands still is ended by the watchdog")
    node.profile()
    with node.start("break", "signet.watchdog=15s signet.break=partition", watchdog) as guest:
        guest.expect(SHELL, 120, "the breakpoint's shell")
        time.sleep(40)
        guest.run("true")
        guest.send("exit")
        await_install(guest, then="reboot")
    check(True, "at a breakpoint no watchdog bites")


def cut_off(node):
    node.profile()
    node.serve(0.5)
    with node.start("second-try", "signet.retries=1 signet.on-success=poweroff") as guest:
        guest.expect(rb"trying again in \d+ s \(1 of 1 retries\)", 200, "another try")
        node.serve(1)
        await_install(guest)
        said = guest.log_bytes().decode(errors="replace")
    check_match(r"(?s)partition .*trying again.*partition .*installed; next: poweroff", said, 'an install that was cut off in `pull` installs at the next try, with wipe = "blank"')
    node.serve(0.5)
    with node.start("two-reasons", "signet.retries=1 signet.on-failure=poweroff") as guest:
        guest.expect(rb"trying again in \d+ s \(1 of 1 retries\)", 200, "another try")
        os.unlink(node.tree / "hosts/node01.toml")
        guest.expect(rb"The first of 2 attempts failed for another reason: ", 120, "the first cause beside the last")
        guest.wait_off(60)
    check(True, "the first cause stays visible")
    node.serve(1)


def body(work):
    node = Node(work)
    with node.server:
        killed(node)
        stopped(node)
        cut_off(node)


if __name__ == "__main__":
    run("hurt-agent", body)
