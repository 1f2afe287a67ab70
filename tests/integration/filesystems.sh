#!/usr/bin/env bash
# File systems that the agent makes, judged by e2fsck, dumpe2fs, fsck.vfat, blkid, swaplabel and the kernel.
set -euo pipefail
. "$(dirname "$0")/lib.bash"
needs_root
export PATH=$PATH:/sbin:/usr/sbin

uuid=12345678-9abc-4def-8123-456789abcdef

# The superblock without what must differ: times, the hash seed, and the checksums over those.
superblock() {
  dumpe2fs -h "$1" 2>/dev/null | grep -Ev '^(Filesystem created|Last write time|Last checked|Directory Hash Seed|Checksum:|Journal checksum:|Lifetime writes|Filesystem features)'
}
features() { dumpe2fs -h "$1" 2>/dev/null | sed -n 's/^Filesystem features: *//p' | tr ' ' '\n' | grep -v '^$' | sort | tr '\n' ' '; }

# mke2fs 1.47.0 knows every feature that 1.47.2 turns on, but Debian 12's does not turn all of them on.
declare -A wanted=([ext2]="" [ext3]="" [ext4]="-O metadata_csum_seed,orphan_file")

for type in ext2 ext3 ext4; do
  for size in 8M 64M 500M 512M 3G 64G; do
    ours=$work/ours.img theirs=$work/theirs.img
    truncate -s "$size" "$ours"
    truncate -s "$size" "$theirs"
    "$agent" format --type "$type" --path "$ours" --label signet --uuid "$uuid" --state "$work/state"
    # shellcheck disable=SC2086
    mke2fs -q -F -t "$type" ${wanted[$type]} -L signet -U "$uuid" -E nodiscard "$theirs"
    e2fsck -fn "$ours" >"$work/fsck" 2>&1 || fail "$type $size: e2fsck: $(tail -n 5 "$work/fsck")"
    [ "$(features "$ours")" = "$(features "$theirs")" ] || fail "$type $size: features are $(features "$ours"), mke2fs has $(features "$theirs")"
    diff <(superblock "$theirs") <(superblock "$ours") >"$work/diff" || fail "$type $size differs from mke2fs: $(cat "$work/diff")"
    rm -f "$ours" "$theirs"
  done
  ok "$type of 8 MiB to 64 GiB: e2fsck finds nothing, dumpe2fs shows what mke2fs makes"
done

truncate -s 256M "$work/ext4.img"
"$agent" format --type ext4 --path "$work/ext4.img" --state "$work/state"
mount_image "$work/ext4.img" "$work/mnt"
mkdir "$work/mnt/many"
for i in $(seq 500); do echo "$i" >"$work/mnt/many/$i"; done
unmount "$work/mnt"
e2fsck -fn "$work/ext4.img" >/dev/null 2>&1 || fail "e2fsck after the kernel has written"
ok "the kernel mounts it, writes, and e2fsck finds nothing"

truncate -s 100M "$work/part.img"
"$agent" format --type ext4 --path "$work/part.img" --offset 10MiB --size 50MiB --label inside --state "$work/state"
[ "$(blkid -p -O $((10 << 20)) -S $((50 << 20)) -s LABEL -o value "$work/part.img")" = inside ] || fail "no ext4 at 10 MiB"
cmp -n $((10 << 20)) "$work/part.img" /dev/zero || fail "something was written before the offset"
cmp -n $((40 << 20)) -i $((60 << 20)):0 "$work/part.img" /dev/zero || fail "something was written behind the size"
ok "a part of an image file is formatted, and nothing beside it is touched"

for size in 8M 64M 511M 512M 4G 40G; do
  truncate -s "$size" "$work/fat.img"
  "$agent" format --type vfat --path "$work/fat.img" --label SIGNET --uuid 1A2B-3C4D --state "$work/state"
  fsck.vfat -n "$work/fat.img" >"$work/fsck" 2>&1 || fail "vfat $size: fsck.vfat: $(cat "$work/fsck")"
  [ "$(blkid -p -o value -s UUID "$work/fat.img")" = 1A2B-3C4D ] || fail "vfat $size: UUID $(blkid -p "$work/fat.img")"
  [ "$(blkid -p -o value -s LABEL "$work/fat.img")" = SIGNET ] || fail "vfat $size: label"
  grep -qw vfat /proc/filesystems || continue
  mount_image "$work/fat.img" "$work/mnt"
  mkdir -p "$work/mnt/EFI/BOOT"
  head -c 3000000 /dev/urandom >"$work/mnt/EFI/BOOT/BOOTX64.EFI"
  cp "$work/mnt/EFI/BOOT/BOOTX64.EFI" "$work/copy"
  unmount "$work/mnt"
  fsck.vfat -n "$work/fat.img" >"$work/fsck" 2>&1 || fail "vfat $size: fsck.vfat after the kernel has written: $(cat "$work/fsck")"
  mount_image "$work/fat.img" "$work/mnt" ro
  cmp "$work/copy" "$work/mnt/EFI/BOOT/BOOTX64.EFI" || fail "vfat $size: what was written is not what is read"
  unmount "$work/mnt"
  rm -f "$work/fat.img"
done
ok "vfat of 8 MiB to 40 GiB: fsck.vfat finds nothing$(grep -qw vfat /proc/filesystems && echo ", the kernel reads and writes it")"

truncate -s 64M "$work/swap.img"
"$agent" format --type swap --path "$work/swap.img" --label swap --uuid "$uuid" --state "$work/state"
swaplabel "$work/swap.img" | grep -q "UUID:  $uuid" || fail "swaplabel: $(swaplabel "$work/swap.img")"
[ "$(blkid -p -o value -s TYPE "$work/swap.img")" = swap ] || fail "blkid does not see swap"
ok "swap: swaplabel and blkid know it"

truncate -s 4M "$work/tiny.img"
if "$agent" format --type ext4 --path "$work/tiny.img" --state "$work/state" 2>"$work/err"; then fail "ext4 on 4 MiB was accepted"; fi
grep -q 'too small' "$work/err" || fail "the message is: $(cat "$work/err")"
cmp -n $((4 << 20)) "$work/tiny.img" /dev/zero || fail "something was written"
ok "too small a place is refused and not touched"
