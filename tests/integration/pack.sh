#!/usr/bin/env bash
# The packer: the same bytes again, what is in the archive, what it refuses.
set -euo pipefail
. "$(dirname "$0")/lib.bash"

"$top/initrd/pack" --quiet --out "$work/one"
(cd / && umask 077 && TZ=Asia/Tokyo "$top/initrd/pack" --quiet --out "$work/two")
cmp "$work/one" "$work/two" || fail "two runs of the packer differ"
cmp "$work/one" "$top/build/out/initrd.img" || fail "build/out/initrd.img is not what the packer makes now"
ok "two runs give the same bytes"

xz -dc "$work/one" | cpio --quiet -tv >"$work/list"
grep -q '^-rwxr-xr-x .* root .* usr/bin/signet-agent$' "$work/list" || fail "no agent in the initrd"
grep -q 'init -> bin/busybox' "$work/list" || fail "no /init"
[ "$(awk '$1 ~ /^-/' "$work/list" | wc -l)" = "$(grep -c '^file' "$top/initrd/manifest" | awk '{print $1 - 1}')" ] || fail "files beside the manifest's: $(cat "$work/list")"
ok "the archive has the manifest's files and no other"

echo pem >"$work/ca"
"$top/initrd/pack" --quiet --ca-bundle "$work/ca" --add "$work/ca:/root/a/file" --out "$work/more"
xz -dc "$work/more" | cpio --quiet -t >"$work/list"
grep -qx etc/ssl/certs/ca-certificates.crt "$work/list" && grep -qx root/a/file "$work/list" || fail "additions are missing"
ok "a CA bundle and other files are added"

head -c 2000000 /dev/urandom >"$work/large"
if "$top/initrd/pack" --quiet --agent "$work/large" --out "$work/floppy" 2>"$work/err"; then fail "an initrd larger than a floppy was accepted"; fi
grep -q 'more than one floppy' "$work/err" || fail "the message is: $(cat "$work/err")"
[ ! -e "$work/floppy" ] || fail "a file was left"
ok "more than a floppy is refused"
