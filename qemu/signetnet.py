"""A network of machines in a network namespace of its own: a bridge, dnsmasq (DHCP, TFTP, DNS), nginx, taps. Needs root; the host's network is not touched."""

import itertools
import os
import pathlib
import shutil
import signal
import socket
import subprocess
import time

import signetlab as lab

ADDRESS = "10.77.0.1"  # the server's, on the bridge
SERVER = f"http://{ADDRESS}/"
OVMF = ["/usr/share/OVMF/OVMF_CODE_4M.fd", "/usr/share/OVMF/OVMF_VARS_4M.fd"]
SECURE_OVMF = "/usr/share/OVMF/OVMF_CODE_4M.secboot.fd"

_numbers = itertools.count()


def run(*command, check=True):
    done = subprocess.run([str(word) for word in command], stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
    if check and done.returncode != 0:
        raise lab.LabError(f"{' '.join(str(word) for word in command)}: {done.stdout.strip()}")
    return done.stdout


def need_root():
    """Tests are left out for others (ctest's SKIP_RETURN_CODE)."""
    if os.getuid() != 0:
        print("a lab needs root for its network namespace")
        raise SystemExit(77)


def end(process):
    if process and process.poll() is None:
        process.terminate()
        try:
            process.wait(5)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()


class Network:
    """Namespace, bridge br0 with 10.77.0.1/24, and on it dnsmasq and nginx; all gone with the `with` block.

    `dhcp` are further dnsmasq options; with None no dnsmasq runs at all. `tree` is what nginx serves, `tftp` what dnsmasq does."""

    def __init__(self, work, tree=None, tftp=None, dhcp=(), name=None, server=True, ipv4=True):
        if os.getuid() != 0:
            raise lab.LabError("a lab needs root for its network namespace")
        self.work = pathlib.Path(work)
        self.name = name or f"signet-{os.getpid()}-{next(_numbers)}"
        self.dnsmasq = self.nginx = None
        self.taps = itertools.count()
        run("ip", "netns", "add", self.name)
        try:
            self.ip("link", "set", "lo", "up")
            self.bridge("br0", f"{ADDRESS}/24" if ipv4 else None)
            if dhcp is not None:
                self.start_dnsmasq(tftp, dhcp, server)
            if tree:
                self.nginx = self.start_nginx(tree)
        except BaseException:
            self.close()
            raise

    def ip(self, *words):
        return run("ip", "-n", self.name, *words)

    def wrap(self, command):
        """The command, run inside the namespace. `ip netns exec` becomes the command, so its pid is that of the command."""
        return ["ip", "netns", "exec", self.name] + [str(word) for word in command]

    def bridge(self, name, address=None, stp_delay=None):
        """Another bridge. With `stp_delay` (seconds) its ports listen and learn that long each before they forward (IEEE 802.1D)."""
        options = ["stp_state", "1", "forward_delay", str(stp_delay * 100)] if stp_delay else []
        self.ip("link", "add", name, "type", "bridge", *options)
        if address:
            self.ip("addr", "add", address, "dev", name)
        self.ip("link", "set", name, "up")

    def tap(self, bridge="br0"):
        """A port of the bridge for a machine; its name."""
        name = f"tap{next(self.taps)}"
        self.ip("tuntap", "add", name, "mode", "tap")
        if bridge:
            self.ip("link", "set", name, "master", bridge)
        self.ip("link", "set", name, "up")
        return name

    def start_dnsmasq(self, tftp, options, server=True, interface="br0"):
        program = shutil.which("dnsmasq", path=os.environ.get("PATH", "") + ":/usr/sbin:/sbin")
        if not program:
            raise lab.LabError("dnsmasq is not installed; run toolchain/bootstrap")
        log = self.work / "dnsmasq.log"
        command = [program, "--keep-in-foreground", "--conf-file=/dev/null", f"--interface={interface}", "--except-interface=lo", "--bind-interfaces", "--no-resolv", "--no-hosts"]
        command += ["--dhcp-authoritative", "--no-ping", "--log-dhcp", f"--log-facility={log}", f"--dhcp-leasefile={self.work}/leases", "--user=root", f"--pid-file={self.work}/dnsmasq.pid"]
        if not any(option.startswith("--dhcp-range") for option in options):
            command.append("--dhcp-range=10.77.0.100,10.77.0.199,1h")
        if server:
            command.append(f"--dhcp-option-force=224,{SERVER}")
        if tftp:
            command += ["--enable-tftp", f"--tftp-root={pathlib.Path(tftp).resolve()}"]
        self.dnsmasq = subprocess.Popen(self.wrap(command + list(options)), stdin=subprocess.DEVNULL)
        time.sleep(0.3)
        if self.dnsmasq.poll() is not None:
            raise lab.LabError(f"dnsmasq does not start: {log.read_text() if log.exists() else ''}")

    def start_nginx(self, tree, address=ADDRESS, port=80):
        return lab.Server(tree, port=port, address=address, wrap=self.wrap)

    def dhcp_log(self):
        log = self.work / "dnsmasq.log"
        return log.read_text() if log.exists() else ""

    def close(self):
        if self.nginx:
            self.nginx.close()
        end(self.dnsmasq)
        # Whatever still runs in there, by its pid.
        for pid in run("ip", "netns", "pids", self.name, check=False).split():
            try:
                os.kill(int(pid), signal.SIGKILL)
            except (ValueError, ProcessLookupError):
                pass
        run("ip", "netns", "del", self.name, check=False)

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.close()


def pxe_options():
    """dnsmasq's options for every kind of firmware: BIOS gets pxelinux, UEFI gets GRUB by TFTP, UEFI's HTTP boot gets signet.efi, iPXE its script."""
    return [
        "--dhcp-match=set:ipxe,175",
        "--dhcp-match=set:efi,option:client-arch,7",
        "--dhcp-match=set:efi,option:client-arch,9",
        "--dhcp-match=set:http,option:client-arch,16",
        "--dhcp-vendorclass=set:http,HTTPClient",
        "--dhcp-option-force=tag:http,60,HTTPClient",
        "--tag-if=set:bios,tag:!ipxe,tag:!efi,tag:!http",
        "--tag-if=set:grub,tag:efi,tag:!ipxe,tag:!http",
        "--dhcp-boot=tag:bios,lpxelinux.0",
        "--dhcp-boot=tag:grub,grubnetx64.efi",
        "--dhcp-boot=tag:ipxe,boot.ipxe",
        f"--dhcp-boot=tag:http,{SERVER}boot/signet.efi",
    ]


def uefi(work, secure=False, variables=None):
    """QEMU's options for UEFI firmware with variables of its own, kept in `work`."""
    kept = pathlib.Path(work) / "nvram.fd"
    if not kept.exists():
        shutil.copy(variables or OVMF[1], kept)
    code = SECURE_OVMF if secure else OVMF[0]
    if not pathlib.Path(code).exists():
        raise lab.LabError(f"{code} is missing; run toolchain/bootstrap")
    secure_options = ["-machine", "smm=on", "-global", "driver=cfi.pflash01,property=secure,value=on"] if secure else []
    return secure_options + ["-drive", f"if=pflash,format=raw,unit=0,readonly=on,file={code}", "-drive", f"if=pflash,format=raw,unit=1,file={kept}"]


def card(tap, number=0, model="virtio-net-pci", mac=None, boot=True, rom=None):
    """QEMU's options for a network card on a tap."""
    mac = mac or f"52:54:00:77:00:{number + 1:02x}"
    options = f"{model},netdev=net{number},mac={mac}"
    options += f",bootindex={100 + number}" if boot else ",romfile="
    if rom is not None:
        options += f",romfile={rom}"
    return ["-netdev", f"tap,id=net{number},ifname={tap},script=no,downscript=no", "-device", options]
