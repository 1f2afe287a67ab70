#!/usr/bin/env bash
# Trusted keys: what openssl has signed is used, everything else is refused before the first write.
set -euo pipefail
. "$(dirname "$0")/lib.bash"

tree=$work/tree
mkdir -p "$tree/bin"
: >"$tree/bin/sh"
tar -C "$tree" -cf "$work/tree.tar" .
cat >"$work/group.toml" <<'TOML'
[[disk]]
wipe = "blank"
partition = [{ name = "root", size = "rest", format = "ext4", mount = "/" }]
[configure]
boot_loader = "none"
[hooks]
pre_install = ["hook.sh"]
TOML
cat >"$work/profile.toml" <<TOML
schema = 1
extends = ["group.toml"]
[image]
source = "tree.tar"
sha256 = "$(sha256sum "$work/tree.tar" | cut -d' ' -f1)"
TOML
echo 'true' >"$work/hook.sh"
truncate -s 100M "$work/disk.img"
before=$(sha256sum <"$work/disk.img")

for name in one two; do
  openssl ecparam -name prime256v1 -genkey -noout -out "$work/$name.pem"
  openssl ec -in "$work/$name.pem" -pubout -out "$work/$name.pub" 2>/dev/null
done
{ echo "# keys of this site"; cat "$work/one.pub" "$work/two.pub"; } >"$work/trust.pem"
sign() { openssl dgst -sha256 -sign "$work/$1.pem" -out "$work/$2.sig" "$work/$2"; }
plan() { "$agent" plan --profile "$work/profile.toml" --target "$work/disk.img" --state "$work/state" --trust "${trust:-$work/trust.pem}" >"$work/out" 2>&1; }
refused() {
  if plan; then fail "$1: not refused"; fi
  grep -q "$2" "$work/out" || fail "$1: the message is $(cat "$work/out")"
  [ "$(grep -c 'FAILED' "$work/out")" = 1 ] || fail "$1: not one message: $(cat "$work/out")"
  [ "$before" = "$(sha256sum <"$work/disk.img")" ] || fail "$1: the disk has changed"
}

refused "nothing is signed" 'profile.toml is not signed: there is no .*profile.toml.sig'
sign one profile.toml
refused "what it extends is not signed" 'group.toml is not signed'
sign two group.toml
refused "a hook is not signed" 'hook.sh is not signed'
sign one hook.sh
plan || fail "all is signed, by two keys: $(cat "$work/out")"
ok "signed by keys of the file, a profile, what it extends and its hooks are used"

base64 "$work/hook.sh.sig" >"$work/text" && mv "$work/text" "$work/hook.sh.sig"
plan || fail "a signature in base64: $(cat "$work/out")"
ok "a signature may be base64"

echo 'false' >>"$work/hook.sh"
refused "a hook that has changed" 'hook.sh: its signature is not by a key that this initrd trusts'
sign one hook.sh
trust=$work/one.pub refused "a key that is not trusted" 'group.toml: its signature is not'
: >"$work/hook.sh.sig"
refused "an empty signature" 'hook.sh: its signature is not'
head -c 100000 /dev/urandom >"$work/hook.sh.sig"
refused "a long signature" 'hook.sh: its signature is not'
printf '\x30\x82\xff\xff\x02\x01' >"$work/hook.sh.sig"
refused "a signature that ends early" 'hook.sh: its signature is not'
sign one hook.sh
sed -i '/^sha256/d' "$work/profile.toml"
sign one profile.toml
refused "an image without a digest" 'nobody has signed for it'
mkdir "$work/root"
if "$agent" pull --source "$work/tree.tar" --trust "$work/trust.pem" --root "$work/root" --state "$work/other" >"$work/out" 2>&1; then fail "pull took an image without a digest"; fi
grep -q 'nobody has signed for it' "$work/out" || fail "pull: the message is $(cat "$work/out")"
"$agent" pull --source "$work/tree.tar" --sha256 "$(sha256sum "$work/tree.tar" | cut -d' ' -f1)" --trust "$work/trust.pem" --root "$work/root" --state "$work/other" >"$work/out" 2>&1 || fail "$(cat "$work/out")"
ok "what has changed, is by another key, or is no signature at all is refused, and nothing is written"

# A list of keys that cannot be read must not mean that anything goes.
trust=$work/none.pem refused "no such file" 'none.pem: No such file'
trust=$work/hook.sh refused "a file without a key" 'there is no public key'
openssl genrsa 2048 2>/dev/null | openssl rsa -pubout -out "$work/rsa.pub" 2>/dev/null
trust=$work/rsa.pub refused "a key of another kind" 'not one of an elliptic curve'
ok "keys that cannot be used are an error"
