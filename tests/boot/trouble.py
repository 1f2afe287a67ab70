#!/usr/bin/python3
"""What a person does at three in the morning: a breakpoint, another try, the rescue shell; and what the server hears of it."""

import pathlib
import shutil
import subprocess
import sys
import tempfile

TOP = pathlib.Path(__file__).resolve().parent.parent.parent
sys.path.insert(0, str(TOP / "qemu"))
import signetlab as lab  # noqa: E402
import signetnet as net  # noqa: E402

PROMPT = rb"signet:[^\r\n]*# "
# The ten lines of docs/booting.md, with the directory of this test.
EVENTS = """
import http.server, json, pathlib, sys

class Events(http.server.BaseHTTPRequestHandler):
    def do_POST(self):
        for line in self.rfile.read(int(self.headers["Content-Length"])).splitlines():
            event = json.loads(line)
            if (event["stage"], event["event"]) == ("finish", "done"):
                pathlib.Path(f"{sys.argv[1]}/{event['host']}").write_text("disk\\n")
        self.send_response(204)
        self.end_headers()

http.server.HTTPServer(("", 8080), Events).serve_forever()
"""
SYSLOG = """
import socket, sys
listener = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
listener.bind(("", 5514))
with open(sys.argv[1], "wb", buffering=0) as log:
    while True:
        log.write(listener.recv(65536) + b"\\n")
"""


def check(condition, message):
    if not condition:
        raise lab.LabError(message)
    print(f"ok: {message}", flush=True)


def start(network, name, disk, append):
    command = lab.qemu_command(disks=[disk], kernel=lab.OUT / "vmlinuz", initrd=lab.OUT / "initrd.img", append=f"console=ttyS0 {append}", memory=256, network=None, extra=net.card(network.tap(), mac="52:54:00:77:00:01", boot=False))
    return lab.Guest(network.wrap(command), TOP / f"build/boot-trouble-{name}.log")


def breakpoint_and_report(network, work, disk):
    (work / "state").mkdir()
    servers = [subprocess.Popen(network.wrap([sys.executable, "-c", EVENTS, work / "state"]), stderr=subprocess.DEVNULL)]
    servers.append(subprocess.Popen(network.wrap([sys.executable, "-c", SYSLOG, work / "syslog"])))
    try:
        options = f"signet.break=partition,nonsense signet.report=http://{net.ADDRESS}:8080/ signet.syslog={net.ADDRESS}:5514 signet.on-success=poweroff"
        with start(network, "break", disk, options) as guest:
            guest.expect(rb"there is no stage `nonsense`", 60, "the remark on a breakpoint that no stage has")
            guest.expect(rb"stopped before partition", 60, "the breakpoint")
            guest.expect(PROMPT, 30, "its shell")
            text, status = guest.run("cat /run/signet/plan.json | head -n 3; signet-agent setting break --quiet")
            check(status == 0 and "partition,nonsense" in text, "the breakpoint's shell sees plan and settings")
            guest.send("exit")
            guest.expect(rb"installed; next: poweroff", 240, "the install to go on")
            guest.wait_off(60)
        state = work / "state/node01"
        check(state.exists() and state.read_text() == "disk\n", "the server has heard that the host is done, and flips its boot state")
        said = (work / "syslog").read_text()
        check(" node01 signet-agent - - - partition start" in said and "finish done" in said, "the syslog server has the stages")
    finally:
        for server in servers:
            net.end(server)


def rescue(network, disk):
    with start(network, "rescue", disk, "signet.rescue") as guest:
        guest.expect(PROMPT, 60, "the rescue shell")
        text, status = guest.run("signet-rescue /dev/vda4 cat /etc/hostname")
        check(status == 0 and "node01" in text.split(), "signet-rescue runs a command in the installed system")
        text, status = guest.run("echo 'findmnt -n -o TARGET /boot/efi; exit' | signet-rescue")
        check(status == 0 and "/boot/efi" in text.split() and "/dev/vda4 is unmounted again." in text, "by itself it finds the system, with what its fstab names")
        check(guest.run("mountpoint -q /target")[1] != 0, "nothing stays mounted")
        check(guest.run("signet-rescue /dev/vda1")[1] != 0, "a device without a system is refused")


def retries(network, disk):
    with start(network, "retries", disk, f"signet.retries=1 signet.on-failure=poweroff signet.server=http://{net.ADDRESS}:9/") as guest:
        guest.expect(rb"trying again in 5 s \(1 of 1 retries\)", 120, "the second try")
        guest.expect(rb"on failure: poweroff", 120, "the end")
        guest.wait_off(60)
    print("ok: one more try, then what on_failure says")


def main():
    lab.end_on_sigterm()
    net.need_root()
    work = pathlib.Path(tempfile.mkdtemp(prefix="signet-trouble-"))
    try:
        tree = lab.server_tree(work / "tree")
        disk = lab.blank_disk(work / "disk.qcow2", "8G")
        with net.Network(work, tree, dhcp=["--dhcp-host=52:54:00:77:00:01,node01"]) as network:
            breakpoint_and_report(network, work, disk)
            rescue(network, disk)
            retries(network, disk)
    except lab.LabError as error:
        sys.exit(f"trouble: {error}")
    finally:
        shutil.rmtree(work, ignore_errors=True)


if __name__ == "__main__":
    main()
