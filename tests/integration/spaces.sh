#!/usr/bin/env bash
# A program of the image has mounts, processes and a /dev of its own; and only what Signet has mounted is taken down.
set -euo pipefail
. "$(dirname "$0")/lib.bash"
needs_root

tree=$work/tree
system_tree "$tree"
mkdir -p "$tree/mnt"
busybox=$("$top/initrd/busybox")
install -m 755 "$busybox" "$tree/bin/busybox"
for applet in sh ls mount sleep tail tr stat; do ln -s busybox "$tree/bin/$applet"; done
tar -C "$tree" -cf - . | zstd -q >"$work/tree.tar.zst"
nap=$((100000 + RANDOM)) # tells our sleep(1) from all others
cat >"$work/hook.sh" <<SH
echo "pid \$\$" >/etc/seen
for node in /dev/*; do [ ! -b "\$node" ] || echo "block \${node#/dev/}"; done >>/etc/seen
ls /dev/disk/by-uuid >/etc/links
echo text >/dev/null && [ -c /dev/null ] && [ -e /dev/fd/0 ] && [ -c /dev/ptmx ] && echo nodes >>/etc/seen
mount -t tmpfs none /mnt
(sleep $nap </dev/null >/dev/null 2>&1 &)
SH
cat >"$work/profile.toml" <<TOML
schema = 1
[image]
source = "tree.tar.zst"
sha256 = "$(sha256sum "$work/tree.tar.zst" | cut -d' ' -f1)"
[[disk]]
id = "system"
wipe = "blank"
partition = [
  { name = "root", size = "rest", format = "ext4", mount = "/" },
  { name = "data", size = "32MiB", format = "ext3", mount = "/srv/data" },
]
[configure]
boot_loader = "none"
[hooks]
post_install = ["hook.sh"]
TOML

state=$work/state root=$work/root disk=$work/disk.img
truncate -s 256M "$disk"
run() { "$agent" "$@" --state "$state" >"$work/out" 2>&1 || fail "signet-agent $*: $(cat "$work/out")"; }
run plan --profile "$work/profile.toml" --target "$disk" --host node07
run partition --profile "$work/profile.toml" --target "$disk" --host node07
run format

# Somebody else's mount is neither covered nor taken down.
mkdir -p "$work/theirs/data"
mount -t tmpfs theirs "$work/theirs/data"
echo precious >"$work/theirs/data/file"
if "$agent" mount --root "$work/theirs" --state "$state" >"$work/out" 2>&1; then fail "mounted over somebody's file system"; fi
grep -q 'is a mount point that Signet did not make' "$work/out" || fail "the message is: $(cat "$work/out")"
run format --root "$work/theirs"
[ "$(cat "$work/theirs/data/file")" = precious ] || fail "somebody's file system has been unmounted"
umount "$work/theirs/data"
ok "a directory with other mounts is refused, and they stay"

run mount --root "$root"
run pull --root "$root"
before=$(findmnt -nr -o TARGET -R "$root")
loop=$(losetup -j "$disk" | sed 's,^/dev/\(loop[0-9]*\):.*,\1,')
# Other tests attach loop devices of their own meanwhile.
nodes_of() { find /dev -type b -name "$loop*" | sort; }
devices=$(nodes_of)
run post-install --root "$root"
[ "$(findmnt -nr -o TARGET -R "$root")" = "$before" ] || fail "a hook's mount is left: $(findmnt -R "$root")"
for cmdline in /proc/[0-9]*/cmdline; do
  if { tr '\0' ' ' <"$cmdline"; } 2>/dev/null | grep -q "sleep $nap"; then fail "a hook's process is left: $cmdline"; fi
done
[ "$(nodes_of)" = "$devices" ] || fail "the machine's own /dev has changed"
grep -qx 'pid [1-9]' "$root/etc/seen" || fail "the hook is not in a process namespace: $(cat "$root/etc/seen")"
[ "$(grep '^block ' "$root/etc/seen" | sort | tr '\n' ' ')" = "block $loop block ${loop}p1 block ${loop}p2 " ] || fail "the hook sees: $(cat "$root/etc/seen")"
grep -qx nodes "$root/etc/seen" || fail "/dev lacks what programs expect"
uuids=$(findmnt -nr -o UUID -R "$root" | sort | tr '\n' ' ')
[ "$(sort "$root/etc/links" | tr '\n' ' ')" = "$uuids" ] || fail "links by UUID: $(cat "$root/etc/links"), file systems: $uuids"
ok "a hook sees the target's disk only, and what it mounts and starts ends with it"

# What somebody mounts upon our tree has to go with it.
mount -t tmpfs upon "$root/mnt"
run finish --root "$root" --on-success poweroff
[ -z "$(findmnt -nr -o TARGET -R "$root")" ] || fail "finish has left mounts: $(findmnt -R "$root")"
[ -z "$(losetup -j "$disk")" ] || fail "a loop device is left"
ok "finish takes down our tree with what is mounted upon it"
