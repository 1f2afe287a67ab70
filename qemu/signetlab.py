"""Machines and servers for the demo, for tests and for trying things by hand: QEMU, nginx, pexpect; nothing of the host but loopback is used."""

import hashlib
import os
import pathlib
import re
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time

import pexpect

TOP = pathlib.Path(__file__).resolve().parent.parent
OUT = TOP / "build" / "out"
HOST = "10.0.2.2"  # this machine's loopback, as a guest on QEMU's user network sees it
CACHE = pathlib.Path(os.environ.get("SIGNET_CACHE") or pathlib.Path.home() / ".cache" / "signet")


ROOT_PROMPT = rb"root@[^\r\n]*# "  # of an installed system
ANSWER = "/run/signet-lab-answer"  # where a guest keeps what a command printed

KERNEL_MESSAGE = re.compile(rb"\[ *\d+\.\d{6}\] [^\r\n]*\r*\n")


class LabError(Exception):
    """Something that a person is told in one line."""


def end_on_sigterm():
    """SIGTERM unwinds the program as Ctrl-C does, so that its machines and servers end with it."""
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))


def accelerator():
    """'kvm' where qemu/accel has seen it work, else 'tcg'."""
    return subprocess.run([TOP / "qemu/accel"], stdout=subprocess.PIPE, check=True, text=True).stdout.strip()


def free_port():
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


class Server:
    """nginx on loopback, serving one directory; ends with the `with` block. `wrap` turns a command into one that runs elsewhere (in a namespace)."""

    def __init__(self, root, port=None, certificate=None, key=None, extra="", address="127.0.0.1", wrap=list):
        self.root = pathlib.Path(root).resolve()
        self.port = port or free_port()
        self.address, self.wrap = address, wrap
        self.scheme = "https" if certificate else "http"
        self.directory = pathlib.Path(tempfile.mkdtemp(prefix="signet-server-"))
        tls = f"ssl_certificate {certificate}; ssl_certificate_key {key}; ssl_protocols TLSv1.2 TLSv1.3;" if certificate else ""
        user = "user root;" if os.getuid() == 0 else ""
        (self.directory / "nginx.conf").write_text(f"""
            {user} worker_processes 1; daemon off; pid {self.directory}/pid; error_log {self.directory}/error.log;
            events {{ worker_connections 256; }}
            http {{
              log_format lab '$request $status "$http_x_rhn_provisioning_mac_0" "$http_x_signet_architecture"';
              access_log {self.directory}/access.log lab; default_type application/octet-stream; sendfile on; tcp_nopush on;
              client_body_temp_path {self.directory}; proxy_temp_path {self.directory}; fastcgi_temp_path {self.directory};
              uwsgi_temp_path {self.directory}; scgi_temp_path {self.directory};
              server {{ listen {address}:{self.port}{" ssl" if certificate else ""}; {tls} root {self.root}; {extra} }}
            }}
            """)
        nginx = shutil.which("nginx", path=os.environ.get("PATH", "") + ":/usr/sbin:/sbin")
        if not nginx:
            raise LabError("nginx is not installed; run toolchain/bootstrap")
        self.process = subprocess.Popen(wrap([nginx, "-e", f"{self.directory}/error.log", "-c", f"{self.directory}/nginx.conf"]), stdin=subprocess.DEVNULL)
        deadline = time.monotonic() + 10
        while not (self.directory / "pid").exists():  # written when it listens; from outside a namespace nobody could connect
            if self.process.poll() is not None or time.monotonic() > deadline:
                log = (self.directory / "error.log").read_text() if (self.directory / "error.log").exists() else ""
                self.close()
                raise LabError(f"nginx does not start: {log.strip()}")
            time.sleep(0.05)

    def url(self, host=None):
        return f"{self.scheme}://{host or self.address}:{self.port}/"

    def requests(self):
        return (self.directory / "access.log").read_text()

    def close(self):
        if self.process.poll() is None:
            self.process.terminate()
            try:
                self.process.wait(5)
            except subprocess.TimeoutExpired:
                self.process.kill()
                self.process.wait()
        shutil.rmtree(self.directory, ignore_errors=True)

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.close()


def disk_arguments(disks):
    """virtio disks; each is a path or (path, extra device properties)."""
    arguments = []
    for number, disk in enumerate(disks):
        path, properties = disk if isinstance(disk, tuple) else (disk, "")
        form = "qcow2" if str(path).endswith(".qcow2") else "raw"
        arguments += ["-drive", f"file={path},if=none,id=disk{number},format={form},cache=unsafe,discard=unmap"]
        arguments += ["-device", f"virtio-blk-pci,drive=disk{number},bootindex={number + 1}" + (f",{properties}" if properties else "")]
    return arguments


def qemu_command(disks=(), kernel=None, initrd=None, append="", memory=512, cpus=None, network="user", hostname=None, pxe=None, extra=()):
    """A QEMU command line: serial console on standard input and output, no screen. `pxe` is a directory for TFTP with a boot.ipxe in it."""
    mode = accelerator()
    # A kernel rewrites its own code while it starts, and one CPU that QEMU emulates may see half of what another has written: Debian's has died of that.
    cpus = cpus or (2 if mode == "kvm" else 1)
    command = ["qemu-system-x86_64", "-nodefaults", "-display", "none", "-serial", "stdio", "-machine", "q35", "-accel", mode + (",thread=multi" if mode == "tcg" else "")]
    command += ["-cpu", "host" if mode == "kvm" else "max", "-smp", str(cpus), "-m", str(memory), "-device", "virtio-rng-pci"]
    command += disk_arguments(disks)
    if network == "user":
        options = "user,id=net0" + (f",hostname={hostname}" if hostname else "") + (f",tftp={pxe},bootfile=boot.ipxe" if pxe else "")
        command += ["-netdev", options, "-device", "virtio-net-pci,netdev=net0" + (",bootindex=100" if pxe else ",romfile=")]
    elif network == "dead":
        # A link with a carrier and nobody behind it.
        command += ["-netdev", "hubport,id=net0,hubid=0", "-device", "virtio-net-pci,netdev=net0,romfile="]
    if kernel:
        command += ["-kernel", str(kernel), "-initrd", str(initrd), "-append", append]
    return command + list(extra)


def write_pxe(directory, append, kernel=OUT / "vmlinuz", initrd=OUT / "initrd.img"):
    """A TFTP directory that QEMU's iPXE ROM boots from."""
    directory = pathlib.Path(directory)
    directory.mkdir(parents=True, exist_ok=True)
    shutil.copy(kernel, directory / "vmlinuz")
    shutil.copy(initrd, directory / "initrd.img")
    (directory / "boot.ipxe").write_text(f"#!ipxe\nkernel vmlinuz initrd=initrd.img {append}\ninitrd initrd.img\nboot\n")
    return directory


class Guest:
    """A running machine whose serial console is spoken with."""

    def __init__(self, command, log, echo=False, timeout=120):
        self.log, self.log_path = open(log, "wb"), pathlib.Path(log)
        self.console = pexpect.spawn(command[0], command[1:], timeout=timeout, maxread=65536, echo=False)
        self.console.logfile_read = Tee(self.log, sys.stdout.buffer) if echo else self.log
        self.started = time.monotonic()

    def expect(self, pattern, timeout=None, what=None):
        """Waits for a pattern (bytes regular expression, or a list of them); the index of the one that came."""
        patterns = pattern if isinstance(pattern, list) else [pattern]
        try:
            return self.console.expect(patterns, timeout=timeout or -1)
        except pexpect.TIMEOUT:
            raise LabError(f"waited {timeout or self.console.timeout} s for {what or patterns!r}; the console ends with: {self.tail()}") from None
        except pexpect.EOF:
            raise LabError(f"the machine went off before {what or patterns!r}; the console ends with: {self.tail()}") from None

    def tail(self, size=600):
        return (self.console.before or b"")[-size:].decode(errors="replace").strip() if isinstance(self.console.before, bytes) else ""

    @property
    def before(self):
        return self.console.before.decode(errors="replace")

    @property
    def match(self):
        return self.console.match

    def log_bytes(self):
        """All that the console has said so far."""
        self.log.flush()
        return self.log_path.read_bytes()

    def send(self, line):
        self.console.sendline(line)

    def run(self, line, prompt=rb"signet:[^\r\n]*[#$] ", timeout=60):
        """Types a command at a shell's prompt; (what it prints, its status).

        The kernel writes to the same console whenever it likes. So the shell keeps the answer in a file and prints it between two marks with its digest (less the
        carriage returns, which terminals add), and once more if what came, less what looks like the kernel's, does not have that digest."""
        show = f"echo =beg''in=$answer_status $(tr -d '\\r' <{ANSWER} | md5sum); cat {ANSWER}; echo =en''d="
        self.send(f"{{ {line}\n}} >{ANSWER} 2>&1; answer_status=$?; {show}")
        for wait in (timeout, 10, 10, 10, 10):
            try:
                self.console.expect(b"=end=", timeout=wait)
                for said in (self.console.before, KERNEL_MESSAGE.sub(b"", self.console.before)):
                    frame = re.search(rb"=begin=(\d+) ([0-9a-f]{32})[^\n]*\n(.*)", said.replace(b"\r", b""), re.S)
                    if frame and hashlib.md5(frame[3]).hexdigest().encode() == frame[2]:
                        self.await_prompt(prompt)
                        return frame[3].decode(errors="replace"), int(frame[1])
            except pexpect.TIMEOUT:
                pass
            except pexpect.EOF:
                raise LabError(f"the machine went off during `{line}`; the console ends with: {self.tail()}") from None
            self.send(show)
        raise LabError(f"no answer to `{line}` after {timeout} s; the console ends with: {self.tail()}")

    def await_prompt(self, prompt, timeout=60):
        """Waits until the shell asks for the next command. A prompt that a kernel's message has cut in two is asked for again by an empty line."""
        deadline = time.monotonic() + timeout
        while time.monotonic() < deadline:
            try:
                self.console.expect(prompt, timeout=5)
                return
            except pexpect.TIMEOUT:
                self.send("")
            except pexpect.EOF:
                break
        raise LabError(f"no prompt after {timeout} s; the console ends with: {self.tail()}")

    def log_in(self, password="signet", prompt=ROOT_PROMPT, timeout=120):
        """Logs root in at `login: `, which has just been seen."""
        self.send("root")
        self.expect(rb"assword: ", timeout)
        self.send(password)
        if self.expect([prompt, rb"Login incorrect"], timeout, "root's shell") == 1:
            raise LabError(f"root cannot log in with the password {password!r}; does the profile set its root_password?")
        # Bash marks what is pasted, and programs colour what they print.
        self.run("bind 'set enable-bracketed-paste off' 2>/dev/null; export SYSTEMD_PAGER= TERM=dumb", prompt)

    def wait_off(self, timeout):
        """Waits until the machine has switched itself off."""
        try:
            self.console.expect(pexpect.EOF, timeout=timeout)
        except pexpect.TIMEOUT:
            raise LabError(f"the machine is still on after {timeout} s; the console ends with: {self.tail()}") from None
        self.console.close()

    def close(self):
        if self.console.isalive():
            self.console.kill(signal.SIGTERM)
            deadline = time.monotonic() + 3
            while self.console.isalive() and time.monotonic() < deadline:
                time.sleep(0.05)
        self.console.close(force=True)
        self.log.close()

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.close()


class Tee:
    """Writes to several files at once."""

    def __init__(self, *files):
        self.files = files

    def write(self, data):
        for file in self.files:
            file.write(data)

    def flush(self):
        for file in self.files:
            file.flush()


def blank_disk(path, size):
    """A sparse image file; `size` as qemu-img has it ("8G")."""
    form = "qcow2" if str(path).endswith(".qcow2") else "raw"
    subprocess.run(["qemu-img", "create", "-q", "-f", form, str(path), size], check=True)
    return path


IMAGES = {"debian-13": "qemu/image", "small": "qemu/small-image"}  # what makes each


def image(name="debian-13"):
    """An image's file, with .sha256 beside it; made if it is not cached."""
    directory = subprocess.run([TOP / IMAGES[name]], stdout=subprocess.PIPE, check=True, text=True).stdout.strip()
    return pathlib.Path(directory) / f"{name}.tar.zst"


def sha256_of(image_file):
    """What the file beside an image says of it."""
    return pathlib.Path(f"{image_file}.sha256").read_text().split()[0]


def link_image(tree, name="debian-13"):
    """Puts an image below a server tree; its SHA-256."""
    made = image(name)
    (tree / "images").mkdir(parents=True, exist_ok=True)
    (tree / "images" / made.name).symlink_to(made)
    return sha256_of(made)


def server_tree(directory, image="debian-13"):
    """A copy of qemu/tree, ready to be served, whose hosts get that image: "debian-13" where Debian is what is tested, else "small", which takes seconds."""
    tree = pathlib.Path(directory)
    shutil.copytree(TOP / "qemu/tree", tree)
    sha256 = link_image(tree, image)
    for path in (tree / "hosts").iterdir():
        path.write_text(path.read_text().replace("@SHA256@", sha256).replace("debian-13.tar.zst", f"{image}.tar.zst"))
    return tree
