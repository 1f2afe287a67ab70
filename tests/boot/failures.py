#!/usr/bin/python3
"""Every way an install can fail, in a real machine each: one clear message on the console and in the event file, a non-zero exit, a shell,
and a disk on which nothing has changed, compared byte for byte."""

import argparse
import contextlib
import hashlib
import json
import pathlib
import re
import shutil
import socketserver
import subprocess
import sys
import tarfile
import tempfile
import threading
import io

from boottest import SHELL, TOP, lab, log

PROFILE = """schema = 1
[image]
source = "{source}"
{sha}
[[disk]]
id = "system"
match = {{ {match} }}
wipe = "{wipe}"
partition = [
  {{ name = "bios", size = "1MiB", type = "bios" }},
  {{ name = "root", size = "{size}", format = "ext4", mount = "/" }},
]
"""

def profile(source="../images/small.tar.zst", sha=None, match='transport = "virtio"', wipe="blank", size="rest"):
    return PROFILE.format(source=source, sha=f'sha256 = "{sha}"' if sha else "", match=match, wipe=wipe, size=size)

def add(archive, name, data=b"", kind=tarfile.REGTYPE, link=""):
    info = tarfile.TarInfo(name)
    info.type, info.linkname, info.size = kind, link, len(data) if kind == tarfile.REGTYPE else 0
    info.mode = 0o755 if kind == tarfile.DIRTYPE else 0o644
    archive.addfile(info, io.BytesIO(data) if kind == tarfile.REGTYPE else None)

def make_tar(path, members, compress=True):
    raw = io.BytesIO()
    with tarfile.open(fileobj=raw, mode="w") as archive:
        for member in members:
            add(archive, *member)
    path.parent.mkdir(parents=True, exist_ok=True)
    if compress:
        path.write_bytes(subprocess.run(["zstd", "-q", "-3", "-c"], input=raw.getvalue(), stdout=subprocess.PIPE, check=True).stdout)
    else:
        path.write_bytes(raw.getvalue())
    return hashlib.sha256(path.read_bytes()).hexdigest()

def random_bytes(size):
    # Not compressible, and the same in every run.
    return hashlib.shake_256(b"signet").digest(size)

class HalfServer:
    """Answers HTTP with ranges, but each connection breaks off after the first half of the body; after `lives` answers nobody listens any more."""

    def __init__(self, root, lives):
        outer = self
        self.lives = lives

        class Handler(socketserver.StreamRequestHandler):
            def handle(self):
                request = self.rfile.readline().decode()
                while self.rfile.readline().strip():
                    pass
                method, path, _ = request.split()
                file = root / path.lstrip("/")
                if not file.is_file():
                    self.wfile.write(b"HTTP/1.1 404 Not Found\r\nContent-Length: 0\r\nConnection: close\r\n\r\n")
                    return
                data = file.read_bytes()
                self.wfile.write(b"HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: %d\r\n\r\n" % len(data))
                if method == "HEAD":
                    return
                if path.endswith(".zst"):
                    self.wfile.write(data[: len(data) // 2])
                    outer.lives -= 1
                else:
                    self.wfile.write(data)

        self.server = socketserver.ThreadingTCPServer(("127.0.0.1", 0), Handler)
        self.server.daemon_threads = True
        self.port = self.server.server_address[1]
        threading.Thread(target=self.server.serve_forever, daemon=True).start()

    def url(self, host):
        return f"http://{host}:{self.port}/"

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.server.shutdown()
        self.server.server_close()

class Case:
    """One failure: what the server has, what the machine has, and what must be told."""

    def __init__(self, expected, kind, hosts=None, disks=("1G",), untouched=True, images=None, server="http", append="", network="user", timeout=60, dirty=False, advice=True):
        self.expected, self.kind, self.hosts, self.disks, self.untouched = expected, kind, hosts, disks, untouched
        self.images, self.server, self.append, self.network, self.timeout, self.dirty, self.advice = images, server, append, network, timeout, dirty, advice

def small(tree):
    return make_tar(tree / "images/small.tar.zst", [("etc", b"", tarfile.DIRTYPE), ("etc/motd", b"small\n")])

def big(tree):
    return make_tar(tree / "images/small.tar.zst", [("etc", b"", tarfile.DIRTYPE), ("etc/big", random_bytes(8 << 20))])

def huge(tree):
    # 60 MB of nothing much: small as stored, too large for a file system of 40 MiB.
    return make_tar(tree / "images/small.tar.zst", [("etc", b"", tarfile.DIRTYPE), ("etc/big", b"abcdefgh" * (60 << 17))])

def truncated(tree):
    big(tree)
    path = tree / "images/small.tar.zst"
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])

def leaving(*members):
    return lambda tree: make_tar(tree / "images/small.tar.zst", [("etc", b"", tarfile.DIRTYPE), *members])

MISTAKES = profile().replace("blank", "sometimes").replace('id = "system"', 'idd = "system"').replace('"1MiB"', '"1 parsec"')

CASES = {
    "no-lease": Case(r"no DHCP lease after \d+ s: eth0 .*asking for", "network", network="dead", timeout=150),
    "no-link": Case(r"no DHCP lease after \d+ s: no network interface found", "network", network="none", timeout=150),
    "no-server": Case(r"look up the profile: http://10\.0\.2\.2:1/hosts/.*", "network", server="none", timeout=90),
    "no-profile": Case(r"no profile for this host on http://.*tried hosts/ .*default", "not-found", hosts={}),
    "three-mistakes": Case(r"3 mistakes in the profile", "invalid", hosts={"default.toml": MISTAKES}),
    "two-disks": Case(r"2 disks match transport = .virtio., but exactly one may", "refused", hosts={"default.toml": profile()}, disks=("1G", "2G")),
    "no-disk": Case(r"no disk matches size = .>=100GiB.", "refused", hosts={"default.toml": profile(match='size = ">=100GiB"')}),
    "too-small": Case(r"is too small: its partitions need 5 GiB", "no-space", hosts={"default.toml": profile(size="5GiB")}),
    "wipe-forbids": Case(r"wipe = .blank. forbids that", "refused", hosts={"default.toml": profile()}, dirty=True),
    "image-missing": Case(r"image: http://.*none\.tar\.zst: the server does not have it", "not-found", hosts={"default.toml": profile(source="../images/none.tar.zst")}),
    "wrong-sha256": Case(r"its SHA-256 is [0-9a-f]{64}, but the profile says 0{64}", "verification", hosts={"default.toml": profile(sha="0" * 64)}, untouched=False),
    "truncated-image": Case(r"the image cannot be decompressed: Truncated zstd input", "invalid", hosts={"default.toml": profile()}, images=truncated, untouched=False, timeout=90),
    "server-gone": Case(r"the connection broke after .*the server cannot go on from there", "network", hosts={"default.toml": profile()}, images=big, server="half", untouched=False, timeout=90),
    "certificate-expired": Case(r"its certificate is not accepted.*expired", "verification", hosts={"default.toml": profile()}, server="expired"),
    "certificate-wrong-name": Case(r"its certificate is not accepted", "verification", hosts={"default.toml": profile()}, server="wrong-name"),
    "disk-full": Case(r"member etc/big: .*No space left on device", "no-space", hosts={"default.toml": profile(size="40MiB")}, images=huge, untouched=False, timeout=90),
    "member-dotdot": Case(r"member `\.\./outside` of the image leads out of the target", "invalid", hosts={"default.toml": profile()}, images=leaving(("../outside", b"x")), untouched=False),
    "member-absolute": Case(r"member `/outside` of the image has an absolute name", "invalid", hosts={"default.toml": profile()}, images=leaving(("/outside", b"x")), untouched=False),
    "member-symlink": Case(
        r"member up/outside: its path goes through up, which is a symbolic link",
        "invalid",
        hosts={"default.toml": profile()},
        images=leaving(("up", b"", tarfile.SYMTYPE, ".."), ("up/outside", b"x")),
        untouched=False,
    ),
}

GROUPS = {
    "network": ["no-lease", "no-link"],
    "lookup": ["no-server", "no-profile", "three-mistakes"],
    "plan": ["two-disks", "no-disk", "too-small", "wipe-forbids", "image-missing"],
    "pull": ["wrong-sha256", "truncated-image", "server-gone", "disk-full"],
    "certificates": ["certificate-expired", "certificate-wrong-name"],
    "members": ["member-dotdot", "member-absolute", "member-symlink"],
}

def certificate(directory, name):
    """A CA and a server's certificate of a kind: good, expired, wrong-name; (CA file, certificate, key)."""

    def openssl(*arguments):
        subprocess.run(["openssl", *arguments], check=True, cwd=directory, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE)

    openssl("req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-keyout", "ca.key", "-out", "ca.pem", "-days", "3650", "-subj", "/CN=Signet test CA")
    address = "10.9.9.9" if name == "wrong-name" else lab.HOST
    openssl("req", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-keyout", "server.key", "-out", "server.csr", "-subj", f"/CN={address}")
    (directory / "extensions").write_text(f"subjectAltName=IP:{address}\nbasicConstraints=CA:FALSE\n")
    if name == "expired":
        # openssl x509 cannot date a certificate back; openssl ca can.
        (directory / "index.txt").write_text("")
        (directory / "serial").write_text("01\n")
        (directory / "ca.conf").write_text(
            "[ca]\ndefault_ca=d\n[d]\ndatabase=index.txt\nserial=serial\nnew_certs_dir=.\ndefault_md=sha256\npolicy=p\nunique_subject=no\n[p]\ncommonName=supplied\n"
        )
        openssl("ca", "-batch", "-config", "ca.conf", "-cert", "ca.pem", "-keyfile", "ca.key", "-in", "server.csr", "-out", "server.pem", "-notext",
                "-startdate", "20200101000000Z", "-enddate", "20210101000000Z", "-extfile", "extensions")  # fmt: skip
    else:
        openssl("x509", "-req", "-in", "server.csr", "-CA", "ca.pem", "-CAkey", "ca.key", "-CAcreateserial", "-out", "server.pem", "-days", "30", "-extfile", "extensions")
    return directory / "ca.pem", directory / "server.pem", directory / "server.key"

@contextlib.contextmanager
def serve(case, tree, work):
    """The server of a case; (URL as the guest sees it, initrd to boot)."""
    initrd = lab.OUT / "initrd.img"
    if case.server == "none":
        yield "http://10.0.2.2:1/", initrd
    elif case.server == "half":
        with HalfServer(tree, 1) as server:
            yield server.url(lab.HOST), initrd
    elif case.server == "http":
        with lab.Server(tree) as server:
            yield server.url(lab.HOST), initrd
    else:
        ca, pem, key = certificate(work, case.server)
        initrd = work / "initrd.img"
        subprocess.run([TOP / "initrd/pack", "--quiet", "--ca-bundle", ca, "--out", initrd], check=True)
        with lab.Server(tree, certificate=pem, key=key) as server:
            yield server.url(lab.HOST), initrd

def sha256(path):
    digest = hashlib.sha256()
    with open(path, "rb") as file:
        while chunk := file.read(1 << 20):
            digest.update(chunk)
    return digest.hexdigest()

def require(condition, message):
    if not condition:
        raise lab.LabError(message)

def run_case(name, case):
    work = pathlib.Path(tempfile.mkdtemp(prefix=f"signet-{name}-"))
    try:
        tree = work / "tree"
        (tree / "hosts").mkdir(parents=True)
        (case.images or small)(tree)
        for file, text in (case.hosts or {}).items():
            (tree / "hosts" / file).write_text(text)
        disks = [lab.blank_disk(work / f"disk{number}.img", size) for number, size in enumerate(case.disks)]
        if case.dirty:
            subprocess.run(["mkfs.ext4", "-q", "-L", "precious", disks[0]], check=True)
        before = [sha256(disk) for disk in disks]
        with serve(case, tree, work) as (url, initrd):
            command = lab.qemu_command(disks=disks, kernel=lab.OUT / "vmlinuz", initrd=initrd, network=case.network, memory=128,
                                       append=f"console=ttyS0 quiet signet.server={url} {case.append}")  # fmt: skip
            with lab.Guest(command, log(f"failure-{name}")) as guest:
                guest.expect(rb"FAILED: ", case.timeout, "the failure")
                guest.expect(rb"The install failed \(exit status (\d+)\):", 30, "the text before the shell")
                status = int(guest.match.group(1))
                guest.expect(SHELL, 30, "a shell")

                console = guest.log_bytes().decode(errors="replace").replace("\r", "")
                require(status != 0, f"exit status {status}")
                require(re.search("FAILED: [^\n]*" + case.expected, console), f"the console does not say /{case.expected}/")
                text, _ = guest.run("grep '\"event\": *\"failed\"' /run/signet/events.jsonl")
                events = [json.loads(line) for line in text.splitlines() if line.startswith("{")]
                require(len(events) == 1, f"{len(events)} failed events, not one: {text}")
                require(re.search(case.expected, events[0]["message"]), f"the event says {events[0]['message']!r}")
                require(events[0]["kind"] == case.kind, f"the event's kind is {events[0]['kind']}, not {case.kind}")
                if name == "three-mistakes":
                    places = re.findall(r"default\.toml:(\d+):(\d+): ", events[0]["message"])
                    require(len(places) == 3 and len(set(places)) == 3, f"three places are expected: {events[0]['message']}")
                text, status = guest.run("mount | grep /target; ls /outside /target/../outside 2>/dev/null")
                require("outside" not in text, "something was written outside the target")
                guest.run("sync")
        if case.untouched:
            require([sha256(disk) for disk in disks] == before, "the disk has changed")
        else:
            boot_code = disks[0].read_bytes()[:440]
            require(boot_code == bytes(440), "there is boot code on a disk whose install failed")
        print(f"{name:<24} ok: {events[0]['message'].splitlines()[0][:110]}", flush=True)
    finally:
        shutil.rmtree(work, ignore_errors=True)

def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--group", choices=GROUPS, help="the cases of one group")
    parser.add_argument("case", nargs="*", help="only these: " + " ".join(CASES))
    arguments = parser.parse_args()
    wanted = arguments.case or (GROUPS[arguments.group] if arguments.group else list(CASES))
    failed = []
    for name in wanted:
        if name not in CASES:
            sys.exit(f"failures: there is no case {name}; there are: {' '.join(CASES)}")
        try:
            run_case(name, CASES[name])
        except lab.LabError as error:
            failed.append(name)
            print(f"{name:<24} FAILED: {error}", flush=True)
    if failed:
        sys.exit(f"failures: {len(failed)} of {len(wanted)} cases failed: {' '.join(failed)}")

if __name__ == "__main__":
    main()
