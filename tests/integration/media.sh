#!/usr/bin/env bash
# `signet media`: what it makes is read with other tools, made without root, and a stick is written only if it may be.
set -euo pipefail
. "$(dirname "$0")/lib.bash"
needs_root
export PATH=$PATH:/sbin:/usr/sbin
signet=$top/build/out/signet
server=http://192.0.2.1/signet/
trap 'umount "$work/held" 2>/dev/null || true; losetup -j "$work/stick.img" | cut -d: -f1 | xargs -r -n1 losetup -d || true; clean_up' EXIT

# A plain user, in a directory of their own.
parts=$work/parts
mkdir -p "$parts"
cp -a "$top/build/out/"{vmlinuz,initrd.img,boot,signet} "$parts/"
mkdir "$work/mine"
chmod 755 "$work"
chown nobody "$work/mine"
plain() { (cd "$work/mine" && setpriv --reuid=nobody --regid=nogroup --clear-groups env TMPDIR="$work/mine" "$parts/signet" media "$@"); }

echo 'host = "node07"' >"$work/more.cfg"
plain iso --out disk.iso --server "$server" --local-cfg "$work/more.cfg" --append signet.debug >/dev/null
iso=$work/mine/disk.iso
[ "$(blkid -p -o value -s LABEL "$iso")" = SIGNET ] || fail "the ISO's label"
start=$(sfdisk -J "$iso" | python3 -c 'import json, sys; print([p["start"] for p in json.load(sys.stdin)["partitiontable"]["partitions"]][-1])')
mtype -i "$iso@@$((start * 512))" ::/local.cfg | grep -qx "server = \"$server\"" || fail "local.cfg on the third partition has no server"
mtype -i "$iso@@$((start * 512))" ::/local.cfg | grep -qx 'host = "node07"' || fail "local.cfg on the third partition lacks the lines of --local-cfg"
[ "$(blkid -p -O $((start * 512)) -o value -s LABEL "$iso")" = SIGNET-CFG ] || fail "the third partition's label"
xorriso -osirrox on -indev "$iso" -extract / "$work/iso" >/dev/null 2>&1
cmp "$work/iso/boot/vmlinuz" "$parts/vmlinuz"
cmp "$work/iso/boot/initrd.img" "$parts/initrd.img"
cmp "$work/iso/boot/tools/dropbear" "$parts/boot/tools/dropbear"
grep -q 'signet.medium signet.debug' "$work/iso/isolinux/isolinux.cfg" || fail "the BIOS menu's command line"
plain iso --out again.iso --server "$server" --local-cfg "$work/more.cfg" --append signet.debug >/dev/null
[ "$(stat -c %s "$iso")" = "$(stat -c %s "$work/mine/again.iso")" ] || fail "two ISOs of the same parts differ in size"
ok "a plain user makes an ISO; its label, partitions, local.cfg and command line are right"

echo extra >"$work/extra"
plain efi --out signet.efi --server "$server" --add "$work/extra:/root/extra" --console ttyS1,115200 >/dev/null
for section in cmdline initrd linux osrel; do
  read -r size offset < <(objdump -h "$work/mine/signet.efi" | awk -v name=".$section" '$2 == name { print $3, $6 }')
  tail -c "+$((16#$offset + 1))" "$work/mine/signet.efi" | head -c "$((16#$size))" >"$work/$section" || true
done
cmp "$work/linux" "$parts/vmlinuz"
[ "$(tr -d '\0' <"$work/cmdline")" = "console=ttyS1,115200" ] || fail "the unified kernel's command line is $(cat "$work/cmdline")"
(cd "$work/mine" && mkdir -p unpacked && cd unpacked && python3 - "$work/initrd" "$(stat -c %s "$parts/initrd.img")" >"$work/more.cpio" <<'PY'
import sys
data = open(sys.argv[1], "rb").read()
sys.stdout.buffer.write(data[(int(sys.argv[2]) + 3) // 4 * 4 :])
PY
  cpio --quiet -id <"$work/more.cpio")
[ "$(cat "$work/mine/unpacked/root/extra")" = extra ] || fail "the extra file is not in the initrd"
grep -qx "server = \"$server\"" "$work/mine/unpacked/etc/signet/local.cfg" || fail "local.cfg is not in the initrd"
ok "a unified kernel has kernel, command line and extra files"

# Firmware goes before the initrd, keys behind it.
openssl ecparam -name prime256v1 -genkey -noout | openssl ec -pubout -out "$work/trust.pem" 2>/dev/null
echo . | cpio --quiet -o -H newc >"$work/firmware.img" 2>/dev/null
plain pxe --out tftp --kernel "$parts/vmlinuz" --firmware "$work/firmware.img" --trust "$work/trust.pem" >/dev/null
cmp -n "$(stat -c %s "$work/firmware.img")" "$work/firmware.img" "$work/mine/tftp/initrd.img" || fail "the firmware is not in front of the initrd"
grep -aq 'BEGIN PUBLIC KEY' "$work/mine/tftp/initrd.img" || fail "the trusted key is not in the initrd"
for file in vmlinuz initrd.img lpxelinux.0 ldlinux.c32 pxelinux.cfg/default grubnetx64.efi grub.cfg snponly.efi undionly.kpxe boot.ipxe signet.efi tools/dropbear; do
  [ -s "$work/mine/tftp/$file" ] || fail "the PXE directory lacks $file"
done
ok "a PXE directory, with firmware and trusted keys"

refuses() { # STATUS MESSAGE ARGUMENT…
  local status=0 wanted=$1 message=$2
  shift 2
  "$signet" media "$@" >"$work/said" 2>&1 || status=$?
  [ "$status" = "$wanted" ] || fail "signet media $* ended with $status, not $wanted: $(cat "$work/said")"
  grep -qF -- "$message" "$work/said" || fail "signet media $* does not say \`$message\` but: $(cat "$work/said")"
}
echo 'servr = "x"' >"$work/wrong.cfg"
refuses 2 'there is no kind `floppy`' floppy --out x
refuses 2 '--out is missing' iso
refuses 2 'did you mean --server?' iso --servr x
refuses 1 'did you mean `server`?' iso --out "$work/x.iso" --local-cfg "$work/wrong.cfg"
refuses 1 'toolchain/artefacts' iso --out "$work/x.iso" --parts "$work/nowhere"
refuses 2 'write it as FILE:/path/in/the/initrd' iso --out "$work/x.iso" --add nothing
refuses 1 'there is no public key' iso --out "$work/x.iso" --trust "$work/extra"
refuses 1 'toolchain/firmware' iso --out "$work/x.iso" --firmware "$work/extra"
[ ! -e "$work/x.iso" ] || fail "a refused ISO was begun"
ok "mistakes are told, with exit status 1 or 2, and nothing is begun"

truncate -s 64M "$work/stick.img"
stick=$(losetup -f --show "$work/stick.img")
refuses 1 'is not removable' usb --to "$stick"
mkfs.ext2 -q -L OLD "$stick"
mkdir "$work/held"
mount "$stick" "$work/held"
refuses 1 'is in use' usb --to "$stick" --force --yes
umount "$work/held"
refuses 2 'say --yes' usb --to "$stick" --force </dev/null
[ "$(blkid -p -o value -s LABEL "$stick")" = OLD ] || fail "a refused stick was written"
"$signet" media usb --to "$stick" --server "$server" --force --yes >"$work/said" 2>&1 || fail "$(cat "$work/said")"
grep -q 'written and compared' "$work/said" || fail "the stick was not compared: $(cat "$work/said")"
wipefs -qa "$stick"
(cd "$work/mine" && dd if=disk.iso of="$stick" bs=4M conv=fsync status=none) # as docs/booting.md has it
cmp -n "$(stat -c %s "$iso")" "$iso" "$stick" || fail "dd has not written the ISO"
losetup -d "$stick"
[ "$(blkid -p -o value -s LABEL "$work/stick.img")" = SIGNET ] || fail "the stick does not hold what was written"
ok "a stick is written only if it is free, meant and big enough, and then compared"
