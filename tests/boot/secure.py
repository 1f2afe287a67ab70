#!/usr/bin/python3
"""Secure Boot with a key of our own: OVMF learns it, refuses signet.efi unsigned, starts it signed, and the install runs."""

import pathlib
import shutil
import subprocess
import sys
import tempfile

TOP = pathlib.Path(__file__).resolve().parent.parent.parent
sys.path.insert(0, str(TOP / "qemu"))
sys.path.insert(0, str(TOP / "tests/boot"))
import signetlab as lab  # noqa: E402
import signetnet as net  # noqa: E402

GLOBAL, DATABASE = "8be4df61-93ca-11d2-aa0d-00e098032b8c", "d719b2cb-3d3a-4596-a3bc-dad00e67656f"
OWNER = "5f2d7c1e-0b3a-4d8e-9a61-7c2f4e8b9d10"


def run(*command):
    done = subprocess.run([str(word) for word in command], stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
    if done.returncode != 0:
        raise lab.LabError(f"{' '.join(str(word) for word in command)}: {done.stdout.strip()}")


def make_keys(work):
    """One key for everything; a real site keeps PK, KEK and db apart (UEFI 2.10 §32.3)."""
    key, certificate = work / "key.pem", work / "key.crt"
    run("openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-sha256", "-days", "30", "-subj", "/CN=Signet test", "-keyout", key, "-out", certificate)
    run("openssl", "x509", "-in", certificate, "-outform", "DER", "-out", work / "key.der")
    run("sbsiglist", "--owner", OWNER, "--type", "x509", "--output", work / "key.esl", work / "key.der")
    for name, guid in (("PK", GLOBAL), ("KEK", GLOBAL), ("db", DATABASE)):
        run("sign-efi-sig-list", "-g", OWNER, "-k", key, "-c", certificate, name, work / "key.esl", work / f"{name}.auth")
        # efivarfs wants the attributes in front: non-volatile, boot, run time, time-based authentication.
        (work / f"{name}.variable").write_bytes(b"\x27\0\0\0" + (work / f"{name}.auth").read_bytes())
    return key, certificate


def enrol(work, log):
    """In setup mode the running system may write the keys; the platform key last, which ends that mode."""
    initrd = work / "enrol.img"
    adds = [word for name in ("db", "KEK", "PK") for word in ("--add", f"{work}/{name}.variable:/root/{name}")]
    run(TOP / "initrd/pack", "--quiet", "--out", initrd, *adds)
    command = lab.qemu_command(kernel=lab.OUT / "vmlinuz", initrd=initrd, append="console=ttyS0 signet.rescue quiet", network=None, extra=net.uefi(work, secure=True))
    with lab.Guest(command, log) as guest:
        guest.expect(rb"signet:[^\r\n]*# ", 120, "the rescue shell")
        for name, guid in (("db", DATABASE), ("KEK", GLOBAL), ("PK", GLOBAL)):
            text, status = guest.run(f"cat /root/{name} >/sys/firmware/efi/efivars/{name}-{guid}")
            if status != 0:
                raise lab.LabError(f"the firmware does not take {name}: {text}")
        guest.send("poweroff -f")
        guest.wait_off(30)
    print("ok: the firmware has our keys and has left setup mode", flush=True)


def start(network, work, disk, log, efi):
    (work / "tree/boot/signet.efi").unlink(missing_ok=True)
    shutil.copy(efi, work / "tree/boot/signet.efi")
    extra = net.uefi(work, secure=True) + ["-fw_cfg", "name=opt/org.tianocore/IPv4PXESupport,string=n", "-fw_cfg", "name=opt/org.tianocore/IPv6PXESupport,string=n"]
    return lab.Guest(network.wrap(lab.qemu_command(disks=[disk], network=None, extra=extra + net.card(network.tap()))), log)


def main():
    lab.end_on_sigterm()
    net.need_root()
    work = pathlib.Path(tempfile.mkdtemp(prefix="signet-secure-"))
    build = TOP / "build"
    try:
        key, certificate = make_keys(work)
        enrol(work, build / "boot-secure-enrol.log")
        unsigned, signed = work / "unsigned.efi", work / "signed.efi"
        run(lab.OUT / "signet", "media", "efi", "--out", unsigned, "--console", "tty0", "--console", "ttyS0", "--append", "signet.on-success=poweroff")
        run("sbsign", "--key", key, "--cert", certificate, "--output", signed, unsigned)
        tree = lab.server_tree(work / "tree")
        (tree / "boot").mkdir()
        disk = lab.blank_disk(work / "disk.qcow2", "8G")
        with net.Network(work, tree, dhcp=net.pxe_options() + ["--dhcp-ignore=tag:efi", "--dhcp-host=52:54:00:77:00:01,node01"]) as network:
            with start(network, work, disk, build / "boot-secure-unsigned.log", unsigned) as guest:
                if guest.expect([rb"Access Denied|Security Violation", rb"Linux version"], 120, "the firmware's refusal") == 1:
                    raise lab.LabError("the firmware started an unsigned signet.efi")
            print("ok: unsigned, signet.efi is refused", flush=True)
            with start(network, work, disk, build / "boot-secure-signed.log", signed) as guest:
                guest.expect(rb"[Ss]ecure boot enabled", 120, "the kernel to say that Secure Boot is on")
                if guest.expect([rb"installed; next: poweroff", rb"FAILED: [^\r\n]*"], 300, "the install") == 1:
                    raise lab.LabError(guest.match.group(0).decode(errors="replace"))
                guest.wait_off(60)
            print("ok: signed by our key, it starts and installs", flush=True)
        # The demo's image has a GRUB that nobody has signed, so its first start is by a firmware that does not ask.
        (work / "nvram.fd").unlink()
        with lab.Guest(lab.qemu_command(disks=[disk], network=None, extra=net.uefi(work)), build / "boot-secure-disk.log") as guest:
            guest.expect(rb"node01 login: ", 240, "the installed system's login prompt")
        print("ok: what was installed starts by UEFI")
    except lab.LabError as error:
        sys.exit(f"secure: {error}")
    finally:
        shutil.rmtree(work, ignore_errors=True)


if __name__ == "__main__":
    main()
