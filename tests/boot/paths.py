#!/usr/bin/python3
"""An install through every way in: the machine's firmware, a server or a medium bring Signet up, it installs, and the disk starts by itself."""

import argparse
import dataclasses
import re
import subprocess
import time

from boottest import await_install, check, check_run, lab, log, net, run

CONSOLE = "console=tty0 console=ttyS0"


def media(kind, out, *options):
    """What `signet media` makes, with the serial console last so that init's messages reach it."""
    subprocess.run([lab.OUT / "signet", "media", kind, "--out", out, "--console", "tty0", "--console", "ttyS0", *options], check=True, stdout=subprocess.DEVNULL)
    return out


@dataclasses.dataclass
class Path:
    """One way in."""

    uefi: bool = False  # firmware of the machine
    dhcp: list[str] = dataclasses.field(default_factory=list)  # dnsmasq's options
    rom: str | None = None  # of the network card
    loader: bytes = b""  # what the kernel's command line shows of the boot loader (a regular expression)
    boot_network: bool = True  # the firmware starts from it
    medium: str | None = None  # cd or usb
    kernel: bool = False  # QEMU is handed kernel and initrd
    pull_out: bool = False  # the stick is pulled out after the install
    image: str = "small"

    @property
    def ends(self):
        """The machine ends where it would restart, and is started again from its disk alone."""
        return self.kernel or self.pull_out


def only(boot_file):
    """dnsmasq's options that send everything to one boot file."""
    return [f"--dhcp-boot={boot_file}"]


PATHS = {
    "ipxe-rom": Path(dhcp=only("boot.ipxe"), loader=rb"Command line: initrd=initrd.img "),
    # QEMU's cards have iPXE in their ROMs, which says so to the DHCP server: a BIOS gets pxelinux without being asked, UEFI uses its own PXE.
    "pxelinux": Path(dhcp=only("lpxelinux.0"), loader=rb"Command line: [^\r\n]*BOOT_IMAGE=vmlinuz"),
    "uefi-grub": Path(uefi=True, dhcp=net.pxe_options(), rom="", loader=rb"Command line: BOOT_IMAGE=\(tftp"),
    "uefi-ipxe": Path(uefi=True, dhcp=["--dhcp-match=set:ipxe,175", "--dhcp-boot=tag:!ipxe,snponly.efi", "--dhcp-boot=tag:ipxe,boot.ipxe"], rom="", loader=rb"Command line: vmlinuz initrd=initrd.img "),
    "uefi-http": Path(uefi=True, dhcp=net.pxe_options() + ["--dhcp-ignore=tag:efi"], rom="http", image="debian-13"),
    "cd-bios": Path(medium="cd", boot_network=False),
    "cd-uefi": Path(uefi=True, medium="cd", boot_network=False),
    # A BIOS starts from one hard disk only, and the stick has to be that one: it is pulled out before the restart.
    "usb-bios": Path(medium="usb", boot_network=False, pull_out=True),
    "usb-uefi": Path(uefi=True, medium="usb", boot_network=False),
    "kernel": Path(kernel=True, boot_network=False),
    # Installed once like that, and then once more by the system that was installed.
    "kexec": Path(kernel=True, boot_network=False, image="debian-13"),
}


def install(name, path, work):
    tree = lab.server_tree(work / "tree", path.image)
    tftp = media("pxe", work / "tftp")
    (tree / "boot").mkdir(exist_ok=True)
    (tree / "boot/signet.efi").symlink_to(tftp / "signet.efi")
    disk = lab.blank_disk(work / "disk.qcow2", "8G")
    # On media the server is said by local.cfg, elsewhere by DHCP option 224.
    with net.Network(work, tree, tftp, [*path.dhcp, "--dhcp-host=52:54:00:77:00:01,node01"], server=not path.medium) as network:
        tap = network.tap()
        extra = net.uefi(work) if path.uefi else []
        card = dict(boot=path.boot_network)
        if path.rom == "":
            card |= dict(rom="")
        if path.rom == "http":
            extra += ["-fw_cfg", "name=opt/org.tianocore/IPv4PXESupport,string=n", "-fw_cfg", "name=opt/org.tianocore/IPv6PXESupport,string=n"]
        extra += net.card(tap, **card)
        options = dict(disks=[disk], network=None, memory=512)
        if path.medium:
            iso = media("iso", work / "signet.iso", "--server", net.SERVER)
            if path.medium == "cd":
                extra += ["-drive", f"file={iso},if=none,id=medium,format=raw,readonly=on", "-device", "ide-cd,drive=medium,bus=ide.0,bootindex=50"]
            else:
                extra += ["-device", "qemu-xhci", "-drive", f"file={iso},if=none,id=medium,format=raw", "-device", f"usb-storage,drive=medium,bootindex={0 if path.ends else 50},removable=on"]
        if path.kernel:
            options |= dict(kernel=lab.OUT / "vmlinuz", initrd=lab.OUT / "initrd.img", append=CONSOLE)
        if path.ends:
            extra += ["-no-reboot"]
        with lab.Guest(network.wrap(lab.qemu_command(**options, extra=extra)), log(f"path-{name}")) as guest:
            guest.expect(rb"\d network +\S+ has ", 240, "a lease")
            check(re.search(path.loader, guest.log_bytes()), f"started by what {name} is about")
            print(f"power on to lease: {time.monotonic() - guest.started:.1f} s", flush=True)
            await_install(guest, then="reboot")
            print(f"power on to installed: {time.monotonic() - guest.started:.1f} s", flush=True)
            if path.ends:
                guest.wait_off(60)
            else:
                await_system(guest, "the installed system's login prompt, after the machine restarted by itself")
        if name == "kexec":
            kexec(network, disk, media("iso", work / "signet.iso"))
        elif path.ends:
            with lab.Guest(lab.qemu_command(disks=[disk], network=None), log(f"path-{name}-disk")) as guest:
                await_system(guest)


def await_system(guest, what="the installed system's login prompt"):
    guest.expect(rb"node01 login: ", 240, what)
    print(f"power on to login: {time.monotonic() - guest.started:.1f} s", flush=True)
    guest.log_in()
    check_run(guest, "hostname", "the system knows its name", equal="node01", prompt=lab.ROOT_PROMPT)


def kexec(network, disk, iso):
    """The running system starts Signet by itself, from a disk with our ISO on it: no firmware has a part in it."""
    disks = [disk, (iso, "serial=medium")]
    with lab.Guest(network.wrap(lab.qemu_command(disks=disks, network=None, extra=net.card(network.tap(), boot=False))), log("path-kexec-again")) as guest:
        await_system(guest)
        guest.send(f"mount -o ro /dev/vdb /mnt && kexec --load /mnt/boot/vmlinuz --initrd=/mnt/boot/initrd.img --command-line='{CONSOLE} signet.install=always' && umount /mnt && systemctl kexec || echo not'' started")
        if guest.expect([rb"\d network +\S+ has ", rb"not started"], 240, "Signet's lease") == 1:
            raise lab.LabError(f"kexec does not start: {guest.tail()}")
        await_install(guest, then="reboot")
        await_system(guest, "the login prompt of the system that was installed anew")


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("path", choices=PATHS)
    name = parser.parse_args().path
    run(f"path-{name}", lambda work: install(name, PATHS[name], work))
    print(f"ok: {name}: from power on to the installed system's login prompt")


if __name__ == "__main__":
    main()
