#!/usr/bin/env bash
# Every stage alone, on an image file, as a profile and as flags; judged by sfdisk, blkid, e2fsck, findmnt and tar.
set -euo pipefail
. "$(dirname "$0")/lib.bash"
needs_root

tree=$work/tree
system_tree "$tree"
: >"$tree/bin/bash"
tar -C "$tree" -cf - . | zstd -q >"$work/tree.tar.zst"
sha256=$(sha256sum "$work/tree.tar.zst" | cut -d' ' -f1)

# Not every kernel that runs this test has vfat; our own has, and the boot tests mount it. Over the partition its hidden directory is mounted.
grep -qw vfat /proc/filesystems && esp=', type = "esp", format = "vfat", mount = "/boot/efi"' mounted=4 lines=4 || esp='' mounted=2 lines=3
cat >"$work/profile.toml" <<TOML
schema = 1
[image]
source = "tree.tar.zst"
sha256 = "$sha256"
[[disk]]
id = "system"
wipe = "blank"
table = "TABLE"
partition = [
  { name = "root", size = "rest", format = "ext4", label = "root", mount = "/" },
  { name = "data", size = "64MiB", format = "ext3", mount = "/srv/data" },
  { name = "esp", size = "32MiB"$esp },
  { name = "swap", size = "16MiB", format = "swap" },
]
[configure]
boot_loader = "none"
[[configure.users]]
name = "ops"
groups = ["sudo"]
ssh_keys = ["ssh-ed25519 AAAA ops"]
TOML

judge_table() { # DISK gpt|dos
  sfdisk --verify "$1" >"$work/verify" 2>&1 || fail "sfdisk --verify: $(cat "$work/verify")"
  [ "$(sfdisk --json "$1" | grep -c '"node"')" = 4 ] || fail "sfdisk sees $(sfdisk --dump "$1")"
  [ "$(blkid -p -o value -s PTTYPE "$1")" = "$2" ] || fail "blkid sees no $2 table"
  closed "$1"
  sfdisk --json "$1" | sed -n 's/.*"start": *\([0-9]*\).*/\1/p' | while read -r start; do [ $((start % 2048)) = 0 ] || fail "a partition starts at sector $start"; done
}

for table in gpt mbr; do
  disk=$work/$table.img state=$work/state-$table root=$work/root-$table
  truncate -s 1G "$disk"
  sed "s/TABLE/$table/" "$work/profile.toml" >"$work/$table.toml"
  before=$(sha256sum <"$disk")
  run() { "$agent" "$@" --state "$state" >"$work/out" 2>&1 || fail "signet-agent $*: $(cat "$work/out")"; }

  run plan --profile "$work/$table.toml" --target "$disk" --host node07
  [ "$before" = "$(sha256sum <"$disk")" ] || fail "plan has written to the disk"
  run partition --profile "$work/$table.toml" --target "$disk" --host node07
  judge_table "$disk" "$([ $table = gpt ] && echo gpt || echo dos)"
  run format
  run mount --root "$root"
  [ "$(findmnt -nr -o TARGET -R "$root" | wc -l)" = $mounted ] || fail "mounted: $(findmnt -R "$root")"
  run pull --root "$root"
  run configure --root "$root"
  tar -C "$root" -df <(zstd -dcq "$work/tree.tar.zst") ./usr ./var/log || fail "the tree is not what the image has"
  [ "$(cat "$root/etc/hostname")" = node07 ] || fail "hostname is $(cat "$root/etc/hostname")"
  grep -q '^127.0.1.1.node07$' "$root/etc/hosts" || fail "hosts: $(cat "$root/etc/hosts")"
  [ "$(grep -c '^UUID=' "$root/etc/fstab")" = $lines ] || fail "fstab: $(cat "$root/etc/fstab")"
  findmnt --verify --tab-file "$root/etc/fstab" 2>&1 | grep -q 'parse error' && fail "findmnt cannot parse fstab"
  grep -Eq '^[0-9a-f]{32}$' "$root/etc/machine-id" || fail "no machine-id"
  [ ! -e "$root/etc/ssh/ssh_host_rsa_key" ] || fail "the image's SSH host key is still there"
  grep -q '^iface lo inet loopback' "$root/etc/network/interfaces" || fail "no interfaces file"
  [ "$(stat -c '%a %u' "$root/home/ops/.ssh/authorized_keys")" = "600 1000" ] || fail "the user's key: $(stat "$root/home/ops/.ssh/authorized_keys")"
  grep -q '^sudo:x:27:ops$' "$root/etc/group" || fail "group: $(cat "$root/etc/group")"
  cp "$root/etc/passwd" "$root/etc/group" "$root/etc/fstab" "$work"
  run configure --root "$root"
  for file in passwd group fstab; do cmp "$work/$file" "$root/etc/$file" || fail "configure a second time changes $file"; done
  run finish --root "$root" --on-success poweroff
  findmnt -R "$root" >/dev/null && fail "finish has left something mounted"
  [ -z "$(losetup -j "$disk")" ] || fail "a loop device is left"
  grep -q '"event":"failed"' "$state/events.jsonl" && fail "a failed event"
  ok "$table: every stage alone, on an image file"

  # The same disk again: blank forbids it, signet allows it to the same host, and a table that somebody else wrote makes it foreign.
  if "$agent" plan --profile "$work/$table.toml" --target "$disk" --state "$state" >"$work/out" 2>&1; then fail "wipe = blank allowed an installed disk"; fi
  grep -q 'holds a Signet .* system, installed as node07' "$work/out" || fail "the message is: $(cat "$work/out")"
  sed -i 's/"blank"/"signet"/' "$work/$table.toml"
  run plan --profile "$work/$table.toml" --target "$disk" --host NODE07
  if "$agent" plan --profile "$work/$table.toml" --target "$disk" --host other --state "$state" >"$work/out" 2>&1; then fail "wipe = signet allowed another host's disk"; fi
  grep -q 'this host is other, and wipe = "signet" allows only this host' "$work/out" || fail "the message is: $(cat "$work/out")"
  sed -i 's/"signet"/"signet-any"/' "$work/$table.toml"
  run plan --profile "$work/$table.toml" --target "$disk" --host other
  echo 'label: gpt' | sfdisk -q "$disk"
  if "$agent" plan --profile "$work/$table.toml" --target "$disk" --host node07 --state "$state" >"$work/out" 2>&1; then fail "wipe = signet-any allowed a disk that was repartitioned"; fi
  grep -q 'modified since then' "$work/out" || fail "the message is: $(cat "$work/out")"
  ok "$table: the wipe rule knows our disk from one that was reused"
done

# An install that was begun and not finished: the same profile goes on with it, on the host that began it.
disk=$work/begun.img state=$work/state-begun
truncate -s 512M "$disk"
sed -e 's/TABLE/gpt/' "$work/profile.toml" >"$work/begun.toml"
for attempt in 1 2; do
  "$agent" partition --profile "$work/begun.toml" --target "$disk" --host node07 --state "$state" >"$work/out" 2>&1 || fail "attempt $attempt: $(cat "$work/out")"
  closed "$disk"
done
if "$agent" plan --profile "$work/begun.toml" --target "$disk" --host other --state "$state" >"$work/out" 2>&1; then fail "wipe = blank allowed another host's unfinished disk"; fi
grep -q 'an unfinished Signet .* install, begun as node07' "$work/out" || fail "the message is: $(cat "$work/out")"
ok "wipe = blank takes up an unfinished install of the same host, and of no other"

# Between plan and partition the disk changes: nothing is written.
change() { # WHAT MESSAGE COMMAND…
  disk=$work/changed.img state=$work/state-changed
  rm -f "$disk" "$disk.other"
  truncate -s 512M "$disk"
  "$agent" plan --profile "$work/begun.toml" --target "$disk" --host node07 --state "$state" >"$work/out" 2>&1 || fail "$1: $(cat "$work/out")"
  "${@:3}"
  local before
  before=$(sha256sum <"$disk")
  if "$agent" partition --planned --state "$state" >"$work/out" 2>&1; then fail "$1: the disk was partitioned: $(cat "$work/out")"; fi
  grep -q "$2" "$work/out" || fail "$1: the message is: $(cat "$work/out")"
  [ "$before" = "$(sha256sum <"$disk")" ] || fail "$1: the disk was written"
}
other_file() {
  truncate -s 512M "$disk.other"
  mv "$disk.other" "$disk"
}
change "a file system" 'it held nothing and holds ext4 "precious" now' mke2fs -q -F -t ext4 -L precious "$work/changed.img"
change "another file" 'it is another file now' other_file
change "another size" 'its size was 512MiB and is 600MiB now' truncate -s 600M "$work/changed.img"
change "a byte at the end" 'holds data at 511 MiB' dd if=/dev/urandom of="$work/changed.img" bs=512 seek=1048575 count=1 conv=notrunc status=none
change "a plan of another version" 'it has version 7, this agent reads version 1' sed -i 's/"version": 1/"version": 7/' "$work/state-changed/plan.json"
change "a plan with an unknown format" 'format: must be none, ext2' sed -i 's/"format": "ext4"/"format": "ext5"/' "$work/state-changed/plan.json"
ok "a disk that changes between plan and partition, or a plan that was changed, is refused before the first write"

# The same in flags, as a host script would write it.
disk=$work/flags.img state=$work/state-flags root=$work/root-flags
truncate -s 512M "$disk"
export SIGNET_SCRIPT=yes
"$agent" partition --target "$disk" --disk "$disk" --wipe blank --partition name=root,size=rest,format=ext4,mount=/ --partition name=bios,size=1MiB,type=bios --state "$state" >"$work/out" 2>&1 || fail "$(cat "$work/out")"
"$agent" format --state "$state" >"$work/out" 2>&1 || fail "$(cat "$work/out")"
"$agent" mount --root "$root" --state "$state" >"$work/out" 2>&1 || fail "$(cat "$work/out")"
"$agent" pull --source "$work/tree.tar.zst" --sha256 "$sha256" --root "$root" --state "$state" >"$work/out" 2>&1 || fail "$(cat "$work/out")"
"$agent" configure --hostname flagged --root "$root" --state "$state" >"$work/out" 2>&1 || fail "$(cat "$work/out")"
[ "$(cat "$root/etc/hostname")" = flagged ] || fail "hostname is $(cat "$root/etc/hostname")"
umount "$root"
ok "flags: a script needs no profile"

# An image without a kernel cannot become bootable: finish says so and the disk has no boot code.
"$agent" mount --root "$root" --state "$state" >"$work/out" 2>&1 || fail "$(cat "$work/out")"
if "$agent" finish --root "$root" --state "$state" >"$work/out" 2>&1; then fail "finish made a disk without a kernel bootable"; fi
grep -q 'no kernel in /boot' "$work/out" || fail "the message is: $(cat "$work/out")"
closed "$disk"
umount "$root"
ok "finish refuses an image that cannot boot"

# Wrong words.
for words in "instal" "install --form pull" "partition --wipe" "install --from nowhere" "format --type ext9 --path $disk" "pull extra"; do
  status=0
  # shellcheck disable=SC2086
  "$agent" $words --state "$work/state" >"$work/out" 2>&1 || status=$?
  [ "$status" = 2 ] || fail "signet-agent $words: exit status $status: $(cat "$work/out")"
  [ "$(grep -c . "$work/out")" -le 2 ] || fail "signet-agent $words says too much: $(cat "$work/out")"
done
for verb in $("$agent" --help | sed -n 's/^  \([a-z-]*\) .*/\1/p'); do "$agent" "$verb" --help | grep -q -- --help || fail "$verb has no --help"; done
ok "wrong words get one message and status 2; every verb has --help"
