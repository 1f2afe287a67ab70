"""What every boot test begins and ends with: the lab's modules, checks that say what was checked, a scratch directory, a clear end."""

import pathlib
import re
import shutil
import sys
import tempfile
import time

import pexpect

TOP = pathlib.Path(__file__).resolve().parent.parent.parent
sys.path.insert(0, str(TOP / "qemu"))
import signetlab as lab  # noqa: E402
import signetnet as net  # noqa: E402

SHELL = rb"signet:[^\r\n]*[#$] "  # the prompt in the initrd


def log(name):
    """Where a machine's console is kept for whoever reads about a failure."""
    return TOP / "build" / f"boot-{name}.log"


NOTHING = object()


def require(condition, message, seen=NOTHING):
    """That a condition holds. `seen` is the value that it was judged by; a failure shows it."""
    if not condition:
        shown = repr(seen)
        raise lab.LabError(message if seen is NOTHING else f"{message}: saw {shown if len(shown) < 3000 else '…' + shown[-3000:]}")


def check(condition, message, seen=NOTHING):
    """require(), and a line that says so."""
    require(condition, message, seen)
    print(f"ok: {message}", flush=True)


def require_equal(seen, expected, message):
    require(seen == expected, f"{message}: expected {expected!r}", seen)


def check_equal(seen, expected, message):
    require_equal(seen, expected, message)
    print(f"ok: {message}", flush=True)


def require_match(pattern, text, message, flags=0):
    """That a regular expression is found in a text; what was found."""
    found = re.search(pattern, text, flags)
    require(found, f"{message}: expected /{pattern}/", text)
    return found


def check_match(pattern, text, message, flags=0):
    found = require_match(pattern, text, message, flags)
    print(f"ok: {message}", flush=True)
    return found


def check_run(guest, line, message, has=(), equal=None, fails=False, **options):
    """That a command on a guest ends with status 0 (with `fails`: with another), prints every text of `has`, and `equal` if that is given; what it printed."""
    text, status = guest.run(line, **options)
    require((status != 0) == fails, f"{message}: expected {'another status than 0' if fails else 'status 0'} of `{line}`", f"status {status}: {text}")
    for part in [has] if isinstance(has, str) else has:
        require(part in text, f"{message}: expected {part!r} in the answer to `{line}`", text)
    if equal is not None:
        require_equal(text.strip(), equal, f"{message}: `{line}`")
    print(f"ok: {message}", flush=True)
    return text


def await_install(guest, then="poweroff", timeout=300):
    """Waits until the agent says that it is done; a failure is raised with what the console says of it."""
    if guest.expect([rb"installed; next: " + then.encode(), rb"FAILED: [^\r\n]*"], timeout, "the install") == 1:
        time.sleep(1)
        raise lab.LabError((guest.match.group(0) + guest.console.read_nonblocking(2000, 1)).decode(errors="replace"))
    if then == "poweroff":
        guest.wait_off(60)


NETWORK, LOGIN = "network", "login"


def next_boot(work, disk, name, uefi=False, timeout=180):
    """What a machine does that starts from this disk and, if the disk gives control back, from the network: NETWORK (its ROM is started, and this machine is
    ended), LOGIN (an installed system asks for a name), or what it last said. Nothing answers on the network, and the disk is not written."""
    said = pathlib.Path(work) / f"{name}.firmware"
    said.unlink(missing_ok=True)
    extra = net.uefi(work) if uefi else []
    # SeaBIOS tells a debug port what it starts; OVMF tells the console.
    extra += ["-snapshot", "-chardev", f"file,id=firmware,path={said}", "-device", "isa-debugcon,iobase=0x402,chardev=firmware"]
    extra += ["-netdev", "hubport,id=net0,hubid=0", "-device", "virtio-net-pci,netdev=net0,bootindex=100"]
    deadline = time.monotonic() + timeout
    with lab.Guest(lab.qemu_command(disks=[disk], memory=256, network=None, extra=extra), log(name)) as guest:
        while time.monotonic() < deadline:
            which = guest.console.expect([rb"login: ", rb"Start (PXE|HTTP Boot) over IPv", pexpect.TIMEOUT, pexpect.EOF], timeout=1)
            if which == 0:
                return LOGIN
            if which == 1 or (said.exists() and b"Booting from ROM" in said.read_bytes()):
                return NETWORK
            if which == 3:
                break
        firmware = said.read_bytes()[-200:] if said.exists() else b""
        return f"stuck: {guest.log_bytes()[-300:].decode(errors='replace').strip()!r}, firmware: {firmware.decode(errors='replace').strip()!r}"


def run(name, body, root=True):
    """Runs body(work) with a scratch directory that goes with it; what fails is said in one line, with status 1."""
    lab.end_on_sigterm()
    if root:
        net.need_root()
    work = pathlib.Path(tempfile.mkdtemp(prefix=f"signet-{name}-"))
    try:
        body(work)
    except lab.LabError as error:
        sys.exit(f"{name}: {error}")
    finally:
        shutil.rmtree(work, ignore_errors=True)
