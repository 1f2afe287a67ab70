#!/usr/bin/env bash
# Trees with everything in them, unpacked by the agent and by GNU tar, compared to the last attribute.
set -euo pipefail
. "$(dirname "$0")/lib.bash"
needs_root

truncate -s 512M "$work/fs.img"
"$agent" format --type ext4 --path "$work/fs.img" --state "$work/state"
mount_image "$work/fs.img" "$work/fs"
cd "$work/fs"

mkdir -p from/{dir,sticky,set,deep/er/est}
echo text >from/dir/file
ln from/dir/file from/dir/hard
ln from/dir/file "from/deep/er/other hard"
ln -s ../dir/file from/deep/soft
ln -s /absolute/nowhere from/deep/dangling
mknod from/dir/null c 1 3
mknod from/dir/block b 8 1
mkfifo from/dir/fifo
truncate -s 20M from/dir/sparse
printf middle | dd of=from/dir/sparse bs=1 seek=$((9 << 20)) conv=notrunc status=none
: >from/dir/empty
touch "from/dir/new
line" "from/dir/grüße" "from/dir/$(printf 'x%.0s' $(seq 200))" "from/dir/ blank " "from/dir/-dash"
printf 'not utf-8' >"from/dir/$(printf 'b\377d')"
chown 1234:5678 from/dir/file
chown 3000000000:3000000001 from/dir/empty
cp /bin/true from/dir/suid
chown 99:98 from/dir/suid
chmod 6755 from/dir/suid
chmod 1777 from/sticky
chmod 2750 from/set
chmod 0 from/dir/empty
cp /bin/true from/dir/capable
setcap cap_net_raw+ep from/dir/capable
setfattr -n user.note -v hello from/dir/file
setfacl -m u:4321:rwx,g:4322:r from/dir/suid
setfacl -d -m u:4321:rwx from/set
head -c 5000000 /dev/urandom >from/dir/big
touch -d '1999-12-31 23:59:59.123456789' from/dir/big from/deep/er
touch -h -d '2001-02-03 04:05:06' from/deep/soft

# Every attribute of every member, times of links and directories too.
manifest() {
  (cd "$1" && find . -printf '%P|%y|%m|%U|%G|%s|%T@|%l|%n|%b\n' | sort
    getfattr -R -h -d -m - . 2>/dev/null | sort
    find . -type f -print0 | sort -z | xargs -0 sha256sum
    find . -type b -o -type c | sort | xargs stat -c '%n %t:%T')
}

tar --format=pax --xattrs --xattrs-include='*' --acls --sparse -C from -cf "$work/plain.tar" .
zstd -q -c "$work/plain.tar" >"$work/image.tar.zst"
gzip -c "$work/plain.tar" >"$work/image.tar.gz"
xz -T1 -0 -c "$work/plain.tar" >"$work/image.tar.xz"
cp "$work/plain.tar" "$work/image.tar"
mkdir theirs
tar --xattrs --xattrs-include='*' --acls --numeric-owner -C theirs -xpf "$work/plain.tar"
manifest theirs >"$work/theirs"
for kind in tar tar.zst tar.gz tar.xz; do
  rm -rf ours
  mkdir ours
  "$agent" pull --source "$work/image.$kind" --sha256 "$(sha256sum "$work/image.$kind" | cut -d' ' -f1)" --root ours --state "$work/state" >"$work/out" 2>&1 || fail "pull of .$kind: $(cat "$work/out")"
  manifest ours >"$work/ours"
  diff "$work/theirs" "$work/ours" >"$work/diff" || fail ".$kind differs from what GNU tar makes of it: $(head -n 20 "$work/diff")"
  ok ".$kind: owners, modes, times, links, nodes, attributes, ACLs, capabilities and holes are as GNU tar makes them"
done
tar --format=gnu --sparse -C from -cf "$work/gnu.tar" .
rm -rf ours && mkdir ours
"$agent" pull --source "$work/gnu.tar" --root ours --state "$work/state" --quiet || fail "pull of a GNU tar"
tar -C ours -df "$work/gnu.tar" || fail "tar --compare finds differences"
[ "$(stat -c %b ours/dir/sparse)" -le 16 ] || fail "the hole has been filled"
ok "GNU format: tar --compare finds no difference, holes stay holes"

# Once more over what is there: the same again.
"$agent" pull --source "$work/plain.tar" --root ours --state "$work/state" --quiet || fail "pull over an existing tree"
manifest ours >"$work/ours"
diff "$work/theirs" "$work/ours" >"$work/diff" || fail "a second pull differs: $(head "$work/diff")"
ok "a pull over an existing tree replaces it"

cd /
# The kinds of damage, each with one clear message.
refused() { # PATTERN SOURCE [SHA256]
  rm -rf "$work/fs/bad" && mkdir "$work/fs/bad"
  if "$agent" pull --source "$2" ${3:+--sha256 "$3"} --root "$work/fs/bad" --state "$work/state" >"$work/out" 2>&1; then fail "$2 was accepted"; fi
  grep -Eq "FAILED: .*$1" "$work/out" || fail "the message for $2 is: $(cat "$work/out")"
}
head -c 100000 "$work/image.tar.zst" >"$work/cut.tar.zst"
head -c 100000 "$work/image.tar.gz" >"$work/cut.tar.gz"
head -c 100000 "$work/image.tar.xz" >"$work/cut.tar.xz"
head -c 100000 "$work/plain.tar" >"$work/cut.tar"
for kind in tar.zst tar.gz tar.xz; do refused 'cannot be decompressed' "$work/cut.$kind"; done
refused 'not a whole tar archive|member .*[Tt]runcated' "$work/cut.tar"
cp "$work/image.tar.zst" "$work/bent.tar.zst"
printf '\xff' | dd of="$work/bent.tar.zst" bs=1 seek=1000000 conv=notrunc status=none
refused 'its SHA-256 is' "$work/bent.tar.zst" "$(sha256sum "$work/image.tar.zst" | cut -d' ' -f1)"
refused 'No such file' "$work/none.tar.zst"
tar -C "$work/fs/from" -cf - dir/big dir/file | zstd -q --ultra --long=28 -c >"$work/wide.tar.zst"
refused 'cannot be decompressed: .*too much memory' "$work/wide.tar.zst"
grep -q 'zstd --long=27' "$work/out" || fail "no advice for a window that is too wide: $(cat "$work/out")"
# The end mark is missing, and everything before it is there.
tar --format=pax -b1 -C "$work/fs/from" -cf "$work/unmarked.tar" dir/file set
truncate -s -1024 "$work/unmarked.tar"
refused 'cut off after member set/' "$work/unmarked.tar"
echo '<html><title>404</title></html>' >"$work/page.tar.zst"
refused 'web page' "$work/page.tar.zst"
truncate -s 16M "$work/small.img"
"$agent" format --type ext4 --path "$work/small.img" --state "$work/state"
mount_image "$work/small.img" "$work/small"
head -c 30000000 /dev/urandom >"$work/fs/from/dir/big"
tar -C "$work/fs/from" -cf "$work/large.tar" .
if "$agent" pull --source "$work/large.tar" --root "$work/small" --state "$work/state" >"$work/out" 2>&1; then fail "a full target was not noticed"; fi
grep -Eq 'FAILED: member [^ ]*: .*No space left on device' "$work/out" || fail "the message for a full target is: $(cat "$work/out")"
ok "a target that fills up says so, with the member's name"
ok "cut, bent, missing and wrong images are refused with their reason"
