#!/usr/bin/python3
"""Every source of a host's name, server and profile, with a real dnsmasq: each is tried by itself, and the agent must say that it won."""

import re
import shutil

from boottest import SHELL, lab, log, net, run
from machine import fat_disk

MAC, UUID, LEASE = "52:54:00:77:00:01", "8f0b2a4e-55c1-4b7c-9d5e-0a1b2c3d4e5f", "10.77.0.150"
PROFILE = "schema = 1\n[image]\nsource = 'x.tar'\n[[disk]]\nwipe = 'blank'\npartition = [{ name = 'root', size = 'rest', format = 'ext4', mount = '/' }]\n"
ROW = re.compile(r"^([> ]) (host|server|profile) +(\S.*?)  +(\S.*)$", re.M)
OPTION_224 = f"--dhcp-option-force=224,{net.SERVER}"
NAMED = f"--dhcp-host={MAC},node07,{LEASE}"
UNNAMED = f"--dhcp-host={MAC},{LEASE}"


class Case:
    """What is set up, and what must win: (wanted, part of the source, part of the value)."""

    def __init__(self, name, winner, dhcp=(UNNAMED, OPTION_224), files=("default.toml",), other=(), append="", config=None):
        self.name, self.winner, self.dhcp, self.files, self.other, self.append, self.config = name, winner, dhcp, files, dict(other), append, config


def hosts(name, source=None, **kept):
    """A profile of that name beside default.toml, which must not be asked for."""
    return Case(f"hosts/{name}", ("profile", f"hosts/{name}", "found"), files=(name, "default.toml"), **kept)


DHCP_CASES = [
    Case("name: DHCP option 12", ("host", "DHCP option 12", "node07"), dhcp=(NAMED, OPTION_224)),
    Case("name: reverse DNS", ("host", "reverse DNS", "ptr07.example.org"), dhcp=(UNNAMED, OPTION_224, "--ptr-record=150.0.77.10.in-addr.arpa,ptr07.example.org")),
    Case("name: the server's hosts file, by MAC", ("host", "hosts/hosts", "filed07"), other={"hosts/hosts": f"# by hand\n{MAC.upper()} filed07\n"}),
    Case("name: the server's hosts file, by address", ("host", "hosts/hosts", "filed08"), other={"hosts/hosts": f"{LEASE}\tfiled08 alias\n"}),
    Case("server: DHCP option 224", ("server", "DHCP option 224", net.SERVER)),
    Case("server: DHCP option 140 (SystemImager), an address", ("server", "DHCP option 140", f"{net.SERVER}signet/"), dhcp=(UNNAMED, f"--dhcp-option-force=140,{net.ADDRESS}")),
    Case("server: DHCP option 140, a URL", ("server", "DHCP option 140", net.SERVER), dhcp=(UNNAMED, f"--dhcp-option-force=140,{net.SERVER}")),
    Case("server: DHCP option 210 (RFC 5071)", ("server", "DHCP option 210", net.SERVER), dhcp=(UNNAMED, f"--dhcp-option-force=210,{net.SERVER}")),
    Case("server: DHCP next-server", ("server", "DHCP next-server", f"{net.SERVER}signet/"), dhcp=(UNNAMED, f"--dhcp-boot=pxelinux.0,,{net.ADDRESS}")),
    Case("server: DHCP option 66", ("server", "DHCP option 66", f"{net.SERVER}signet/"), dhcp=(UNNAMED, f"--dhcp-option-force=66,{net.ADDRESS}")),
    Case("profile: DHCP option 209, a URL", ("profile", "DHCP option 209", "site/p.toml"), dhcp=(UNNAMED, OPTION_224, f"--dhcp-option-force=209,{net.SERVER}site/p.toml"), other={"site/p.toml": PROFILE}),
    Case("profile: the boot file on next-server (ROCKS)", ("profile", "DHCP boot file", "install/kickstart.cgi"), dhcp=(UNNAMED, f"--dhcp-boot=install/kickstart.cgi,,{net.ADDRESS}"), other={"install/kickstart.cgi": "#!/bin/sh\nexit 0\n"}),
    Case("profile: the boot file as a URL", ("profile", "DHCP boot file", "install/x.toml"), dhcp=(UNNAMED, f"--dhcp-boot={net.SERVER}install/x.toml"), other={"install/x.toml": PROFILE}),
    hosts(f"{UUID}.toml"),
    hosts("01-52-54-00-77-00-01.toml"),
    hosts("01-52-54-00-77-00-01.sh"),
    hosts("node07.example.org.toml", dhcp=(NAMED, OPTION_224, "--domain=example.org")),
    hosts("node07.toml", dhcp=(NAMED, OPTION_224)),
    hosts("node07.sh", dhcp=(NAMED, OPTION_224)),
    hosts("node.toml", dhcp=(NAMED, OPTION_224)),
    hosts("0A4D0096.toml"),
    hosts("0A4D00.toml"),
    hosts("0.sh"),
    Case("hosts/default.sh", ("profile", "hosts/default.sh", "found"), files=("default.sh",)),
    Case("hosts/default.toml", ("profile", "hosts/default.toml", "found")),
]

# These are said where the machine starts, so each has a start of its own.
BOOT_CASES = [
    Case("name: signet.host", ("host", "signet.host", "forced"), dhcp=(NAMED, OPTION_224), append="signet.host=forced"),
    Case("server: signet.server", ("server", "signet.server", f"{net.SERVER}other/"), append=f"signet.server={net.SERVER}other", other={"other/hosts/default.toml": PROFILE}),
    Case("profile: signet.profile", ("profile", "signet.profile", "elsewhere/p.toml"), append=f"signet.profile={net.SERVER}elsewhere/p.toml", other={"elsewhere/p.toml": PROFILE}),
    Case("name: ip=", ("host", "ip=", "fixed07"), dhcp=(), append=f"ip=10.77.0.9:{net.ADDRESS}::24:fixed07:eth0:off", other={"signet/hosts/default.toml": PROFILE}),
    Case("name: local.cfg on SIGNET-CFG", ("host", "local.cfg on /dev/vda", "carded"), dhcp=(NAMED, OPTION_224), config='host = "carded"\n'),
    Case("server: local.cfg on SIGNET-CFG", ("server", "local.cfg on /dev/vda", f"{net.SERVER}card/"), config=f'server = "{net.SERVER}card/"\n', other={"card/hosts/default.toml": PROFILE}),
]


def write_tree(tree, case):
    for child in tree.iterdir():
        if child.is_dir() and not child.is_symlink():
            shutil.rmtree(child)
        else:
            child.unlink()
    (tree / "hosts").mkdir()
    (tree / "signet").symlink_to(".")
    for name in case.files:
        (tree / "hosts" / name).write_text(PROFILE if name.endswith(".toml") else "#!/bin/sh\nexit 0\n")
    for name, text in case.other.items():
        if name.startswith("signet/"):
            (tree / "signet").unlink(missing_ok=True)
        (tree / name).parent.mkdir(parents=True, exist_ok=True)
        (tree / name).write_text(text)


def start(network, name, append="", disks=()):
    extra = ["-uuid", UUID] + net.card(network.tap(), mac=MAC, boot=False)
    command = lab.qemu_command(disks=disks, kernel=lab.OUT / "vmlinuz", initrd=lab.OUT / "initrd.img", append=f"console=ttyS0 signet.rescue quiet {append}", memory=192, cpus=1, network=None, extra=extra)
    return lab.Guest(network.wrap(command), log(name))


def ask(guest):
    """Brings the network up and lets the agent say who the machine is: its rows."""
    text, status = guest.run("signet-agent network --quiet; signet-agent identify --quiet", timeout=120)
    return ROW.findall(text), text, status


def judge(case, rows, text, results):
    wanted, source, value = case.winner
    won = [row for row in rows if row[0] == ">" and row[1] == wanted]
    fine = len(won) == 1 and won[0][2].startswith(source) and value in won[0][3]
    tried = [row[2] for row in rows if row[1] == wanted]
    winner = f"{won[0][2]} = {won[0][3]}" if won else "none"
    results.append((fine, case.name, wanted, len(tried), winner, "" if fine else text))
    print(f"{'ok ' if fine else 'BAD'} {case.name:<52} {len(tried):>2} asked for the {wanted:<8} won: {winner}", flush=True)


def identity(work):
    results = []
    tree = work / "tree"
    tree.mkdir()
    with net.Network(work, tree, dhcp=None) as network:
        def serve(case):
            write_tree(tree, case)
            net.end(network.dnsmasq)
            (work / "leases").unlink(missing_ok=True)
            if case.dhcp:
                network.start_dnsmasq(None, list(case.dhcp), server=False)

        with start(network, "identity") as guest:
            guest.expect(SHELL, 60, "the rescue shell")
            for case in DHCP_CASES:
                serve(case)
                judge(case, *ask(guest)[:2], results)
        for number, case in enumerate(BOOT_CASES):
            serve(case)
            disks = [fat_disk(work / f"config{number}.img", case.config)] if case.config else []
            with start(network, f"identity-{number}", case.append, disks) as guest:
                guest.expect(SHELL, 60, "the rescue shell")
                judge(case, *ask(guest)[:2], results)
        asked = network.nginx.requests()
    if f'"eth0 {MAC}" "x86_64"' not in asked:
        raise lab.LabError("no request told the node's MAC and architecture")
    print("ok  requests carry the node's MAC and architecture")
    bad = [result for result in results if not result[0]]
    for _, name, *_, text in bad:
        print(f"\n{name}:\n{text}")
    if bad:
        raise lab.LabError(f"{len(bad)} of {len(results)} cases: somebody else won")


if __name__ == "__main__":
    run("identity", identity)
