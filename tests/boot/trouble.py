#!/usr/bin/python3
"""What a person does at three in the morning: a breakpoint, another try, the rescue shell; and what the server hears of it."""

import shlex
import shutil
import subprocess
import sys

import pexpect
from boottest import SHELL, check, check_equal, check_match, check_run, lab, log, net, require_match, run
from machine import fat_disk

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


def start(network, name, disk, append, initrd=lab.OUT / "initrd.img", other=()):
    command = lab.qemu_command(disks=[disk, *other], kernel=lab.OUT / "vmlinuz", initrd=initrd, append=f"console=ttyS0 {append}", memory=256, network=None, extra=net.card(network.tap(), mac="52:54:00:77:00:01", boot=False))
    return lab.Guest(network.wrap(command), log(f"trouble-{name}"))


def breakpoint_and_report(network, work, disk):
    (work / "state").mkdir()
    servers = [subprocess.Popen(network.wrap([sys.executable, "-c", EVENTS, work / "state"]), stderr=subprocess.DEVNULL)]
    servers.append(subprocess.Popen(network.wrap([sys.executable, "-c", SYSLOG, work / "syslog"])))
    try:
        options = f"signet.break=partition,nonsense signet.report=http://{net.ADDRESS}:8080/ signet.syslog={net.ADDRESS}:5514 signet.on-success=poweroff"
        with start(network, "break", disk, options) as guest:
            guest.expect(rb"signet.break: `nonsense` is not one of", 60, "the remark on a breakpoint that no stage has")
            guest.expect(rb"stopped before partition", 60, "the breakpoint")
            guest.expect(SHELL, 30, "its shell")
            check_run(guest, "head -n 3 /run/signet/plan.json && signet-agent setting break --quiet", "the breakpoint's shell sees plan and settings", has="partition,nonsense")
            guest.send("exit")
            guest.expect(rb"installed; next: poweroff", 240, "the install to go on")
            guest.wait_off(60)
        state = work / "state/node01"
        check_equal(state.read_text() if state.exists() else None, "disk\n", "the server has heard that the host is done, and flips its boot state")
        said = (work / "syslog").read_text()
        check_match(r"(?s) node01 signet-agent - - - partition start.*finish done", said, "the syslog server has the stages")
    finally:
        for server in servers:
            net.end(server)


def rescue(network, disk):
    with start(network, "rescue", disk, "signet.rescue") as guest:
        guest.expect(SHELL, 60, "the rescue shell")
        reads = "awk '$3 == \"vda\" { print $4 }' /proc/diskstats"
        before = guest.run(reads)[0]
        check_run(guest, "signet-agent setting; signet-agent setting rescue", "settings are read again", has="rescue")
        check_equal(guest.run(reads)[0], before, "and no disk is read for their sake")
        check_run(guest, "signet-rescue /dev/vda4 cat /etc/hostname", "signet-rescue runs a command in the installed system", has="node01")
        found = "echo 'echo found $(mountpoint /boot/efi); exit' | signet-rescue"
        check_run(guest, found, "by itself it finds the system, with what its fstab names", has=["found /boot/efi is a mount", "/dev/vda4 is unmounted again."])
        check_run(guest, "mountpoint -q /target", "nothing stays mounted", fails=True)
        check_run(guest, "signet-rescue /dev/vda1", "a device without a system is refused", fails=True)


def ssh_server(network, work, disk):
    """The rescue shell from afar, with the tool from the server: only its key opens it, and only the right tool is started."""
    for name in ("key", "other"):
        subprocess.run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-C", "test", "-f", work / name], check=True)
    blob = (work / "key.pub").read_text().split()[1]
    tools = work / "tree/boot/tools"
    tools.mkdir(parents=True)
    good = (lab.OUT / "boot/tools/dropbear").read_bytes()
    (tools / "dropbear").write_bytes(good[:-1] + bytes([good[-1] ^ 1]))

    def ssh_command(key, *words, program="ssh"):
        options = ["-i", work / key, "-o", f"UserKnownHostsFile={work}/known", "-o", "StrictHostKeyChecking=accept-new", "-o", "IdentitiesOnly=yes", "-o", "BatchMode=yes", "-o", "ConnectTimeout=20"]
        return network.wrap([program, "-q", *options, *words])

    def ssh(*words, **options):
        return subprocess.run(ssh_command(*words, **options), stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, text=True, timeout=60)

    with start(network, "sshd", disk, f"signet.rescue signet.sshd={blob}") as guest:
        guest.expect(rb"signet-agent: \S*boot/tools/dropbear: its SHA-256 is \w+, but this initrd wants \w+", 60, "the refusal of another tool")
        (tools / "dropbear").write_bytes(good)
        guest.send("")
        guest.expect(SHELL, 30)
        check_run(guest, "signet-agent sshd", "a tool with the right SHA-256 is started")
        text = guest.log_bytes().decode(errors="replace")  # the agent speaks to the console itself
        said = require_match(r"ssh root@(\S+) gets a shell here; host key (SHA256:\S+)", text, "the SSH server's address and key")
        address, fingerprint = said.groups()
        check_match("^1\n", ssh("key", f"root@{address}", "signet-agent setting rescue --quiet; tty").stdout, "its key gets a shell")
        check(ssh("other", f"root@{address}", "true").returncode != 0, "another key does not")
        # With a terminal, as a person has it.
        person = pexpect.spawn(" ".join(shlex.quote(str(word)) for word in ssh_command("key", "-t", f"root@{address}", "signet-rescue /dev/vda4")), timeout=60)
        person.expect(rb"installed system; 'exit' leaves it")
        person.sendline("cat /etc/hostname; tty; exit")
        person.expect(rb"node01\r\n/dev/pts/\d+\r\n.*unmounted again")
        check(True, "the installed system is mended from afar, at a terminal")
        (work / "file").write_text("carried\n")
        ssh("key", "-O", work / "file", f"root@{address}:/tmp/file", program="scp")
        check_run(guest, "cat /tmp/file", "scp carries a file", equal="carried")
        known = subprocess.run(["ssh-keygen", "-l", "-f", work / "known"], stdout=subprocess.PIPE, check=True, text=True).stdout
        check(fingerprint in known, f"the console says the fingerprint of its host key, {fingerprint}", known)


def trusted_keys(network, work, disk):
    """An initrd with a trusted key uses only what the signed manifest of the server's tree lists."""
    key, tree = work / "site", work / "tree"
    signet = lab.OUT / "signet"

    def media(*options):
        subprocess.run([signet, "media", "pxe", "--out", work / "pxe", *options], check=True, stdout=subprocess.DEVNULL)
        shutil.copy(work / "pxe/initrd.img", work / "trusting.img")

    def sign(*options):
        subprocess.run([signet, "tree", "sign", tree, "--key", key, *options], check=True, stdout=subprocess.DEVNULL)

    def refused(name, message, options=""):
        with start(network, name, disk, f"signet.on-failure=poweroff signet.install=always {options}", work / "trusting.img") as guest:
            guest.expect(rb"FAILED: [^\r\n]*" + message, 60, f"the refusal: {name}")
            guest.wait_off(60)

    subprocess.run([signet, "key", "new", "--out", key], check=True, stdout=subprocess.DEVNULL)
    media("--trust", f"{key}.pub")
    refused("unsigned", rb"is not signed: there is no \S*manifest.toml")
    keys = tree / "keys/admin.pub"
    keys.parent.mkdir()
    shutil.copy(work / "key.pub", keys)
    sign()
    (tree / "hosts/node01.sh").write_text("echo stranger\n")
    # A disk of a former tenant says by its label that it configures this machine.
    labelled = fat_disk(work / "labelled.img", 'server = "http://203.0.113.66/"\nhost = "stranger"\nsyslog = "203.0.113.66"\n')
    with start(network, "signed", disk, "signet.break=partition signet.install=always signet.sshd=keys/admin.pub signet.trust=/etc/none.pem", work / "trusting.img", [labelled]) as guest:
        guest.expect(rb"signet.trust is ignored: this initrd has keys of its own", 60, "the remark on keys from the command line")
        guest.expect(rb"gets a shell here", 60, "an SSH server with keys that the manifest lists")
        guest.expect(rb"stopped before partition", 60, "the plan of a signed profile, and not a script that is not listed")
        guest.expect(SHELL, 60, "the breakpoint's shell")
        said = guest.run("signet-agent setting --quiet; cat /run/signet/identity /run/signet/events.jsonl")[0]
        check("203.0.113.66" not in said and "stranger" not in said and "labelled.img" not in said, "a label makes no disk the boot medium: its local.cfg is not used", said)
        check_run(guest, "signet-agent plan 2>&1", "nor does a label hide a disk", has="/dev/vdb")
    check(True, "what the manifest lists is used, what it does not list is not even asked for")
    keys.write_text(keys.read_text() + "# more\n")
    with start(network, "changed", disk, "signet.break=partition signet.install=always signet.sshd=keys/admin.pub", work / "trusting.img") as guest:
        guest.expect(rb"no SSH server: [^\r\n]*admin.pub: it is not the file that the signed manifest lists", 60, "the refusal of keys that have changed")
        guest.expect(rb"stopped before partition", 60, "the plan")
    names_of_a_tree(network, tree, disk, work / "trusting.img", sign)
    old = {name: (tree / name).read_bytes() for name in ("manifest.toml", "manifest.toml.sig")}
    sign()
    media("--trust", f"{key}.pub", "--manifest", tree / "manifest.toml")
    for name, text in old.items():
        (tree / name).write_bytes(text)
    refused("replayed", rb"its serial \d+ is older than \d+")
    sign()
    profile_of_another(work, tree, disk, work / "trusting.img")
    print("ok: with a trusted key nothing is used but by the signed manifest, and no older one than the initrd's")


def names_of_a_tree(network, tree, disk, initrd, sign):
    """Who a node is comes from hosts/hosts only if that is signed, and nobody gets another host's profile from a DHCP server."""
    other = "52:54:00:77:00:99"

    def start_as_stranger(name, options=""):
        card = net.card(network.tap(), mac=other, boot=False)
        append = f"console=ttyS0 signet.break=partition signet.install=always signet.on-failure=poweroff {options}"
        return lab.Guest(network.wrap(lab.qemu_command(disks=[disk], kernel=lab.OUT / "vmlinuz", initrd=initrd, append=append, memory=256, network=None, extra=card)), log(f"trouble-{name}"))

    (tree / "hosts/node01.sh").unlink()
    (tree / "hosts/hosts").write_text(f"{other} node01\n")
    with start_as_stranger("unsigned-names") as guest:
        guest.expect(rb"FAILED: [^\r\n]*installed as node01 on [^\r\n]*this host has no name", 60, "the refusal of another host's disk")
        guest.wait_off(60)
    check(True, "names of a hosts/hosts that is not signed are not used")
    sign()
    with start_as_stranger("signed-names") as guest:
        guest.expect(rb"stopped before partition", 60, "the plan")
        guest.expect(SHELL, 60, "the breakpoint's shell")
        check_run(guest, "cat /run/signet/identity", "names of a signed hosts/hosts are", has="node01")
    (tree / "hosts/hosts").write_text(f"{other} node01\n# more\n")
    with start_as_stranger("changed-names") as guest:
        guest.expect(rb"FAILED: [^\r\n]*hosts/hosts: it is not the file that the signed manifest lists", 60, "the refusal of names that have changed")
        guest.wait_off(60)
    check(True, "names that have changed are refused")
    (tree / "hosts/hosts").unlink()
    shutil.copy(tree / "hosts/default.toml", tree / "hosts/db.toml")
    sign()


def profile_of_another(work, tree, disk, initrd):
    """A DHCP server that names the signed profile of another host."""
    (work / "elsewhere").mkdir()
    options = ["--dhcp-host=52:54:00:77:00:01,node01", f"--dhcp-option-force=209,http://{net.ADDRESS}/hosts/db.toml"]
    with net.Network(work / "elsewhere", tree, dhcp=options) as network:
        with start(network, "other-profile", disk, "signet.install=always signet.on-failure=poweroff", initrd) as guest:
            guest.expect(rb"FAILED: [^\r\n]*hosts/db.toml is not this host's profile", 60, "the refusal of another host's profile")
            guest.wait_off(60)
    check(True, "DHCP names no other host's profile, signed as it is")


def debug(network, disk):
    """signet.debug prints the command line, but for what is secret in it."""
    words = "signet.debug signet.retries=0 signet.install=always signet.on-failure=poweroff signet.server=http://user:Canary1@10.77.0.1:9/?token=Canary2"
    with start(network, "debug", disk, words) as guest:
        guest.expect(rb"signet.server=http://10.77.0.1:9/", 60, "the command line")
        guest.wait_off(120)
        said = guest.log_bytes().split(b"Run /init as init process")[-1]
    check(b"Canary" not in said, "signet.debug shows no password and no token", said[-1500:])


def retries(network, disk):
    with start(network, "retries", disk, f"signet.retries=1 signet.install=always signet.on-failure=poweroff signet.server=http://{net.ADDRESS}:9/") as guest:
        guest.expect(rb"trying again in 5 s \(1 of 1 retries\)", 120, "the second try")
        guest.expect(rb"on failure: poweroff", 120, "the end")
        guest.wait_off(60)
    print("ok: one more try, then what on_failure says")


def trouble(work):
    tree = lab.server_tree(work / "tree", "small")
    disk = lab.blank_disk(work / "disk.qcow2", "8G")
    with net.Network(work, tree, dhcp=["--dhcp-host=52:54:00:77:00:01,node01"]) as network:
        breakpoint_and_report(network, work, disk)
        rescue(network, disk)
        retries(network, disk)
        ssh_server(network, work, disk)
        debug(network, disk)
        trusted_keys(network, work, disk)


if __name__ == "__main__":
    run("trouble", trouble)
