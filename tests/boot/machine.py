"""A site with one machine that starts from its disk, else from the network, and a server that installs the small system on it."""

import json
import subprocess

from boottest import lab, net

FIRMWARE = ("bios", "uefi")
ROOT_START = {"bios": 2, "uefi": 65}  # MiB from the start of the disk

PROFILE = """schema = 1
{top}
[image]
source = "../images/small.tar.zst{query}"
sha256 = "{sha256}"
[[disk]]
id = "system"
match = {{ transport = "virtio" }}
wipe = "{wipe}"
partition = [
  {first},
  {{ name = "root", size = "rest", format = "ext4", mount = "/" }},
]
[configure]
root_password = "$6$signet$962NJwm6M67ZmpFi75J7Jr5U7.vpNw1JcvvQXVz6SJFQLb3cnrPPAbPICVHDcDktdqSAv6.9owaCOMpAwSW5x/"
kernel_args = "console=tty0 console=ttyS0"
"""
FIRST = {
    "bios": '{ name = "bios", size = "1MiB", type = "bios" }',
    "uefi": '{ name = "esp", size = "64MiB", type = "esp", format = "vfat", mount = "/boot/efi" }',
}


def fat_disk(path, text):
    """A disk labelled SIGNET-CFG with this local.cfg."""
    lines = path.with_suffix(".cfg")
    lines.write_text(text)
    subprocess.run(["mformat", "-C", "-i", path, "-T", "4096", "-v", "SIGNET-CFG", "::"], check=True)
    subprocess.run(["mcopy", "-i", path, lines, "::/local.cfg"], check=True)
    return path


class Site:
    """Server, network and disk of one machine called node01; ends with the `with` block."""

    def __init__(self, work, firmware, wipe="signet", top="", append=(), media=(), size="512M"):
        self.work, self.firmware = work, firmware
        self.tree = work / "tree"
        (self.tree / "hosts").mkdir(parents=True)
        self.sha256, self.wipe = lab.link_image(self.tree, "small"), wipe
        self.profile(top)
        self.tftp = work / "tftp"
        options = [word for words in append for word in ("--append", words)]
        subprocess.run([lab.OUT / "signet", "media", "pxe", "--out", self.tftp, "--console", "tty0", "--console", "ttyS0", *options, *media], check=True, stdout=subprocess.DEVNULL)
        (self.tree / "boot").mkdir()
        (self.tree / "boot/signet.efi").symlink_to(self.tftp / "signet.efi")
        self.disk = lab.blank_disk(work / "disk.img", size)
        boot = net.pxe_options() if firmware == "uefi" else ["--dhcp-boot=boot.ipxe"]
        self.network = net.Network(work, self.tree, self.tftp, [*boot, "--dhcp-host=52:54:00:77:00:01,node01"])
        self.tap = self.network.tap()

    def profile(self, top="", more="", image_query=""):
        text = PROFILE.format(top=top, query=image_query, sha256=self.sha256, wipe=self.wipe, first=FIRST[self.firmware])
        (self.tree / "hosts/default.toml").write_text(text + more)

    def start(self, log, bad_sectors=(), bad_access="write", network_first=False, memory=256, sector_size=512, extra=()):
        """The machine, switched on. Reads from or writes to `bad_sectors` (of 512 bytes) fail with EIO."""
        file = {"driver": "file", "filename": str(self.disk), "cache": {"no-flush": True}}
        if bad_sectors:
            rules = [{"event": "none", "iotype": bad_access, "errno": 5, "sector": sector, "once": False} for sector in bad_sectors]
            file = {"driver": "blkdebug", "image": file, "inject-error": rules}
        disk = ["-blockdev", json.dumps({"driver": "raw", "node-name": "disk0", "file": file})]
        disk += ["-device", f"virtio-blk-pci,drive=disk0,logical_block_size={sector_size},physical_block_size={sector_size},bootindex={200 if network_first else 1}"]
        firmware = net.uefi(self.work) if self.firmware == "uefi" else []
        command = lab.qemu_command(network=None, memory=memory, extra=[*disk, *firmware, *net.card(self.tap), *extra])
        return lab.Guest(self.network.wrap(command), log)

    def close(self):
        self.network.close()

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.close()
