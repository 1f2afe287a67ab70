#!/usr/bin/python3
"""Networks as they are: late links, several cards, VLANs, bonds, IPv6 alone, servers that are late, double or strange. Each case must bring a lease and a server."""

import argparse
import re
import subprocess
import sys
import time

from boottest import SHELL, TOP, check, check_equal, check_match, check_run, lab, log, net, run

LEASE = rb"network +(\S+) has (\S+)[^\r\n]*[\r\n]"


def start(network, name, cards, append="", extra=()):
    command = lab.qemu_command(kernel=lab.OUT / "vmlinuz", initrd=lab.OUT / "initrd.img", append=f"console=ttyS0 {append}", memory=192, cpus=1, network=None, extra=[*cards, *extra])
    return lab.Guest(network.wrap(command), log(f"network-{name}"))


def lease_of(guest, timeout=150):
    if guest.expect([LEASE, rb"FAILED: [^\r\n]*"], timeout, "a lease") == 1:
        raise lab.LabError(guest.match.group(0).decode(errors="replace"))
    took = time.monotonic() - guest.started
    interface, address = (part.decode() for part in guest.match.groups())
    print(f"power on to lease: {took:.1f} s ({interface} has {address})", flush=True)
    return interface, address, took


def profile_of(guest):
    """That the server was reached: an empty tree has no profile, and the agent says so."""
    guest.expect(rb"no profile for this host on \S+:", 60, "the lookup on the server")


def network(work, served=True, **options):
    tree = work / "empty"
    tree.mkdir(exist_ok=True)
    return net.Network(work, tree if served else None, **options)


def late_link(work):
    with network(work) as each:
        each.bridge("slow", stp_delay=20)
        # The slow bridge's port listens and learns for 20 s each before it forwards; the server stands behind it.
        each.ip("link", "add", "up0", "type", "veth", "peer", "name", "up1")
        each.ip("link", "set", "up0", "master", "br0", "up")
        each.ip("link", "set", "up1", "master", "slow", "up")
        time.sleep(41)  # the uplink forwards already, as in any building
        with start(each, "late-link", net.card(each.tap("slow"), boot=False)) as guest:
            _, _, took = lease_of(guest)
            check_match(rb"asking for 3", guest.log_bytes(), "the console has said what it waits for, and since when")
            check(took > 38, f"the port did not forward for 40 s, and the lease came {took - 40:.1f} s later, without a restart", took)
            profile_of(guest)


def three_cards(work):
    with network(work) as each:
        for dead in ("dead0", "dead1"):
            each.bridge(dead)
        cards = net.card(each.tap("dead0"), 0, boot=False) + net.card(each.tap("dead1"), 1, boot=False) + net.card(each.tap(), 2, boot=False)
        with start(each, "three-cards", cards) as guest:
            interface, _, _ = lease_of(guest)
            seen = time.time()
            leased = next(line for line in each.dhcp_log().splitlines() if "DHCPACK" in line and "52:54:00:77:00:03" in line)
            when = time.mktime(time.strptime(f"{time.localtime().tm_year} {leased[:15]}", "%Y %b %d %H:%M:%S"))
            check_equal(interface, "eth2", "the card with a server won")
            print(f"lease to use: at most {seen - when:.0f} s (by dnsmasq's log, which counts whole seconds)", flush=True)
            profile_of(guest)


def bootif(work):
    with network(work) as each:
        cards = net.card(each.tap(), 0, boot=False) + net.card(each.tap(), 1, boot=False)
        with start(each, "bootif", cards, "BOOTIF=01-52-54-00-77-00-02") as guest:
            check_equal(lease_of(guest)[0], "eth1", "the card that the machine booted from goes first")
        with start(each, "iface", cards, "signet.iface=eth1") as guest:
            check_equal(lease_of(guest)[0], "eth1", "signet.iface names the only card that is asked")


def fixed(work):
    with network(work, dhcp=None) as each:
        append = f"ip=10.77.0.9::{net.ADDRESS}:255.255.255.0:fixed:eth0:off signet.server={net.SERVER}"
        with start(each, "fixed", net.card(each.tap(), boot=False), append) as guest:
            check_match("^10.77.0.9/24", lease_of(guest)[1], "ip= gives a fixed address")
            profile_of(guest)
        with start(each, "fixed-wrong", net.card(each.tap(), boot=False), "ip=10.77.0.999::::x:eth0:off") as guest:
            guest.expect(rb"FAILED: ip=: ip=10.77.0.999[^\r\n]*CLIENT `10.77.0.999` is not an address", 60, "the mistake in ip=")
        print("ok: a mistake in ip= is told")


def vlan(work):
    # Two machines, so that one kernel of ours tags for another; the bridge between them passes tags on.
    with network(work, served=False, dhcp=None) as each:
        machines = []
        for number, options in enumerate(("vlan=eth0.5:eth0 ip=10.77.5.1:::24::eth0.5:off", "vlan=eth0.5:eth0 ip=10.77.5.2:::24::eth0.5:off", "ip=10.77.5.3:::24::eth0:off")):
            machines.append(start(each, f"vlan-{number}", net.card(each.tap(), mac=f"52:54:00:77:00:0{number + 1}", boot=False), f"signet.rescue quiet {options}"))
        try:
            for machine in machines:
                machine.expect(SHELL, 60, "the rescue shell")
                check_run(machine, "signet-agent network --quiet", "the address is set")
            check_run(machines[1], "ping -c 2 -W 5 10.77.5.1", "two machines reach each other in VLAN 5")
            check_run(machines[2], "ping -c 1 -W 2 10.77.5.1", "a machine outside the VLAN does not", fails=True)
        finally:
            for machine in machines:
                machine.close()


def bond(work):
    with network(work) as each:
        for mode in ("active-backup", "802.3ad"):
            # 802.3ad takes only ports that say how fast they are, which virtio's do not.
            model = "e1000" if mode == "802.3ad" else "virtio-net-pci"
            cards = net.card(each.tap(), 0, model, boot=False) + net.card(each.tap(), 1, model, boot=False)
            with start(each, f"bond-{mode}", cards, f"bond=bond0:eth0,eth1:mode={mode},miimon=100") as guest:
                check_equal(lease_of(guest)[0], "bond0", f"the lease came through a bond in mode {mode}")
                profile_of(guest)


def bond_partner(work):
    # Bridges keep LACP's frames to themselves (IEEE 802.1D reserved addresses), so two machines are wired to each other directly.
    with network(work, served=False, dhcp=None) as each:
        machines = []
        for mine, other in ((1, 2), (2, 1)):
            cards = []
            for wire in range(2):
                cards += ["-netdev", f"socket,id=net{wire},udp=127.0.0.1:5{other}0{wire},localaddr=127.0.0.1:5{mine}0{wire}"]
                cards += ["-device", f"e1000,netdev=net{wire},mac=52:54:00:77:0{mine}:0{wire},romfile="]
            append = f"signet.rescue quiet bond=bond0:eth0,eth1:mode=802.3ad,miimon=100,lacp_rate=fast ip=10.77.6.{mine}:::24::bond0:off"
            machines.append(start(each, f"bond-partner-{mine}", cards, append))
        try:
            for machine in machines:
                machine.expect(SHELL, 60, "the rescue shell")
                check_run(machine, "signet-agent network --quiet", "the bond has its address")
            first, second = machines
            state = "/proc/net/bonding/bond0"
            first.run(f"for i in $(seq 60); do grep -q 'ports: 2' {state} && break; sleep 1; done", timeout=90)
            agreed = f"cat {state}; grep -q 'ports: 2' {state} && grep -qi 'Mac Address: 52:54:00:77:02' {state}"
            check_run(first, agreed, "two bonds agree by LACP on one link of both wires")
            check_run(first, "ping -c 2 -W 5 10.77.6.2", "and carry frames")
            second.run("ip link set eth0 down")
            check_run(first, "sleep 5; ping -c 2 -W 5 10.77.6.2", "with one wire cut, too", timeout=90)
        finally:
            for machine in machines:
                machine.close()


def ipv6_only(work):
    ways = {"slaac": "--dhcp-range=fd77::,ra-stateless", "dhcpv6": "--dhcp-range=fd77::100,fd77::1ff,64,1h"}
    with network(work, served=False, dhcp=None, ipv4=False) as each:
        each.ip("addr", "add", "fd77::1/64", "dev", "br0", "nodad")
        each.nginx = each.start_nginx(work / "empty", address="[fd77::1]")
        for name, option in ways.items():
            net.end(each.dnsmasq)
            each.start_dnsmasq(None, ["--enable-ra", option, "--no-ping"], server=False)
            with start(each, f"ipv6-{name}", net.card(each.tap(), boot=False), "signet.server=http://[fd77::1]/") as guest:
                check_match("^fd77:", lease_of(guest)[1], f"IPv6 alone, by {name}")
                profile_of(guest)


def late_server(work):
    with network(work, dhcp=None) as each:
        with start(each, "late-server", net.card(each.tap(), boot=False)) as guest:
            guest.expect(rb"asking for 1\d s", 60, "the agent to wait")
            each.start_dnsmasq(None, [])
            lease_of(guest)
            profile_of(guest)
        print("ok: a DHCP server that comes late is heard")


def two_servers(work):
    with network(work) as each:
        each.bridge("br1")
        each.ip("link", "add", "up0", "type", "veth", "peer", "name", "up1")
        each.ip("link", "set", "up0", "master", "br0", "up")
        each.ip("link", "set", "up1", "up")
        each.ip("addr", "add", "10.77.0.2/24", "dev", "up1")
        first = each.dnsmasq
        each.start_dnsmasq(None, ["--dhcp-range=10.77.0.210,10.77.0.219,1h"], interface="up1")
        try:
            with start(each, "two-servers", net.card(each.tap(), boot=False)) as guest:
                lease_of(guest)
                profile_of(guest)
        finally:
            net.end(first)
        print("ok: two DHCP servers on one network")


def stranger(work):
    """A machine of the network announces itself as its IPv6 router and name server, a hundred times a minute."""
    with network(work) as each:
        each.ip("link", "add", "up0", "type", "veth", "peer", "name", "up1")
        each.ip("link", "set", "up0", "master", "br0", "up")
        each.ip("link", "set", "up1", "up")
        each.ip("addr", "add", "fd66::1/64", "dev", "up1", "nodad")
        first = each.dnsmasq
        each.start_dnsmasq(None, ["--enable-ra", "--ra-param=up1,high,1,1800", "--dhcp-range=fd66::,ra-stateless", "--dhcp-option=option6:dns-server,[fd66::66]"], server=False, interface="up1")
        try:
            with start(each, "stranger", net.card(each.tap(), boot=False), "signet.on-failure=shell") as guest:
                check_match(r"^10\.77\.0\.", lease_of(guest)[1], "with a stranger's router advertisements about, the lease is the DHCP server's")
                profile_of(guest)
                guest.expect(SHELL, 60, "the shell")
                servers = guest.run("cat /etc/resolv.conf")[0]
                check(f"nameserver {net.ADDRESS}" in servers and "fd66" not in servers, "and so are the name servers", servers)
        finally:
            net.end(first)


def nonsense(work):
    strange = ["--dhcp-option-force=26,9", "--dhcp-option-force=12,$(reboot)", "--dhcp-option-force=3,192.0.2.77", "--dhcp-option-force=15,..", "--dhcp-option-force=6,0.0.0.0"]
    with network(work, dhcp=strange) as each:
        with start(each, "nonsense", net.card(each.tap(), boot=False)) as guest:
            lease_of(guest)
            profile_of(guest)
        print("ok: nonsense in a lease (MTU 9, a command as a name, a router elsewhere) costs nothing")


def jumbo(work):
    with network(work, dhcp=["--dhcp-option-force=26,9000"]) as each:
        tap = each.tap()
        for device in ("br0", tap):
            each.ip("link", "set", device, "mtu", "9000")
        with start(each, "jumbo", net.card(tap, boot=False)[:2] + ["-device", "virtio-net-pci,netdev=net0,mac=52:54:00:77:00:01,host_mtu=9000,romfile="], "signet.on-failure=shell") as guest:
            lease_of(guest)
            profile_of(guest)
            guest.expect(SHELL, 60, "the shell")
            check_run(guest, f"cat /sys/class/net/eth0/mtu; ping -c 1 -s 8900 {net.ADDRESS}", "option 26 sets jumbo frames, and they pass", has="9000\n")


def clock(work):
    busybox = subprocess.run([TOP / "initrd/busybox"], stdout=subprocess.PIPE, check=True, text=True).stdout.strip()
    with network(work, dhcp=[f"--dhcp-option-force=42,{net.ADDRESS}"]) as each:
        server = subprocess.Popen(each.wrap([busybox, "ntpd", "-n", "-l", "-I", "br0"]), stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        try:
            with start(each, "clock", net.card(each.tap(), boot=False), extra=["-rtc", "base=1999-12-31"]) as guest:
                guest.expect(rb"the clock says 1999-12-31, which is before", 60, "the remark on the clock")
                guest.expect(rb"the clock is set to (20\d\d)-[^\r\n]* by 10.77.0.1, over NTP \(not authenticated\); it moved by \d{4,} days", 60, "the right time")
                check_equal(int(guest.match.group(1)), time.gmtime().tm_year, "an absurd clock is set from the NTP server of the lease")
        finally:
            net.end(server)


LIAR = """
import socket, struct, sys, time
year = int(sys.argv[1])
listener = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
listener.bind(("", 123))
while True:
    asked, whom = listener.recvfrom(1024)
    # RFC 5905 section 7.3: a server of stratum 1 that is sure of itself; its seconds count from 1900 and wrap.
    now = struct.pack(">II", ((year - 1900) * 31556952) & 0xffffffff, 0)
    listener.sendto(struct.pack(">BBbb", 0x24, 1, 6, -20) + bytes(8) + b"GPS\\0" + now + asked[40:48] + now + now, whom)
"""


def lying_clock(work):
    """NTP servers of a lease that say what cannot be."""
    floor = re.search(r"SIGNET_DATE (\d{4})", (TOP / "CMakeLists.txt").read_text()).group(1)
    for year in (2090, 1990):
        (work / str(year)).mkdir()
        with network(work / str(year), dhcp=[f"--dhcp-option-force=42,{net.ADDRESS}"]) as each:
            server = subprocess.Popen(each.wrap([sys.executable, "-c", LIAR, year]), stdin=subprocess.DEVNULL)
            try:
                with start(each, f"lying-clock-{year}", net.card(each.tap(), boot=False), "signet.on-failure=shell", extra=["-rtc", "base=1999-12-31"]) as guest:
                    lease_of(guest)
                    profile_of(guest)
                    guest.expect(SHELL, 60, "the shell")
                    check_equal(guest.run("date +%Y")[0].strip(), floor, f"an NTP server that says {year} is not believed: the clock stays at its floor")
            finally:
                net.end(server)


CASES = {case.__name__.replace("_", "-"): case for case in (late_link, three_cards, bootif, fixed, vlan, bond, bond_partner, ipv6_only, late_server, two_servers, stranger, nonsense, jumbo, clock, lying_clock)}


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("case", nargs="*", metavar="CASE", help=" ".join(CASES))
    wanted = parser.parse_args().case or list(CASES)

    def body(work):
        failed = []
        for name in wanted:
            (work / name).mkdir()
            try:
                CASES[name](work / name)
            except lab.LabError as error:
                print(f"FAILED: {name}: {error}", flush=True)
                failed.append(name)
        if failed:
            raise lab.LabError(f"{len(failed)} of {len(wanted)} cases failed: {' '.join(failed)}")

    run("network", body)


if __name__ == "__main__":
    main()
