#!/usr/bin/python3
"""Secure Boot with a key of our own: OVMF learns it, refuses signet.efi unsigned, starts it signed, and the install runs."""

import shutil
import subprocess

from boottest import SHELL, TOP, await_install, check_run, lab, log, net, run

GLOBAL, DATABASE = "8be4df61-93ca-11d2-aa0d-00e098032b8c", "d719b2cb-3d3a-4596-a3bc-dad00e67656f"
OWNER = "5f2d7c1e-0b3a-4d8e-9a61-7c2f4e8b9d10"


def call(*command):
    done = subprocess.run([str(word) for word in command], stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
    if done.returncode != 0:
        raise lab.LabError(f"{' '.join(str(word) for word in command)}: {done.stdout.strip()}")


def make_keys(work):
    """One key for everything; a real site keeps PK, KEK and db apart (UEFI 2.10 §32.3)."""
    key, certificate = work / "key.pem", work / "key.crt"
    call("openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-sha256", "-days", "30", "-subj", "/CN=Signet test", "-keyout", key, "-out", certificate)
    call("openssl", "x509", "-in", certificate, "-outform", "DER", "-out", work / "key.der")
    call("sbsiglist", "--owner", OWNER, "--type", "x509", "--output", work / "key.esl", work / "key.der")
    for name, guid in (("PK", GLOBAL), ("KEK", GLOBAL), ("db", DATABASE)):
        call("sign-efi-sig-list", "-g", OWNER, "-k", key, "-c", certificate, name, work / "key.esl", work / f"{name}.auth")
        # efivarfs wants the attributes in front: non-volatile, boot, run time, time-based authentication.
        (work / f"{name}.variable").write_bytes(b"\x27\0\0\0" + (work / f"{name}.auth").read_bytes())
    return key, certificate


def enrol(work):
    """In setup mode the running system may write the keys; the platform key last, which ends that mode."""
    initrd = work / "enrol.img"
    adds = [word for name in ("db", "KEK", "PK") for word in ("--add", f"{work}/{name}.variable:/root/{name}")]
    call(TOP / "initrd/pack", "--quiet", "--out", initrd, *adds)
    command = lab.qemu_command(kernel=lab.OUT / "vmlinuz", initrd=initrd, append="console=ttyS0 signet.rescue quiet", network=None, extra=net.uefi(work, secure=True))
    with lab.Guest(command, log("secure-enrol")) as guest:
        guest.expect(SHELL, 120, "the rescue shell")
        for name, guid in (("db", DATABASE), ("KEK", GLOBAL), ("PK", GLOBAL)):
            check_run(guest, f"cat /root/{name} >/sys/firmware/efi/efivars/{name}-{guid}", f"the firmware takes {name}")
        guest.send("poweroff -f")
        guest.wait_off(30)
    print("ok: the firmware has our keys and has left setup mode", flush=True)


def start(network, work, disk, name, efi):
    (work / "tree/boot/signet.efi").unlink(missing_ok=True)
    shutil.copy(efi, work / "tree/boot/signet.efi")
    extra = net.uefi(work, secure=True) + ["-fw_cfg", "name=opt/org.tianocore/IPv4PXESupport,string=n", "-fw_cfg", "name=opt/org.tianocore/IPv6PXESupport,string=n"]
    return lab.Guest(network.wrap(lab.qemu_command(disks=[disk], network=None, extra=extra + net.card(network.tap()))), log(f"secure-{name}"))


def secure(work):
    key, certificate = make_keys(work)
    enrol(work)
    unsigned, signed = work / "unsigned.efi", work / "signed.efi"
    call(lab.OUT / "signet", "media", "efi", "--out", unsigned, "--console", "tty0", "--console", "ttyS0", "--append", "signet.on-success=poweroff")
    call("sbsign", "--key", key, "--cert", certificate, "--output", signed, unsigned)
    tree = lab.server_tree(work / "tree", "small")
    (tree / "boot").mkdir()
    disk = lab.blank_disk(work / "disk.qcow2", "8G")
    with net.Network(work, tree, dhcp=net.pxe_options() + ["--dhcp-ignore=tag:efi", "--dhcp-host=52:54:00:77:00:01,node01"]) as network:
        with start(network, work, disk, "unsigned", unsigned) as guest:
            if guest.expect([rb"Access Denied|Security Violation", rb"Linux version"], 120, "the firmware's refusal") == 1:
                raise lab.LabError("the firmware started an unsigned signet.efi")
        print("ok: unsigned, signet.efi is refused", flush=True)
        with start(network, work, disk, "signed", signed) as guest:
            guest.expect(rb"[Ss]ecure boot enabled", 120, "the kernel to say that Secure Boot is on")
            await_install(guest)
        print("ok: signed by our key, it starts and installs", flush=True)
    # The image has a GRUB that nobody has signed, so its first start is by a firmware that does not ask.
    (work / "nvram.fd").unlink()
    with lab.Guest(lab.qemu_command(disks=[disk], network=None, extra=net.uefi(work)), log("secure-disk")) as guest:
        guest.expect(rb"node01 login: ", 240, "the installed system's login prompt")
    print("ok: what was installed starts by UEFI")


if __name__ == "__main__":
    run("secure", secure)
