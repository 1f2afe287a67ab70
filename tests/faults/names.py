#!/usr/bin/python3
"""Twenty hostile names by DHCP, DNS and hosts/hosts, through a real dnsmasq and udhcpc: a node takes none of them, says so, and nothing else gets in with them."""

import pathlib
import re
import sys

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent.parent / "boot"))
from boottest import SHELL, lab, log, net, run  # noqa: E402

MAC, LEASE = "52:54:00:77:00:01", "10.77.0.150"
PROFILE = "schema = 1\n[image]\nsource = 'x.tar'\n[[disk]]\nwipe = 'blank'\npartition = [{ name = 'root', size = 'rest', format = 'ext4', mount = '/' }]\n"
CLEAN = re.compile(r"[a-z0-9.-]*")
LONG = "a" * 64

OPTION_12 = ["node\n203.0.113.66 www.example.org", "$(reboot)", "../../etc/passwd", "node01'; reboot; '", "\x1b[2Jnode", "-node", "node..x", LONG, "no de", "10.0.0.1"]
OPTION_15 = ["example.org\nnameserver 203.0.113.66", "$(reboot).org", "-.org", "\x1b]0;x\x07"]
REVERSE = ["node_01.example.org", "$(reboot).example.org", "-node.example.org"]
HOSTS = ["$(reboot)", "../../etc/passwd", "\x1b[2Jnode"]


def hexadecimal(text):
    """As dnsmasq takes any bytes."""
    return ":".join(f"{byte:02x}" for byte in text.encode())


def cases():
    for name in OPTION_12:
        yield f"option 12 {name!r}", [f"--dhcp-option-force=12,{hexadecimal(name)}"], None
    for name in OPTION_15:
        yield f"option 15 {name!r}", [f"--dhcp-option-force=15,{hexadecimal(name)}"], None
    for name in REVERSE:
        yield f"reverse DNS {name!r}", [f"--ptr-record=150.0.77.10.in-addr.arpa,{name}"], None
    for name in HOSTS:
        yield f"hosts/hosts {name!r}", [], f"{MAC} {name}\n"


def variable(text, name):
    found = re.search(rf"^{name}=(.*)$", text, re.M)
    return found.group(1).strip().strip("'") if found else None


def names(work):
    tree = work / "tree"
    (tree / "hosts").mkdir(parents=True)
    (tree / "hosts/default.toml").write_text(PROFILE)
    bad, skipped, number = [], 0, 0
    with net.Network(work, tree, dhcp=None) as network:
        command = lab.qemu_command(disks=(), kernel=lab.OUT / "vmlinuz", initrd=lab.OUT / "initrd.img", append="console=ttyS0 signet.rescue quiet", memory=192, cpus=1, network=None, extra=net.card(network.tap(), mac=MAC, boot=False))
        with lab.Guest(network.wrap(command), log("names")) as guest:
            guest.expect(SHELL, 60, "the rescue shell")
            for number, (name, options, hosts) in enumerate(cases(), 1):
                net.end(network.dnsmasq)
                (work / "leases").unlink(missing_ok=True)
                file = tree / "hosts/hosts"
                file.unlink(missing_ok=True)
                if hosts:
                    file.write_text(hosts)
                network.start_dnsmasq(None, [f"--dhcp-host={MAC},{LEASE}", f"--dhcp-option-force=224,{net.SERVER}", *options], server=False)
                said = guest.run("signet-agent network --quiet; signet-agent identify --quiet", timeout=120)[0]
                kept = guest.run("cat /run/signet/identity")[0]
                host, domain = variable(kept, "SIGNET_HOST"), variable(kept, "SIGNET_DOMAIN")
                told = "skipped: " in said
                fine = host == "" and domain is not None and CLEAN.fullmatch(domain) and told and "\x1b[2J" not in said and "\x1b]0;" not in said
                skipped += told
                print(f"{'ok ' if fine else 'BAD'} {name}", flush=True)
                if not fine:
                    bad.append(name)
                    print(f"{said}\n{kept}", flush=True)
    if bad:
        raise lab.LabError(f"{len(bad)} of {number} hostile names: {', '.join(bad)}")
    print(f"figures: hostile names through dnsmasq {number}, taken 0, reported {skipped}")


if __name__ == "__main__":
    run("names", names)
