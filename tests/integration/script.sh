#!/usr/bin/env bash
# `signet-agent script`: the script that it writes installs what the profile installs. Two disks, hooks, users, names with commas; compared file by file.
set -euo pipefail
. "$(dirname "$0")/lib.bash"
needs_root

tree=$work/tree
system_tree "$tree"
busybox=$("$top/initrd/busybox")
install -m 755 "$busybox" "$tree/bin/busybox"
for applet in sh mkdir cat id; do ln -s busybox "$tree/bin/$applet"; done
tar -C "$tree" -cf - . | zstd -q >"$work/tree.tar.zst"

# shellcheck disable=SC2016
printf 'echo "$SIGNET_DISK_SYSTEM_1 $SIGNET_DEVICE_ROOT $SIGNET_UUID_ROOT" >"$SIGNET_STATE/before"\n' >"$work/before.sh"
# shellcheck disable=SC2016
printf 'echo "after as $SIGNET_HOST on $SIGNET_DEVICE_ROOT with ${SIGNET_UUID_DATA_1:?}" >/etc/after\n' >"$work/after.sh"
cat >"$work/profile.toml" <<TOML
schema = 1
[image]
source = "tree.tar.zst"
sha256 = "$(sha256sum "$work/tree.tar.zst" | cut -d' ' -f1)"
[[disk]]
id = "system 1"
match = { size = ">=200MiB,<400MiB" }
wipe = "blank"
partition = [
  { name = "root", size = "rest", format = "ext4", label = "it's, root", mount = "/", options = ["noatime", "x-note=a+b"] },
  { name = "swap", size = "16MiB", format = "swap" },
]
[[disk]]
id = "data"
match = { index = 1 }
wipe = "blank"
table = "mbr"
partition = [{ name = "data 1", size = "25%", format = "ext3", mount = "/srv/data" }]
[network]
hostname = "scripted.example.org"
[[network.interface]]
name = "eth0"
addresses = ["10.0.0.5/24"]
gateway = "10.0.0.1"
[configure]
boot_loader = "none"
ssh_keys = ["ssh-ed25519 AAAA it's \"me\""]
[[configure.users]]
name = "ops"
groups = ["sudo"]
[hooks]
pre_install = ["before.sh"]
post_install = ["after.sh"]
[finish]
on_success = "poweroff"
on_failure = "reboot"
boot_order = "keep"
TOML

mkdir "$work/bin"
ln -s "$agent" "$work/bin/signet-agent"
export PATH=$work/bin:$PATH

for way in profile scripts; do
  mkdir "$work/$way"
  truncate -s 300M "$work/$way/system.img"
  truncate -s 150M "$work/$way/data.img"
done
targets() { echo --target "$work/$1/system.img" --target "$work/$1/data.img"; }

# shellcheck disable=SC2046
"$agent" install --profile "$work/profile.toml" --state "$work/profile/state" --root "$work/profile/root" --host node07 $(targets profile) >"$work/out" 2>&1 || fail "$(cat "$work/out")"
"$agent" script --profile "$work/profile.toml" --state "$work/writer" --quiet >"$work/install.sh" || fail "no script"
sh -n "$work/install.sh" || fail "the script is not one: $(cat "$work/install.sh")"
export SIGNET_STATE=$work/scripts/state SIGNET_ROOT=$work/scripts/root
# shellcheck disable=SC2046
sh "$work/install.sh" --host node07 $(targets scripts) >"$work/out" 2>&1 || fail "$(cat "$work/install.sh" "$work/out")"
ok "the script runs to its end"

for way in profile scripts; do
  for disk in system data; do
    sfdisk --dump "$work/$way/$disk.img" | grep -vE '^(label-id|device)' | sed -E 's/[^ ]*\.img([0-9])/\1/; s/uuid=[^,]*//' >"$work/$way/$disk.table"
  done
  start=$(sed -n 's/^1 .*start= *\([0-9]*\).*/\1/p' "$work/$way/system.table")
  mount_image "$work/$way/system.img" "$work/$way/mnt" "offset=$((start * 512))"
  # What no two installs may share is left out: the machine's id, its file systems' UUIDs, when it was.
  (cd "$work/$way/mnt" && find . -path ./lost+found -o -path ./var/log/signet -prune -o -path ./etc/machine-id -o -printf '%p %m %U:%G %y %l %s\n' | sort) >"$work/$way/files"
  (cd "$work/$way/mnt" && find . -type f ! -path './var/log/signet/*' ! -name machine-id -exec sed -sE 's/[0-9a-f]{8}-([0-9a-f]{4}-){3}[0-9a-f]{12}/UUID/g; s|/[^ ]*/(system\|data).img|\1|g' {} + | LC_ALL=C sort | sha256sum) >"$work/$way/content"
  read -r disk device uuid <"$work/$way/state/before"
  [ "${disk##*/} ${device##*/}" = "system.img system.img" ] && [ "${#uuid}" = 36 ] || fail "$way: the pre_install hook saw: $disk $device $uuid"
  [ "$(blkid -p -O "$((start * 512))" -o value -s UUID "$work/$way/system.img")" = "$uuid" ] || fail "$way: the file system's UUID is not the one that was planned"
  [ "$(blkid -p -O "$((start * 512))" -o value -s LABEL "$work/$way/system.img")" = "it's, root" ] || fail "$way: the label is lost"
  grep -q '^after as ' "$work/$way/mnt/etc/after" || fail "$way: the post_install hook did not run"
  grep -q ' noatime,x-note=a+b ' "$work/$way/mnt/etc/fstab" || fail "$way: mount options: $(cat "$work/$way/mnt/etc/fstab")"
done
for part in system.table data.table files content; do cmp "$work/profile/$part" "$work/scripts/$part" || fail "$part differs: $(diff "$work/profile/$part" "$work/scripts/$part")"; done
ok "tables, files, owners, modes and contents are those of the profile's install"
[ "$(cat "$work/scripts/state/finish")" = poweroff ] || fail "finish said $(cat "$work/scripts/state/finish")"
grep -q 'on_failure = "reboot"' "$work/scripts/state/profile.toml" || fail "on_failure is lost"
grep -q 'boot_order = "keep"' <("$agent" profile --profile "$work/profile.toml" --state "$work/writer" --quiet) || fail "boot_order is lost"
grep -q -- '--boot-order keep' "$work/install.sh" || fail "boot_order is lost"
ok "what finish does is the same, too"

# Where the plan is refused, the script ends before the first write.
unmount "$work/scripts/mnt"
before=$(sha256sum <"$work/scripts/system.img")
# shellcheck disable=SC2046
if sh "$work/install.sh" $(targets scripts) >"$work/out" 2>&1; then fail "wipe = blank allowed an installed disk"; fi
[ "$(grep -c 'FAILED' "$work/out")" = 1 ] || fail "the console says: $(cat "$work/out")"
[ "$before" = "$(sha256sum <"$work/scripts/system.img")" ] || fail "the disk has changed"
echo 'exit 0' >"$work/host.sh"
if "$agent" script --profile "$work/host.sh" --state "$work/writer" >"$work/out" 2>&1; then fail "a script has no profile"; fi
grep -q 'is a host script' "$work/out" || fail "the message is: $(cat "$work/out")"
printf 'schema = 1\n[image]\nsource = "x.tar"\n' >"$work/settings.toml"
# shellcheck disable=SC2046
"$agent" plan --source "$work/tree.tar.zst" --match index=0 --wipe any --partition name=root,size=rest,format=ext4,mount=/ --boot-loader none $(targets scripts) >/dev/null 2>&1 || fail "plan by flags"
status=0
"$agent" partition --planned --profile "$work/profile.toml" >"$work/out" 2>&1 || status=$?
[ "$status" = 2 ] && grep -q 'takes no profile' "$work/out" || fail "partition --planned with a profile: status $status: $(cat "$work/out")"
if "$agent" configure --settings "$work/settings.toml" >"$work/out" 2>&1; then fail "configure took an image"; fi
grep -q 'only \[network\] and \[configure\]' "$work/out" || fail "the message is: $(cat "$work/out")"
ok "refusals end it before the first write, with one message"
