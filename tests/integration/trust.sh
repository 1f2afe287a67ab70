#!/usr/bin/env bash
# Trusted keys: what the signed manifest lists is used, everything else is refused before the first write. openssl judges the signatures, nginx serves.
set -euo pipefail
. "$(dirname "$0")/lib.bash"
signet=${SIGNET_ADMIN:-$top/build/out/signet}

port=$((20000 + RANDOM % 20000))
tree=$work/tree
mkdir -p "$tree"/{hosts,groups,scripts,images,keys} "$work/system/bin"
chmod 755 "$work"
: >"$work/system/bin/sh"
tar -C "$work/system" -cf "$tree/images/tree.tar" .
cat >"$tree/groups/all.toml" <<'TOML'
[[disk]]
wipe = "blank"
partition = [{ name = "root", size = "rest", format = "ext4", mount = "/" }]
[configure]
boot_loader = "none"
[hooks]
pre_install = ["../scripts/hook.sh"]
TOML
printf 'schema = 1\nextends = ["../groups/all.toml"]\n[image]\nsource = "../images/tree.tar"\n' >"$tree/hosts/default.toml"
printf 'schema = 1\nextends = ["../groups/all.toml"]\n[image]\nsource = "../images/tree.tar"\n[network]\nhostname = "db.example.org"\n' >"$tree/hosts/db.toml"
echo 'true' >"$tree/scripts/hook.sh"
truncate -s 100M "$work/disk.img"
before=$(sha256sum <"$work/disk.img")

cat >"$work/nginx.conf" <<CONF
daemon off; pid $work/nginx.pid; error_log $work/nginx.log;
events {}
http { access_log off; client_body_temp_path $work/t1; proxy_temp_path $work/t2; fastcgi_temp_path $work/t3; uwsgi_temp_path $work/t4; scgi_temp_path $work/t5;
  server { listen 127.0.0.1:$port; root $tree; } }
CONF
PATH=$PATH:/usr/sbin nginx -c "$work/nginx.conf" 2>/dev/null &
nginx=$!
trap 'kill "$nginx" 2>/dev/null || true; clean_up' EXIT
for _ in $(seq 100); do
  if (exec 3<>"/dev/tcp/127.0.0.1/$port") 2>/dev/null; then break; fi
  sleep 0.1
done
server=http://127.0.0.1:$port/

# Keys and signatures of ours are openssl's, and the other way round.
"$signet" key new --out "$work/one" >/dev/null
[ "$(stat -c %a "$work/one")" = 600 ] || fail "the private key is readable by others"
if "$signet" key new --out "$work/one" 2>"$work/out"; then fail "a key was overwritten"; fi
grep -q 'exists; a key is never overwritten' "$work/out" || fail "$(cat "$work/out")"
openssl ec -in "$work/one" -text -noout 2>/dev/null | grep -q prime256v1 || fail "openssl does not read the key as P-256"
openssl ec -in "$work/one" -pubout 2>/dev/null | cmp - "$work/one.pub"
openssl ecparam -name prime256v1 -genkey -noout -out "$work/two"
openssl ec -in "$work/two" -pubout -out "$work/two.pub" 2>/dev/null
{ echo "# keys of this site"; cat "$work/one.pub" "$work/two.pub"; } >"$work/trust.pem"
sign() { "$signet" tree sign "$tree" --key "$work/one" "$@" >"$work/said" 2>&1 || fail "tree sign: $(cat "$work/said")"; }
sign
openssl dgst -sha256 -verify "$work/one.pub" -signature "$tree/manifest.toml.sig" "$tree/manifest.toml" >/dev/null || fail "openssl refuses our signature"
python3 - "$tree" <<'PY' || fail "the manifest is not the TOML that it says it is"
import hashlib, pathlib, sys, tomllib
tree = pathlib.Path(sys.argv[1])
manifest = tomllib.loads((tree / "manifest.toml").read_text())
assert manifest["schema"] == 1 and manifest["serial"] > 1_700_000_000, manifest
listed = {path: (entry["sha256"], entry["size"]) for path, entry in manifest["files"].items()}
there = {str(p.relative_to(tree)): (hashlib.sha256(p.read_bytes()).hexdigest(), p.stat().st_size) for p in tree.rglob("*") if p.is_file() and not p.name.startswith("manifest.toml")}
assert listed == there, (listed, there)
PY
"$signet" tree verify "$tree" --trust "$work/trust.pem" >"$work/out" || fail "$(cat "$work/out")"
openssl dgst -sha256 -sign "$work/two" -out "$tree/manifest.toml.sig" "$tree/manifest.toml"
"$signet" tree verify "$tree" --trust "$work/trust.pem" >"$work/out" || fail "a signature of openssl: $(cat "$work/out")"
ok "openssl reads our keys and checks our signatures, and we check its"

status() { local wanted=$1 message=$2 status=0; shift 2; "$@" >"$work/out" 2>&1 || status=$?; [ "$status" = "$wanted" ] && grep -qF -- "$message" "$work/out" || fail "$*: status $status, $(cat "$work/out")"; }
run() { "$agent" plan --server "$server" --target "$work/disk.img" --state "$work/state" --trust "$work/trust.pem" "$@" >"$work/out" 2>&1; }
refused() { # NAME MESSAGE [OPTION…]
  local name=$1 message=$2
  shift 2
  if run "$@"; then fail "$name: not refused"; fi
  grep -qE "$message" "$work/out" || fail "$name: the message is $(cat "$work/out")"
  [ "$(grep -c 'FAILED' "$work/out")" = 1 ] || fail "$name: not one message: $(cat "$work/out")"
  [ "$before" = "$(sha256sum <"$work/disk.img")" ] || fail "$name: the disk has changed"
}
run --host node01 || fail "all is listed, signed by the second key: $(cat "$work/out")"
status 1 'the last manifest cannot be trusted' "$signet" tree sign "$tree" --key "$work/one"
sign --trust "$work/two.pub"
run --host node01 || fail "signed by the first key: $(cat "$work/out")"
ok "a profile, what it extends, its hook and its image are used as the manifest lists them, by either key"

base64 "$tree/manifest.toml.sig" >"$work/text" && cp "$work/text" "$tree/manifest.toml.sig"
run --host node01 || fail "a signature in base64: $(cat "$work/out")"
for signature in '' 'x' '\x30\x82\xff\xff\x02\x01'; do
  printf "$signature" >"$tree/manifest.toml.sig"
  refused "the signature '$signature'" 'manifest.toml: its signature is not by a key' --host node01
done
head -c 100000 /dev/urandom >"$tree/manifest.toml.sig"
refused "a long signature" 'manifest.toml.sig' --host node01
rm "$tree/manifest.toml.sig"
refused "no signature" 'is not signed: there is no .*manifest.toml.sig' --host node01
openssl ecparam -name prime256v1 -genkey -noout -out "$work/stranger"
openssl dgst -sha256 -sign "$work/stranger" -out "$tree/manifest.toml.sig" "$tree/manifest.toml"
refused "a stranger's key" 'manifest.toml: its signature is not by a key' --host node01
ok "what is not a signature by a trusted key is refused"

# Nor does it get one by being there when the tree is signed the next time.
status 1 'the last manifest cannot be trusted' "$signet" tree sign "$tree" --key "$work/one"
rm "$tree/manifest.toml"*
sign
sed -i 's/^serial = .*/serial = 18446744073709551614/' "$tree/manifest.toml"
status 1 'the last manifest cannot be trusted' "$signet" tree sign "$tree" --key "$work/one"
rm "$tree/manifest.toml"*
sign
ok "a last manifest that somebody has changed is not signed over"
cp -r "$tree" "$work/old"
sleep 1
echo 'true # changed' >"$tree/scripts/hook.sh"
refused "a hook that has changed" 'hook.sh: it is not the file that the signed manifest lists' --host node01
sign
grep -qx '~ scripts/hook.sh' "$work/said" || fail "tree sign does not say what has changed: $(cat "$work/said")"
run --host node01 || fail "signed again: $(cat "$work/out")"
cp "$work/old/manifest.toml"* "$tree/"
cp "$work/old/scripts/hook.sh" "$tree/scripts/"
refused "last week's tree, whole and signed" 'its serial [0-9]+ is older than' --host node01
rm -rf "$work/state"
run --host node01 || fail "a node that has seen no other: $(cat "$work/out")"
sign
cp "$tree/scripts/hook.sh" "$tree/hosts/node02.sh"
refused "a hook served as a host script, not listed" 'FAILED' --profile "${server}hosts/node02.sh"
grep -q 'not listed in the signed manifest' "$work/out" || fail "$(cat "$work/out")"
rm "$tree/hosts/node02.sh"
refused "a listed hook as a host script" 'scripts/hook.sh is a hook, so it cannot be a host profile' --profile "${server}scripts/hook.sh"
mv "$tree/hosts/db.toml" "$work/db.toml"
refused "a host's own profile held back" 'hosts/db.toml: the signed manifest lists it, but the server does not have it' --host db
mv "$work/db.toml" "$tree/hosts/db.toml"
sign --hosts 'hosts/db.toml=db[01-04] db'
run --host db || fail "for this host: $(cat "$work/out")"
refused "another host's profile" 'hosts/db.toml is not for this host' --host node01 --profile "${server}hosts/db.toml"
sign
grep -q 'hosts = \["db\[01-04\]", "db"\]' "$tree/manifest.toml" || fail "the next signature has lost the hosts"
refused "a file beside the tree" 'outside of the signed tree' --host node01 --profile "$tree/hosts/default.toml"
faketime=$(printf 'schema = 1\nserial = 9999999999\nexpires = 2020-01-01T00:00:00Z\n[files]\n')
echo "$faketime" >"$tree/manifest.toml"
openssl dgst -sha256 -sign "$work/one" -out "$tree/manifest.toml.sig" "$tree/manifest.toml"
refused "a date that has passed" 'it expired on 2020-01-01T00:00:00Z' --host node01
printf 'schema = 1\nserial = 1\n' >"$tree/manifest.toml"
openssl dgst -sha256 -sign "$work/one" -out "$tree/manifest.toml.sig" "$tree/manifest.toml"
refused "no manifest, but signed" 'expires is missing' --host node01
rm "$tree/manifest.toml"*
sign
ok "replays, other purposes, other hosts, what is held back, outside or out of date: each is refused, and nothing is written"

# Images: the manifest's digest counts; the profile may repeat it.
sed -i "s|^source.*|&\nsha256 = \"$(sha256sum "$tree/images/tree.tar" | cut -d' ' -f1 | tr a-f A-F)\"|" "$tree/hosts/default.toml"
sign
run --host node01 || fail "the right digest in upper case: $(cat "$work/out")"
sed -i "s|^sha256.*|sha256 = \"$(printf '%064d' 0)\"|" "$tree/hosts/default.toml"
sign
refused "another digest in the profile" 'the signed manifest has the SHA-256 .* but the profile says 0000' --host node01
sed -i '/^sha256/d' "$tree/hosts/default.toml"
sign
pull() { "$agent" pull --trust "$work/trust.pem" --root "$(mktemp -d "$work/root.XXXX")" --state "$work/other" "$@" >"$work/out" 2>&1; }
pull --source "${server}images/tree.tar" || fail "pull by the manifest: $(cat "$work/out")"
if pull --source "${server}images/tree.tar" --sha256 "$(printf '%064d' 0)"; then fail "pull took another digest"; fi
printf 'x' | dd of="$tree/images/tree.tar" bs=1 seek=10200 conv=notrunc status=none
if pull --source "${server}images/tree.tar"; then fail "pull took an image that has changed"; fi
grep -q 'SHA-256' "$work/out" || fail "$(cat "$work/out")"
if "$signet" tree verify "$tree" --trust "$work/trust.pem" >"$work/out" 2>&1; then fail "tree verify took an image that has changed"; fi
grep -q 'images/tree.tar is not the file that was signed' "$work/out" || fail "$(cat "$work/out")"
ok "an image is what the manifest says it is"

# A list of keys or a digest that is empty must not mean that anything goes.
plan=("$agent" plan --server "$server" --target "$work/disk.img" --state "$work/state")
status 2 '--trust is empty' "${plan[@]}" --trust ''
status 1 'none.pem: No such file' "${plan[@]}" --trust "$work/none.pem"
status 1 'there is no public key' "${plan[@]}" --trust "$tree/scripts/hook.sh"
openssl genrsa 2048 2>/dev/null | openssl rsa -pubout -out "$work/rsa.pub" 2>/dev/null
status 1 'not one of an elliptic curve' "${plan[@]}" --trust "$work/rsa.pub"
status 2 '--sha256: the SHA-256 digest is empty' "$agent" pull --source "$tree/images/tree.tar" --sha256 '' --root "$work" --state "$work/other"
status 2 'is not a host name' "${plan[@]}" --host 'a b'
status 2 '--key is missing' "$signet" tree sign "$tree"
status 2 'is not a time such as' "$signet" tree sign "$tree" --key "$work/one" --expires soon
status 2 'there is no such file in the tree' "$signet" tree sign "$tree" --key "$work/one" --hosts 'hosts/none.toml=x'
status 1 'not the private key' "$signet" tree sign "$tree" --key "$work/one.pub"
status 2 'there is no action `nwe`' "$signet" key nwe
ok "keys, digests and names that are empty or wrong are errors"
