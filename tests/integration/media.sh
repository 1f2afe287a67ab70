#!/usr/bin/env bash
# `signet media`: what it makes is read with other tools, made without root, and a stick is written only if it may be.
set -euo pipefail
. "$(dirname "$0")/lib.bash"
needs_root
signet=$top/build/out/signet
server=http://192.0.2.1/signet/
trap 'umount "$work/held" 2>/dev/null || true; for held in stick first second; do losetup -j "$work/$held.img"; done | cut -d: -f1 | xargs -r -n1 losetup -d || true; clean_up' EXIT

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
cmp -n "$(stat -c %s "$parts/initrd.img")" "$work/iso/boot/initrd.img" "$parts/initrd.img"
id=$(cat "$work/iso/medium.id")
[[ $id =~ ^[0-9a-f]{32}$ ]] || fail "the medium's id is \`$id\`"
[ "$(mtype -i "$iso@@$((start * 512))" ::/medium.id)" = "$id" ] || fail "the third partition has another id"
tail -c 1000 "$work/iso/boot/initrd.img" | grep -aq "$id" || fail "the initrd does not know its medium's id"
cmp "$work/iso/boot/tools/dropbear" "$parts/boot/tools/dropbear"
grep -q 'signet.medium panic=30 signet.debug$' "$work/iso/isolinux/isolinux.cfg" || fail "the BIOS menu's command line"
grep -qx '  APPEND hd0' "$work/iso/isolinux/isolinux.cfg" || fail "a CD's menu does not start the first disk"
plain usb --out stick.img >/dev/null
xorriso -osirrox on -indev "$work/mine/stick.img" -extract /isolinux/isolinux.cfg "$work/stick.cfg" >/dev/null 2>&1
grep -qx '  APPEND hd1 swap' "$work/stick.cfg" || fail "a stick's menu does not start the second disk"
esp_of() { sfdisk -J "$1" | python3 -c 'import json, sys; print([p["start"] for p in json.load(sys.stdin)["partitiontable"]["partitions"]][-2] * 512)'; }
mtype -i "$iso@@$(esp_of "$iso")" ::/EFI/BOOT/grub.cfg >"$work/grub.cfg"
cmp "$work/grub.cfg" "$work/iso/EFI/BOOT/grub.cfg" || fail "a CD has another UEFI menu than a stick"
grub-script-check "$work/grub.cfg" || fail "the UEFI menu is not a script that GRUB reads"
id=$(sed -n 's|^search .* /boot/||p' "$work/grub.cfg")
[ -s "$work/iso/boot/$id" ] || fail "GRUB looks for /boot/$id, which the ISO lacks"
[ "$(grep -c '^menuentry' "$work/grub.cfg")" = 4 ] || fail "the UEFI menu does not have four entries"
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
[ "$(tr -d '\0' <"$work/cmdline")" = "console=ttyS1,115200 panic=30" ] || fail "the unified kernel's command line is $(cat "$work/cmdline")"
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
for file in vmlinuz initrd.img lpxelinux.0 ldlinux.c32 menu.c32 libutil.c32 pxelinux.cfg/default grubnetx64.efi grub.cfg snponly.efi undionly.kpxe boot.ipxe signet.efi tools/dropbear; do
  [ -s "$work/mine/tftp/$file" ] || fail "the PXE directory lacks $file"
done
ok "a PXE directory, with firmware and trusted keys"

grub-script-check "$work/mine/tftp/grub.cfg" || fail "the PXE menu is not a script that GRUB reads"
for entry in automatic install local rescue; do
  for file in pxelinux.cfg/default grub.cfg boot.ipxe; do grep -q "$entry" "$work/mine/tftp/$file" || fail "$file has no entry $entry"; done
done

# Signed for Secure Boot: only with keys, only a kernel that can be locked down, and the last words of the command line are ours.
openssl req -x509 -newkey rsa:2048 -nodes -sha256 -days 30 -subj /CN=test -keyout "$work/db.key" -out "$work/db.crt" 2>/dev/null
chmod 644 "$work"/db.*
python3 - "$parts/vmlinuz" "$work/vmlinuz-metal" <<'PY'
import pathlib, struct, sys
kernel = bytearray(pathlib.Path(sys.argv[1]).read_bytes())
at = 0x200 + struct.unpack_from("<H", kernel, 0x20E)[0]
kernel[at : at + 16] = b"6.12.107-metal \0"
pathlib.Path(sys.argv[2]).write_bytes(kernel)
PY
signing=(--kernel "$work/vmlinuz-metal" --trust "$work/trust.pem" --sign "$work/db.key" --cert "$work/db.crt")
plain efi --out signed.efi "${signing[@]}" --append signet.shell=yes >/dev/null
sbverify --cert "$work/db.crt" "$work/mine/signed.efi" >/dev/null 2>&1 || fail "sbverify does not accept the signature"
read -r size offset < <(objdump -h "$work/mine/signed.efi" | awk '$2 == ".cmdline" { print $3, $6 }')
line=$(dd if="$work/mine/signed.efi" bs=1 skip=$((16#$offset)) count=$((16#$size)) status=none | tr -d '\0')
[[ $line == *' signet.shell=yes lockdown=confidentiality signet.shell=no' ]] || fail "the signed command line is $line"
plain iso --out signed.iso "${signing[@]}" >/dev/null
mcopy -n -i "$work/mine/signed.iso@@$(esp_of "$work/mine/signed.iso")" ::/EFI/BOOT/BOOTX64.EFI "$work/bootx64.efi"
sbverify --cert "$work/db.crt" "$work/bootx64.efi" >/dev/null 2>&1 || fail "a signed ISO starts a program that is not signed"
ok "a signed program: sbverify accepts it, and its command line ends with lockdown and no shell"

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
refuses 2 '--sign needs --cert' efi --out "$work/x.iso" --sign "$work/db.key"
refuses 1 'without --trust' efi --out "$work/x.iso" --sign "$work/db.key" --cert "$work/db.crt"
refuses 1 'has no lockdown' efi --out "$work/x.iso" --sign "$work/db.key" --cert "$work/db.crt" --trust "$work/trust.pem"
refuses 1 'has no lockdown' iso --out "$work/x.iso" --sign "$work/db.key" --cert "$work/db.crt" --trust "$work/trust.pem"
[ ! -e "$work/x.iso" ] || fail "a refused ISO was begun"
ok "mistakes are told, with exit status 1 or 2, and nothing is begun"

# Parts of somebody else's making: a link, a FIFO, a directory or a file without end ends in one message, and nothing is read behind it.
hostile() { # MESSAGE PATH COMMAND…: COMMAND makes PATH of a copy of the parts
  local message=$1 path=$2 status=0
  shift 2
  rm -rf "$work/hostile"
  cp -a "$parts" "$work/hostile"
  rm -rf "${work:?}/hostile/$path"
  "$@" "$work/hostile/$path"
  (ulimit -v 2000000 && timeout 60 "$signet" media iso --out "$work/x.iso" --parts "$work/hostile") >"$work/said" 2>&1 || status=$?
  [ "$status" = 1 ] || fail "hostile parts ($path by $*): exit status $status: $(cat "$work/said")"
  grep -qF -- "$message" "$work/said" || fail "hostile parts ($path by $*): no \`$message\` but: $(cat "$work/said")"
  [ ! -e "$work/x.iso" ] || fail "an ISO was made of hostile parts ($path by $*)"
}
echo secret >"$work/secret"
for path in vmlinuz initrd.img boot/isolinux.bin boot/isohdpfx.bin boot/grubnetx64.efi boot/tools/dropbear; do
  hostile 'is a symbolic link' "$path" ln -s "$work/secret"
  hostile 'is not a regular file' "$path" mkfifo
  hostile 'at most' "$path" truncate -s 100G
done
hostile 'is not a regular file' vmlinuz mkdir
hostile 'is a symbolic link' boot/tools ln -s "$work"
hostile 'is a symbolic link' boot ln -s "$parts/boot"
ln -s "$parts/vmlinuz" "$work/named"
"$signet" media efi --out "$work/x.efi" --parts "$parts" --kernel "$work/named" >/dev/null || fail "a link that the admin named is refused"
ok "parts that are links, FIFOs, directories or too large are refused"

truncate -s 64M "$work/stick.img"
stick=$(losetup -f --show "$work/stick.img")
refuses 1 'is not removable' usb --to "$stick"
mkfs.ext2 -q -L OLD "$stick"
mkdir "$work/held"
mount "$stick" "$work/held"
refuses 1 'is in use' usb --to "$stick" --force --yes
umount "$work/held"
refuses 2 'use --yes' usb --to "$stick" --force </dev/null
[ "$(blkid -p -o value -s LABEL "$stick")" = OLD ] || fail "a refused stick was written"
"$signet" media usb --to "$stick" --server "$server" --force --yes >"$work/said" 2>&1 || fail "$(cat "$work/said")"
grep -q 'written and compared' "$work/said" || fail "the stick was not compared: $(cat "$work/said")"
wipefs -qa "$stick"
(cd "$work/mine" && dd if=disk.iso of="$stick" bs=4M conv=fsync status=none) # as docs/booting.md has it
cmp -n "$(stat -c %s "$iso")" "$iso" "$stick" || fail "dd has not written the ISO"
losetup -d "$stick"
[ "$(blkid -p -o value -s LABEL "$work/stick.img")" = SIGNET ] || fail "the stick does not hold what was written"
ok "a stick is written only if it is free, meant and big enough, and then compared"

# What was described is what is written: while the question waits, the name in /dev becomes another stick's. A person at a terminal answers.
truncate -s 64M "$work/first.img" "$work/second.img"
first=$(losetup -f --show "$work/first.img")
second=$(losetup -f --show "$work/second.img")
mknod "$work/stick" b $((0x$(stat -c %t "$first"))) $((0x$(stat -c %T "$first")))
python3 - "$signet" "$work/stick" "$first" "$second" >"$work/said" 2>&1 <<'PY' || fail "$(cat "$work/said")"
import os, pexpect, sys
signet, stick, first, second = sys.argv[1:]
child = pexpect.spawn(signet, ["media", "usb", "--to", stick, "--force"], timeout=200)
child.expect("Type yes: ")
try:
    os.close(os.open(first, os.O_RDWR | os.O_EXCL))
    sys.exit("the stick is not held while the question waits")
except OSError:
    pass
os.unlink(stick)
os.mknod(stick, 0o600 | 0o060000, os.stat(second).st_rdev)
child.sendline("yes")
child.expect("written and compared")
child.expect(pexpect.EOF)
child.close()
sys.exit(child.exitstatus)
PY
[ "$(blkid -p -o value -s LABEL "$work/first.img")" = SIGNET ] || fail "the stick that was described was not written"
cmp -s "$work/second.img" <(head -c 64M /dev/zero) || fail "another stick was written than was described"
# It shrinks while the question waits: then it is another thing.
python3 - "$signet" "$first" "$work/first.img" >"$work/said" 2>&1 <<'PY' || fail "$(cat "$work/said")"
import os, pexpect, subprocess, sys
signet, stick, file = sys.argv[1:]
child = pexpect.spawn(signet, ["media", "usb", "--to", stick, "--force"], timeout=200)
child.expect("Type yes: ")
os.truncate(file, 48 << 20)
subprocess.run(["losetup", "--set-capacity", stick], check=True)
child.sendline("yes")
child.expect("its size is not what it was")
child.expect(pexpect.EOF)
child.close()
sys.exit(child.exitstatus != 1)
PY
losetup -d "$first" "$second"
ok "the stick that was described is the stick that is written"
