#!/usr/bin/python3
"""ext4 as `compat = "auto"` makes it, mounted, read and written by Debian 11's kernel (5.10), and then checked. Left out, and said so, when Debian has no Debian
11 any more."""

import hashlib
import os
import pathlib
import subprocess

from boottest import TOP, check, check_equal, lab, log, run

# In the order in which they are loaded.
MODULES = ["virtio", "virtio_ring", "virtio_pci", "virtio_blk", "crc16", "mbcache", "jbd2", "crc32c_generic", "ext4"]
LOADER = r"""
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/syscall.h>
#include <unistd.h>
int main(int argc, char **argv) {
  for (int i = 1; i < argc; ++i)
    if (syscall(SYS_finit_module, open(argv[i], O_RDONLY), "", 0) != 0) printf("load %s: %s\n", argv[i], strerror(errno));
}
"""
JUDGE = """#!/bin/sh
export PATH=/sbin:/usr/sbin:/bin:/usr/bin
mkdir -p /proc /dev /mnt
mount -t proc proc /proc
mount -t devtmpfs devtmpfs /dev
exec </dev/console >/dev/console 2>&1
/root/load {modules}
echo "KERNEL $(uname -r)"
i=0
while [ ! -b /dev/vda ] && [ $i -lt 100 ]; do i=$((i + 1)); sleep 0.1; done
mount -t ext4 -o errors=remount-ro /dev/vda /mnt || echo "MOUNT failed"
echo "READ $(sha256sum </mnt/busybox | cut -d' ' -f1)"
mkdir /mnt/many
i=0
while [ $i -lt 300 ]; do i=$((i + 1)); echo $i >/mnt/many/$i; done
cp /mnt/busybox /mnt/copy && sync
umount /mnt && echo "JUDGED"
poweroff -f
"""
FETCH = """
. "$1/toolchain/lib.sh"
private_apt bullseye deb
apt+=(-o Dir::State::Status=/dev/null)
name=$(apt-cache "${apt[@]}" depends linux-image-amd64 | sed -n 's/.*Depends: \\(linux-image-5.10[^ ]*\\).*/\\1/p' | head -n 1)
[ -n "$name" ] || die "Debian 11 has no linux-image-5.10"
apt-get "${apt[@]}" download "$name" >&2
dpkg-deb --fsys-tarfile ./*.deb | tar -x --wildcards './boot/vmlinuz-*' './lib/modules/*/kernel/drivers/virtio/*' './lib/modules/*/kernel/drivers/block/virtio_blk.ko' \\
  './lib/modules/*/kernel/fs/ext4/*' './lib/modules/*/kernel/fs/jbd2/*' './lib/modules/*/kernel/fs/mbcache.ko' './lib/modules/*/kernel/lib/crc16.ko' './lib/modules/*/kernel/crypto/crc32c_generic.ko'
"""


def fetch(work):
    """Debian 11's kernel and modules below `work`; None if they cannot be had."""
    done = subprocess.run(["bash", "-euo", "pipefail", "-c", FETCH, "fetch", TOP], cwd=work, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
    if done.returncode != 0:
        print(f"Debian 11's kernel cannot be had: {done.stdout.strip().splitlines()[-1:]}")
        raise SystemExit(77)
    return next(work.glob("boot/vmlinuz-*"))


def call(*command):
    done = subprocess.run([str(word) for word in command], stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
    if done.returncode != 0:
        raise lab.LabError(f"{' '.join(str(word) for word in command)}: {done.stdout.strip()}")
    return done.stdout


def test(work):
    kernel = fetch(work)
    (work / "load.c").write_text(LOADER)
    call("gcc", "-static", "-Os", "-o", work / "load", work / "load.c")
    adds = [f"{work}/load:/root/load"]
    for name in MODULES:
        module = next(work.glob(f"lib/modules/*/kernel/**/{name}.ko"), None)
        if module:  # what is missing is built in
            adds.append(f"{module}:/root/{name}.ko")
    judge = work / "judge"
    judge.write_text(JUDGE.format(modules=" ".join(add.split(":")[1] for add in adds[1:])))
    judge.chmod(0o755)
    adds.append(f"{judge}:/root/judge")
    initrd = work / "judge.img"
    call(TOP / "initrd/pack", "--quiet", "--out", initrd, *(word for add in adds for word in ("--add", add)))

    disk, place = lab.blank_disk(work / "disk.img", "256M"), work / "place"
    call(lab.OUT / "signet-agent", "format", "--type", "ext4", "--path", disk, "--state", work / "state")
    place.mkdir()
    busybox = pathlib.Path(call(TOP / "initrd/busybox").strip())
    call("mount", "-o", "loop", disk, place)
    try:
        call("cp", busybox, place / "busybox")
    finally:
        call("umount", place)
    command = lab.qemu_command(disks=[disk], kernel=kernel, initrd=initrd, append="console=ttyS0 rdinit=/root/judge quiet panic=-1", memory=512, network=None, extra=["-no-reboot"])
    with lab.Guest(command, log("old-kernel")) as guest:
        guest.wait_off(300)
        said = guest.log_bytes().decode(errors="replace")
    check("KERNEL 5.10" in said, "Debian 11's kernel has started", said[-600:])
    check(f"READ {hashlib.sha256(busybox.read_bytes()).hexdigest()}" in said, "it mounts our ext4 and reads what another kernel has written", said[-600:])
    check("JUDGED" in said, "it writes and unmounts it", said[-600:])
    check_equal(subprocess.run(["e2fsck", "-fn", disk], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, env=os.environ | {"PATH": os.environ["PATH"] + ":/sbin:/usr/sbin"}).returncode, 0, "and e2fsck finds nothing afterwards")


if __name__ == "__main__":
    run("old-kernel", test)
