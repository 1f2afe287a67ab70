#!/usr/bin/env bash
# File systems that the agent makes, judged by e2fsck, dumpe2fs, fsck.vfat, blkid, swaplabel and the kernel.
set -euo pipefail
. "$(dirname "$0")/lib.bash"
needs_root

uuid=12345678-9abc-4def-8123-456789abcdef

# The superblock without what must differ: times, the hash seed, and the checksums over those.
superblock() {
  dumpe2fs -h "$1" 2>/dev/null | grep -Ev '^(Filesystem created|Last write time|Last checked|Directory Hash Seed|Checksum:|Journal checksum:|Lifetime writes|Filesystem features)'
}
features() { dumpe2fs -h "$1" 2>/dev/null | sed -n 's/^Filesystem features: *//p' | tr ' ' '\n' | grep -v '^$' | sort | tr '\n' ' '; }

# mke2fs 1.47 knows every feature of each year, and Debian's turns some of 1.47's on or not. The default is 2018.
declare -A wanted=([ext2]="" [ext3]="" [ext4]="-O ^metadata_csum_seed,^orphan_file" [ext4-2022]="-O ^metadata_csum_seed,^orphan_file" [ext4-newest]="-O metadata_csum_seed,orphan_file")

for kind in ext2 ext3 ext4 ext4-2022 ext4-newest; do
  type=${kind%-*} compat=${kind#"${kind%-*}"}
  for size in 8M 64M 500M 512M 3G 64G; do
    ours=$work/ours.img theirs=$work/theirs.img
    truncate -s "$size" "$ours"
    truncate -s "$size" "$theirs"
    # shellcheck disable=SC2086
    "$agent" format --type "$type" ${compat:+--compat ${compat#-}} --path "$ours" --label signet --uuid "$uuid" --state "$work/state"
    # shellcheck disable=SC2086
    mke2fs -q -F -t "$type" ${wanted[$kind]} -L signet -U "$uuid" -E nodiscard "$theirs"
    e2fsck -fn "$ours" >"$work/fsck" 2>&1 || fail "$type $size: e2fsck: $(tail -n 5 "$work/fsck")"
    [ "$(features "$ours")" = "$(features "$theirs")" ] || fail "$kind $size: features are $(features "$ours"), mke2fs has $(features "$theirs")"
    diff <(superblock "$theirs") <(superblock "$ours") >"$work/diff" || fail "$kind $size differs from mke2fs: $(cat "$work/diff")"
    rm -f "$ours" "$theirs"
  done
  ok "$kind of 8 MiB to 64 GiB: e2fsck finds nothing, dumpe2fs shows what mke2fs makes"
done

# The feature words of the superblock (bytes 92 to 103 of it, little-endian) are a subset of what Linux 4.18 mounts for writing, without the checksum seed,
# which GRUB of that time refuses: fs/ext4/ext4.h, EXT4_FEATURE_INCOMPAT_SUPP and EXT4_FEATURE_RO_COMPAT_SUPP; and of the compatible features that e2fsck
# 1.44 knows: lib/ext2fs/ext2fs.h, EXT2_LIB_FEATURE_COMPAT_SUPP.
known_compat=$((0x0001 | 0x0002 | 0x0004 | 0x0008 | 0x0010 | 0x0020 | 0x0200))
known_incompat=$((0x0002 | 0x0004 | 0x0010 | 0x0040 | 0x0080 | 0x0100 | 0x0200 | 0x0400 | 0x4000 | 0x8000))
known_ro_compat=$((0x0001 | 0x0002 | 0x0008 | 0x0010 | 0x0020 | 0x0040 | 0x0100 | 0x0200 | 0x0400 | 0x2000))
truncate -s 256M "$work/old.img"
for year in 2018 2022 newest; do
  "$agent" format --type ext4 --compat $year --path "$work/old.img" --state "$work/state"
  read -r compat incompat ro_compat < <(od -An -tu4 -j$((1024 + 92)) -N12 "$work/old.img")
  beyond=$(((compat & ~known_compat) | (incompat & ~known_incompat) | (ro_compat & ~known_ro_compat)))
  case $year in
  newest) [ $beyond != 0 ] || fail "ext4 of today has nothing that 2018 did not know: the check is worth nothing" ;;
  *) [ $beyond = 0 ] || fail "ext4 of $year has features that 2018 did not know: $(features "$work/old.img")" ;;
  esac
done
"$agent" format --type ext4 --path "$work/old.img" --state "$work/state"
case " $(features "$work/old.img")" in *" metadata_csum_seed "* | *" orphan_file "*) fail "the default has $(features "$work/old.img")" ;; esac
status=0
"$agent" format --type ext4 --compat 1999 --path "$work/old.img" --state "$work/state" 2>"$work/err" || status=$?
[ $status = 2 ] || fail "--compat 1999: exit status $status: $(cat "$work/err")"
ok "ext4 for systems of 2018 has only what they know"

# Debian 11's e2fsck (1.46.2) as a judge, from its package, while Debian has it.
if (. "$top/toolchain/lib.sh" && private_apt bullseye deb && cd "$work" && apt-get "${apt[@]}" -o Dir::State::Status=/dev/null download e2fsprogs libext2fs2 libcom-err2 libss2 libblkid1 libuuid1) >"$work/apt" 2>&1; then
  for package in "$work"/*.deb; do dpkg-deb -x "$package" "$work/bullseye"; done
  old() { LD_LIBRARY_PATH=$(find "$work/bullseye" -name 'libext2fs.so.2' -printf '%h\n' | head -n 1):$work/bullseye/usr/lib/x86_64-linux-gnu "$work/bullseye/sbin/e2fsck" "$@"; }
  old -fn "$work/old.img" >"$work/fsck" 2>&1 || fail "e2fsck of Debian 11: $(cat "$work/fsck")"
  "$agent" format --type ext4 --compat newest --path "$work/old.img" --state "$work/state"
  old -fn "$work/old.img" >"$work/fsck" 2>&1 && fail "e2fsck of Debian 11 takes what is newer than it: the check is worth nothing"
  ok "e2fsck of Debian 11 finds nothing"
else
  echo "skipped: e2fsck of Debian 11 (bullseye): $(tail -n 1 "$work/apt")"
fi

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
