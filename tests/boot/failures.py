#!/usr/bin/python3
"""Every way an install can fail, in a real machine each: one clear message on the console and in the event file, a non-zero exit, a shell,
and a disk on which nothing has changed, compared byte for byte."""

import argparse
import contextlib
import dataclasses
import hashlib
import io
import json
import re
import socketserver
import subprocess
import sys
import tarfile
import threading
from collections.abc import Callable

from boottest import NETWORK, SHELL, TOP, check, lab, log, next_boot, require, require_equal, require_match, run

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


def make_tar(path, members):
    raw = io.BytesIO()
    with tarfile.open(fileobj=raw, mode="w") as archive:
        for member in members:
            add(archive, *member)
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(subprocess.run(["zstd", "-q", "-3", "-c"], input=raw.getvalue(), stdout=subprocess.PIPE, check=True).stdout)


def random_bytes(size):
    # Not compressible, and the same in every run.
    return hashlib.shake_256(b"signet").digest(size)


class HalfServer:
    """Answers HTTP without ranges, and each answer with an image breaks off after the first half of the body."""

    def __init__(self, root):
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


@dataclasses.dataclass
class Case:
    """One failure: what the server has, what the machine has, and what must be told."""

    expected: str  # a regular expression that the message has
    kind: str  # of the failed event
    hosts: dict[str, str] = dataclasses.field(default_factory=dict)  # the tree's hosts/
    images: Callable | None = None  # makes the tree's images/; small() if not given
    server: str = "http"  # http, none, half, or a kind of certificate: expired, wrong-name
    disks: tuple[str, ...] = ("1G",)
    dirty: bool = False  # the first disk holds a file system
    untouched: bool = True  # no byte of any disk may have changed
    network: str = "user"
    append: str = ""
    timeout: int = 180  # seconds until the failure is told, on a slow machine
    places: int = 0  # so many mistakes, each with its line and column


def small(tree):
    make_tar(tree / "images/small.tar.zst", [("etc", b"", tarfile.DIRTYPE), ("etc/motd", b"small\n")])


def big(tree):
    make_tar(tree / "images/small.tar.zst", [("etc", b"", tarfile.DIRTYPE), ("etc/big", random_bytes(8 << 20))])


def huge(tree):
    # 60 MB of nothing much: small as stored, too large for a file system of 40 MiB.
    make_tar(tree / "images/small.tar.zst", [("etc", b"", tarfile.DIRTYPE), ("etc/big", b"abcdefgh" * (60 << 17))])


def truncated(tree):
    big(tree)
    path = tree / "images/small.tar.zst"
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])


def leaving(*members):
    return lambda tree: make_tar(tree / "images/small.tar.zst", [("etc", b"", tarfile.DIRTYPE), *members])


MISTAKES = profile().replace("blank", "sometimes").replace('id = "system"', 'idd = "system"').replace('"1MiB"', '"1 parsec"')

CASES = {
    "no-lease": Case(r"no DHCP lease after \d+ s: eth0 .*asking for", "network", network="dead"),
    "no-link": Case(r"no DHCP lease after \d+ s: no network interface found", "network", network="none"),
    "no-server": Case(r"look up the profile: http://10\.0\.2\.2:1/hosts/.*", "network", server="none"),
    "no-profile": Case(r"no profile for this host on http://.*tried hosts/ .*default", "not-found"),
    "three-mistakes": Case(r"3 mistakes in the profile", "invalid", hosts={"default.toml": MISTAKES}, places=3),
    "two-disks": Case(r"2 disks match transport = .virtio., but exactly one may", "refused", hosts={"default.toml": profile()}, disks=("1G", "2G")),
    "no-disk": Case(r"no disk matches size = .>=100GiB.", "refused", hosts={"default.toml": profile(match='size = ">=100GiB"')}),
    "too-small": Case(r"is too small: its partitions need 5 GiB", "no-space", hosts={"default.toml": profile(size="5GiB")}),
    "wipe-forbids": Case(r"wipe = .blank. allows only empty disks", "refused", hosts={"default.toml": profile()}, dirty=True),
    "image-missing": Case(r"image: http://.*none\.tar\.zst: the server does not have it", "not-found", hosts={"default.toml": profile(source="../images/none.tar.zst")}),
    "wrong-sha256": Case(r"its SHA-256 is [0-9a-f]{64}, but the profile says 0{64}", "verification", hosts={"default.toml": profile(sha="0" * 64)}, untouched=False),
    "truncated-image": Case(r"the image cannot be decompressed: Truncated zstd input", "invalid", hosts={"default.toml": profile()}, images=truncated, untouched=False),
    "server-gone": Case(r"the connection broke after .*the server cannot go on from there", "network", hosts={"default.toml": profile()}, images=big, server="half", untouched=False),
    "certificate-expired": Case(r"its certificate is not accepted.*expired", "verification", hosts={"default.toml": profile()}, server="expired"),
    "certificate-wrong-name": Case(r"its certificate is not accepted", "verification", hosts={"default.toml": profile()}, server="wrong-name"),
    "disk-full": Case(r"member etc/big: .*No space left on device", "no-space", hosts={"default.toml": profile(size="40MiB")}, images=huge, untouched=False),
    "member-dotdot": Case(r"member `\.\./outside` of the image would escape the target", "invalid", hosts={"default.toml": profile()}, images=leaving(("../outside", b"x")), untouched=False),
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
        with HalfServer(tree) as server:
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


def judge_console(guest, case):
    """What a person sees and what the event file has; the message."""
    guest.expect(rb"FAILED: ", case.timeout, "the failure")
    guest.expect(rb"The install failed \(exit status (\d+)\):", 30, "the text before the shell")
    require(int(guest.match.group(1)) != 0, "the exit status is not 0", guest.match.group(0))
    guest.expect(SHELL, 30, "a shell")
    console = guest.log_bytes().decode(errors="replace").replace("\r", "")
    require_match("FAILED: [^\n]*" + case.expected, console[console.index("FAILED: ") :], "the console's message")
    text, _ = guest.run("grep '\"event\": *\"failed\"' /run/signet/events.jsonl")
    events = [json.loads(line) for line in text.splitlines() if line.startswith("{")]
    require_equal(len(events), 1, f"failed events in {text}")
    message = events[0]["message"]
    require_match(case.expected, message, "the event's message")
    require_equal(events[0]["kind"], case.kind, "the event's kind")
    places = re.findall(r"default\.toml:(\d+):(\d+): ", message)
    if case.places:
        require_equal((len(places), len(set(places))), (case.places, case.places), f"places in {message}")
    return message


def run_case(name, case, work):
    tree = work / "tree"
    (tree / "hosts").mkdir(parents=True)
    (case.images or small)(tree)
    for file, text in case.hosts.items():
        (tree / "hosts" / file).write_text(text)
    disks = [lab.blank_disk(work / f"disk{number}.img", size) for number, size in enumerate(case.disks)]
    if case.dirty:
        subprocess.run(["mkfs.ext4", "-q", "-L", "precious", disks[0]], check=True)
    before = [sha256(disk) for disk in disks]
    with serve(case, tree, work) as (url, initrd):
        append = f"console=ttyS0 quiet signet.server={url} {case.append}"
        command = lab.qemu_command(disks=disks, kernel=lab.OUT / "vmlinuz", initrd=initrd, network=case.network, memory=128, append=append)
        with lab.Guest(command, log(f"failure-{name}")) as guest:
            message = judge_console(guest, case)
            outside, _ = guest.run("ls /outside /target/../outside 2>/dev/null")
            require_equal(outside, "", "files outside the target")
            guest.run("sync")
    if case.untouched:
        require_equal([sha256(disk) for disk in disks], before, "digests of the disks before and after")
    else:
        require_equal(next_boot(work, disks[0], f"failure-{name}-again"), NETWORK, "what the machine starts from after the failed install")
    check(True, f"{name:<24} {message.splitlines()[0][:110]}")


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--group", choices=GROUPS, help="the cases of one group")
    parser.add_argument("case", nargs="*", metavar="CASE", help="only these: " + " ".join(CASES))
    arguments = parser.parse_args()
    wanted = arguments.case or (GROUPS[arguments.group] if arguments.group else list(CASES))
    if unknown := [name for name in wanted if name not in CASES]:
        sys.exit(f"failures: there is no case {unknown[0]}; there are: {' '.join(CASES)}")

    def body(work):
        failed = []
        for name in wanted:
            (work / name).mkdir()
            try:
                run_case(name, CASES[name], work / name)
            except lab.LabError as error:
                failed.append(name)
                print(f"FAILED: {name}: {error}", flush=True)
        if failed:
            raise lab.LabError(f"{len(failed)} of {len(wanted)} cases failed: {' '.join(failed)}")

    run("failures", body, root=False)


if __name__ == "__main__":
    main()
