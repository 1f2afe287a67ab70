#!/usr/bin/env bash
# A real Debian 13 made this host's own on an image file; its own tools judge what was written, and GRUB's what it made bootable.
set -euo pipefail
. "$(dirname "$0")/lib.bash"
needs_root

image=$("$top/qemu/image")/debian-13.tar.zst
sha256=$(cut -d' ' -f1 "$image.sha256")
disk=$work/disk.img state=$work/state root=$work/root
truncate -s 2G "$disk"
hash='$6$signetdemo$UBjCsWjouze8FZverZ0CyNT1cY6vFMBA1r7LmAP0ZTFbbubwc2N9Ror6iGMOdcUkV9YY0uLLG0dj0UWt41jcB0'
key='ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIPq6hX0oD5Zc0pDgr1Q4rYyP4n1iS4sUdwq6w8T7J6mW ops@example.org'
cat >"$work/profile.toml" <<TOML
schema = 1
[image]
source = "$image"
sha256 = "$sha256"
[[disk]]
wipe = "blank"
partition = [
  { name = "bios", size = "1MiB", type = "bios" },
  { name = "swap", size = "64MiB", format = "swap" },
  { name = "root", size = "rest", format = "ext4", mount = "/" },
]
[network]
hostname = "node01.example.org"
[[network.interface]]
name = "ens3"
dhcp = false
addresses = ["192.0.2.5/24", "2001:db8::5/64"]
gateway = "192.0.2.1"
dns = ["192.0.2.53"]
mtu = 1400
[[network.interface]]
match = "02:00:00:00:00:99"
[configure]
timezone = "Europe/Berlin"
locale = "de_DE.UTF-8"
keyboard = "de"
kernel_args = "console=ttyS0,115200 quiet"
ssh_keys = ["$key"]
root_password = '$hash'
[[configure.users]]
name = "ops"
password = '$hash'
groups = ["adm", "users"]
ssh_keys = ["$key"]
sudo = true
[[configure.users]]
name = "deploy"
shell = "/bin/sh"
sudo = true
TOML

run() { "$agent" "$@" --state "$state" >"$work/out" 2>&1 || fail "signet-agent $*: $(cat "$work/out")"; }
inside() { chroot "$root" /usr/bin/env -i PATH=/usr/sbin:/usr/bin LC_ALL=C "$@"; }
is() { [ "$1" = "$2" ] || fail "$3 is \`$1\`, not \`$2\`"; }

run plan --profile "$work/profile.toml" --target "$disk"
run partition --profile "$work/profile.toml" --target "$disk"
run format
run mount --root "$root"
run pull --root "$root"

# The golden machine's past, which must not become this machine's.
mkdir -p "$root/var/lib/dhcpcd" "$root/var/lib/dbus"
for path in var/lib/dhcpcd/duid var/lib/dhcpcd/eth0.lease var/lib/systemd/random-seed var/lib/systemd/credential.secret etc/ssh/ssh_host_rsa_key var/lib/dbus/machine-id; do
  echo golden >"$root/$path"
done
printf '%s\n' 'UUID=golden / ext4 defaults 0 1' '/dev/sdb1 /data ext4 defaults 0 2' 'server:/home /home nfs defaults 0 0' 'tmpfs /tmp tmpfs size=1G 0 0' >"$root/etc/fstab"
sed -i 's/^GRUB_CMDLINE_LINUX=.*/GRUB_CMDLINE_LINUX="net.ifnames=0"/' "$root/etc/default/grub"
run configure --root "$root"

is "$(cat "$root/etc/hostname")" node01 "the host name"
is "$(inside getent -s files hosts node01.example.org | tr -s ' ')" "127.0.1.1 node01.example.org node01" "what getent says of the host"
ok "names"

findmnt --verify --tab-file "$root/etc/fstab" 2>&1 | grep -q 'parse error' && fail "findmnt cannot parse fstab"
is "$(awk '!/^#/ { print $2 }' "$root/etc/fstab" | tr '\n' ' ')" "/ none /home /tmp " "what fstab mounts"
is "$(awk '$2 == "/" { print $1 }' "$root/etc/fstab")" "UUID=$(findmnt -nro UUID "$root")" "the root's UUID in fstab"
ok "fstab: the planned file systems by UUID, what needs no disk is kept, the golden machine's disks are gone"

for path in var/lib/dhcpcd/duid var/lib/dhcpcd/eth0.lease var/lib/systemd/random-seed var/lib/systemd/credential.secret; do
  [ ! -e "$root/$path" ] || fail "$path of the golden machine is still there"
done
grep -Eq '^[0-9a-f]{12}4[0-9a-f]{3}[89ab][0-9a-f]{15}$' "$root/etc/machine-id" || fail "machine-id: $(cat "$root/etc/machine-id")"
cmp "$root/etc/machine-id" "$root/var/lib/dbus/machine-id" || fail "D-Bus has another machine-id"
for kind in rsa ecdsa ed25519; do
  inside ssh-keygen -l -f "/etc/ssh/ssh_host_${kind}_key" | grep -qi "($kind)" || fail "no $kind host key"
  is "$(stat -c '%a %u' "$root/etc/ssh/ssh_host_${kind}_key")" "600 0" "the mode of the $kind host key"
  inside ssh-keygen -y -f "/etc/ssh/ssh_host_${kind}_key" | cut -d' ' -f1,2 | cmp -s - <(cut -d' ' -f1,2 "$root/etc/ssh/ssh_host_${kind}_key.pub") || fail "the $kind keys are no pair"
done
ok "identity: nothing of the golden machine's, a fresh machine-id and SSH host keys"

inside pwck -r -q || fail "pwck finds fault"
inside grpck -r || fail "grpck finds fault"
is "$(inside getent passwd ops)" "ops:x:1000:1000::/home/ops:/bin/bash" "ops"
is "$(inside getent passwd deploy)" "deploy:x:1001:1001::/home/deploy:/bin/sh" "deploy"
is "$(inside getent shadow ops | cut -d: -f2)" "$hash" "the password of ops"
is "$(inside getent shadow deploy | cut -d: -f2)" '!' "the password of deploy"
is "$(inside getent shadow root | cut -d: -f2)" "$hash" "the password of root"
is "$(inside id -Gn ops | tr ' ' '\n' | sort | tr '\n' ' ')" "adm ops sudo users " "the groups of ops"
is "$(stat -c '%a %u:%g' "$root/etc/shadow" "$root/etc/gshadow" "$root/etc/passwd" | tr '\n' ' ')" "640 0:42 640 0:42 644 0:0 " "modes of the tables"
is "$(stat -c '%a %u:%g' "$root/home/ops" "$root/home/ops/.ssh" "$root/home/ops/.ssh/authorized_keys" "$root/home/ops/.bashrc" | tr '\n' ' ')" \
  "700 1000:1000 700 1000:1000 600 1000:1000 644 1000:1000 " "the home of ops"
is "$(stat -c '%a %u:%g' "$root/root/.ssh/authorized_keys")" "600 0:0" "root's keys"
cmp "$root/etc/skel/.bashrc" "$root/home/ops/.bashrc"
inside visudo -cq || fail "visudo finds fault: $(inside visudo -c 2>&1)"
inside sudo -l -U ops 2>/dev/null | grep -q '(ALL : ALL) ALL' || fail "ops may not sudo: $(inside sudo -l -U ops)"
inside sudo -l -U deploy 2>/dev/null | grep -q 'NOPASSWD: ALL' || fail "deploy may not sudo: $(inside sudo -l -U deploy)"
is "$(cat "$root/etc/subuid" | tr '\n' ' ')" "ops:100000:65536 deploy:165536:65536 " "subuid"
ok "users: pwck, grpck, getent, id, visudo and sudo agree"

is "$(inside date -d @0 +%z)" +0100 "the time zone"
is "$(cat "$root/etc/timezone")" Europe/Berlin "timezone"
is "$(inside env LC_ALL=de_DE.UTF-8 date -d @0 +%A)" Donnerstag "the day in German"
grep -qx 'LANG=de_DE.UTF-8' "$root/etc/locale.conf" || fail "locale.conf: $(cat "$root/etc/locale.conf")"
[ -L "$root/etc/default/locale" ] || fail "the link default/locale was replaced"
grep -qx 'XKBLAYOUT="de"' "$root/etc/default/keyboard" || fail "keyboard: $(cat "$root/etc/default/keyboard")"
ok "time zone, locale, keyboard"

# ifupdown itself, in a network namespace that has the links.
cat >"$work/links" <<'SH'
set -e
ip link add ens3 type veth peer name other
ip link set other address 02:00:00:00:00:99
mount -t sysfs none "$1/sys"
mount -t tmpfs none "$1/run"
chroot "$1" /usr/sbin/ifquery --list | sort | tr '\n' ' '
echo
chroot "$1" /usr/sbin/ifquery ens3
chroot "$1" /usr/sbin/ifup --no-act --verbose --force -a 2>&1
SH
unshare --net --mount bash "$work/links" "$root" >"$work/out" || fail "ifupdown: $(cat "$work/out")"
is "$(head -n 1 "$work/out")" "ens3 lo other " "what ifupdown brings up"
for line in 'address: 192.0.2.5' 'gateway: 192.0.2.1' 'address: 2001:db8::5'; do
  grep -Eq "^$line(/[0-9]+)?$" "$work/out" || fail "ifupdown has no $line: $(cat "$work/out")"
done
grep -q 'ip addr add 192.0.2.5/255.255.255.0.*dev ens3' "$work/out" || fail "ens3 gets no address: $(cat "$work/out")"
grep -Eq 'dhc.* other' "$work/out" || fail "the link with that MAC address gets no DHCP: $(cat "$work/out")"
is "$(grep -v '^#' "$root/etc/resolv.conf" | tr '\n' ' ')" "search example.org nameserver 192.0.2.53 " "resolv.conf"
ok "network: ifupdown reads what was meant"

# A second run changes nothing but what is made fresh.
manifest() { (cd "$root" && find etc home root -type f ! -name 'ssh_host_*' ! -name machine-id -exec sha256sum {} + | sort -k2); }
manifest >"$work/first"
cp "$root/etc/machine-id" "$root/etc/ssh/ssh_host_ed25519_key.pub" "$work"
run configure --root "$root"
manifest | diff "$work/first" - || fail "a second configure changes files"
cmp -s "$work/machine-id" "$root/etc/machine-id" && fail "machine-id is not fresh"
cmp -s "$work/ssh_host_ed25519_key.pub" "$root/etc/ssh/ssh_host_ed25519_key.pub" && fail "host keys are not fresh"
[ "$(awk -v root="$root/" 'index($2, root) == 1' /proc/mounts | wc -l)" = 0 ] || fail "configure has left something mounted"
ok "a second configure changes only what is made fresh"

# GRUB on the image file.
ls /dev/disk/by-uuid >"$work/links-before" 2>/dev/null || :
closed "$disk"
mkdir "$work/look"
uuid=$(findmnt -nro UUID "$root")
run finish --root "$root" --on-success poweroff
[ -z "$(losetup -j "$disk")" ] || fail "a loop device is left"
ls /dev/disk/by-uuid 2>/dev/null | diff "$work/links-before" - || fail "finish has left a link in /dev/disk/by-uuid"
[ "$(od -An -tx1 -j31 -N6 "$disk" | tr -d ' ')" != cd18fbf4ebfc ] || fail "the boot code is still Signet's own"
strings -n 4 <(head -c 440 "$disk") | grep -qx 'GRUB ' || fail "there is no boot code of GRUB's"
start=$(sfdisk --json "$disk" | tr -d ' ,\n' | sed 's/.*"start":\([0-9]*\)"size":[0-9]*"type":"0FC63DAF.*/\1/')
mount_image "$disk" "$work/look" "ro,offset=$((start * 512))"
chroot "$work/look" /usr/bin/grub-script-check /boot/grub/grub.cfg || fail "grub.cfg has errors"
grep -q "linux.*root=UUID=$uuid ro net.ifnames=0 console=ttyS0,115200 quiet" "$work/look/boot/grub/grub.cfg" || fail "grub.cfg: $(grep linux "$work/look/boot/grub/grub.cfg")"
[ -e "$work/look/boot/grub/i386-pc/core.img" ] || fail "there is no core.img"
unmount "$work/look"
ok "GRUB: installed on an image file, root by UUID, the image's kernel arguments kept"
