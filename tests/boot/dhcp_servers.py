#!/usr/bin/python3
"""The DHCP servers of docs/pxe.md, with the settings that stand there: each firmware is led to Signet, and Signet to its server."""

import argparse
import contextlib
import re
import shutil
import subprocess
import time

from boottest import TOP, lab, log, net, run

HTTP_ONLY = ["-fw_cfg", "name=opt/org.tianocore/IPv4PXESupport,string=n", "-fw_cfg", "name=opt/org.tianocore/IPv6PXESupport,string=n"]
PROMISE = rb"stopped before partition"


def settings(language, replace=()):
    """A block of the page, for this lab's addresses, card and directory."""
    page = (TOP / "docs/pxe.md").read_text()
    text = re.search(rf"^```{language}\n(.*?)^```", page, re.M | re.S).group(1)
    for old, new in [("192.0.2.", "10.77.0."), ("eth0", "br0"), *replace]:
        text = text.replace(old, new)
    return text


@contextlib.contextmanager
def in_debian(network, work, files, command):
    """A program of the tree that qemu/dhcp-servers made, on the lab's bridge; the tree stays as it is, what is written goes to `work`."""
    tree = subprocess.run([TOP / "qemu/dhcp-servers"], stdout=subprocess.PIPE, check=True, text=True).stdout.strip()
    root = work / "root"
    for name in ("upper", "overlay", "root"):
        (work / name).mkdir()
    subprocess.run(["mount", "-t", "overlay", "-o", f"lowerdir={tree},upperdir={work}/upper,workdir={work}/overlay", "overlay", root], check=True)
    process = None
    try:
        for name, text in files.items():
            (root / name).parent.mkdir(parents=True, exist_ok=True)
            (root / name).write_text(text)
        with open(work / "server.log", "wb") as output:
            process = subprocess.Popen(network.wrap(["chroot", root, *command]), stdin=subprocess.DEVNULL, stdout=output, stderr=output)
        time.sleep(2)
        if process.poll() is not None:
            raise lab.LabError(f"{command[0]} ends with {process.returncode}: {(work / 'server.log').read_text()[-2000:]}")
        yield
    finally:
        net.end(process)
        subprocess.run(["umount", root], check=True)


@contextlib.contextmanager
def dnsmasq(network, work, conf, name="dnsmasq"):
    program = shutil.which("dnsmasq", path="/usr/sbin:/usr/bin")
    (work / f"{name}.conf").write_text(conf)
    command = [program, "--keep-in-foreground", f"--conf-file={work}/{name}.conf", "--bind-interfaces", "--except-interface=lo", "--no-resolv", "--user=root", "--log-dhcp"]
    command += [f"--log-facility={work}/{name}.log", f"--dhcp-leasefile={work}/{name}.leases", f"--pid-file={work}/{name}.pid"]
    process = subprocess.Popen(network.wrap(command), stdin=subprocess.DEVNULL)
    try:
        time.sleep(0.5)
        if process.poll() is not None:
            raise lab.LabError(f"dnsmasq does not take the settings of docs/pxe.md: {(work / f'{name}.log').read_text()}")
        yield
    finally:
        net.end(process)


@contextlib.contextmanager
def tftp(network, work, directory):
    """Sites with another DHCP server have a TFTP server, too."""
    with dnsmasq(network, work, f"port=0\ninterface=br0\nenable-tftp\ntftp-root={directory}\n", "tftp"):
        yield


@contextlib.contextmanager
def site_dnsmasq(network, work, directory):
    with dnsmasq(network, work, settings("dnsmasq", [("/srv/signet/boot", str(directory))])):
        yield


@contextlib.contextmanager
def site_dhcpd(network, work, directory):
    files = {"etc/dhcp/dhcpd.conf": settings("dhcpd"), "var/lib/dhcp/dhcpd.leases": ""}
    with tftp(network, work, directory), in_debian(network, work, files, ["dhcpd", "-4", "-f", "-cf", "/etc/dhcp/dhcpd.conf", "br0"]):
        yield


@contextlib.contextmanager
def site_kea(network, work, directory):
    files = {"etc/kea/kea-dhcp4.conf": settings("kea"), "run/kea/.made": "", "var/lib/kea/.made": ""}
    with tftp(network, work, directory), in_debian(network, work, files, ["kea-dhcp4", "-c", "/etc/kea/kea-dhcp4.conf"]):
        yield


@contextlib.contextmanager
def site_proxy(network, work, directory):
    """The DHCP server of the house stands elsewhere on the network and knows nothing of booting."""
    (work / "house").mkdir()
    with net.Network(work / "house", dhcp=None, ipv4=False) as house:
        network.ip("link", "add", "house", "type", "veth", "peer", "name", "uplink", "netns", house.name)
        network.ip("link", "set", "house", "master", "br0", "up")
        house.ip("link", "set", "uplink", "master", "br0", "up")
        house.ip("addr", "add", "10.77.0.2/24", "dev", "br0")
        with dnsmasq(house, work / "house", "port=0\ninterface=br0\ndhcp-range=10.77.0.100,10.77.0.199,1h\n"):
            with dnsmasq(network, work, settings("proxy", [("/srv/signet/boot", str(directory))])):
                yield


SITES = {"dnsmasq": site_dnsmasq, "dhcpd": site_dhcpd, "kea": site_kea, "proxy": site_proxy}
FIRMWARE = {"dnsmasq": ["bios", "uefi"], "dhcpd": ["bios", "uefi", "http"], "kea": ["bios", "uefi", "http"], "proxy": ["uefi", "bios"]}


def boot(network, work, site, firmware):
    work = work / firmware
    work.mkdir()
    disk = lab.blank_disk(work / "disk.qcow2", "8G")
    extra = net.uefi(work) if firmware != "bios" else []
    extra += HTTP_ONLY if firmware == "http" else []
    # QEMU's ROMs are iPXE; the one for e1000, as any card's own, does not say so, and without a ROM UEFI does PXE itself.
    card = dict(model="e1000", rom="/usr/lib/ipxe/qemu/pxe-e1000.rom") if firmware == "bios" else dict(rom="")
    command = lab.qemu_command(disks=[disk], memory=512, network=None, extra=extra + net.card(network.tap(), **card))
    with lab.Guest(network.wrap(command), log(f"dhcp-{site}-{firmware}")) as guest:
        if guest.expect([PROMISE, rb"FAILED: [^\r\n]*"], 180, f"Signet's plan ({site}, {firmware})") == 1:
            raise lab.LabError(f"{site}, {firmware}: {guest.match.group(0).decode(errors='replace')}")
        print(f"ok: {site}, {firmware}: from power on to the plan in {time.monotonic() - guest.started:.1f} s", flush=True)


def serve(work, site):
    tree = lab.server_tree(work / "tree", "small")
    (tree / "signet").symlink_to(".")
    directory = tree / "boot"
    # The page's own command; the rest is for the test to see the console and to stop there.
    command = [lab.OUT / "signet", "media", "pxe", "--out", directory, "--console", "tty0", "--console", "ttyS0", "--append", "signet.break=partition"]
    if site == "proxy":
        command += ["--server", f"{net.SERVER}signet/"]
    subprocess.run(command, check=True, stdout=subprocess.DEVNULL)
    with net.Network(work, tree, dhcp=None) as network, SITES[site](network, work, directory):
        for firmware in FIRMWARE[site]:
            boot(network, work, site, firmware)


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("site", choices=SITES)
    site = parser.parse_args().site
    run(f"dhcp-{site}", lambda work: serve(work, site))


if __name__ == "__main__":
    main()
