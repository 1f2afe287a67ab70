"""What every boot test begins and ends with: the lab's modules, checks that say what was checked, a scratch directory, a clear end."""

import pathlib
import shutil
import sys
import tempfile
import time

TOP = pathlib.Path(__file__).resolve().parent.parent.parent
sys.path.insert(0, str(TOP / "qemu"))
import signetlab as lab  # noqa: E402
import signetnet as net  # noqa: E402

SHELL = rb"signet:[^\r\n]*[#$] "  # the prompt in the initrd


def log(name):
    """Where a machine's console is kept for whoever reads about a failure."""
    return TOP / "build" / f"boot-{name}.log"


def check(condition, message):
    if not condition:
        raise lab.LabError(message)
    print(f"ok: {message}", flush=True)


def await_install(guest, then="poweroff", timeout=300):
    """Waits until the agent says that it is done; a failure is raised with what the console says of it."""
    if guest.expect([rb"installed; next: " + then.encode(), rb"FAILED: [^\r\n]*"], timeout, "the install") == 1:
        time.sleep(1)
        raise lab.LabError((guest.match.group(0) + guest.console.read_nonblocking(2000, 1)).decode(errors="replace"))
    if then == "poweroff":
        guest.wait_off(60)


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
