# Shared by the integration tests: a scratch directory, the agent, and checks that say what was checked. To be sourced; the script has `set -euo pipefail`.

top=$(cd "$(dirname "${BASH_SOURCE[0]}")/../.." && pwd -P)
agent=${SIGNET_AGENT:-$top/build/out/signet-agent}
work=$(mktemp -d)
export PATH=$PATH:/sbin:/usr/sbin
mounts=()

clean_up() {
  local place
  cd /
  for ((i = ${#mounts[@]} - 1; i >= 0; i--)); do umount "${mounts[i]}" 2>/dev/null || true; done
  for place in $(awk -v work="$work" 'index($2, work) == 1 { print $2 }' /proc/mounts | sort -r); do umount "$place" 2>/dev/null || true; done
  rm -rf "$work"
}
trap clean_up EXIT

fail() {
  echo "FAILED: $*" >&2
  exit 1
}
ok() { echo "ok: $*"; }

needs_root() {
  [ "$(id -u)" = 0 ] || {
    echo "this test mounts file systems and needs root"
    exit 77
  }
}

# closed DISK: its first sector is ours, which gives control back to the firmware: INT 18h, sti, hlt, jmp; and it ends as a boot sector does.
closed() {
  [ "$(od -An -tx1 -j31 -N6 "$1" | tr -d ' ')" = cd18fbf4ebfc ] || fail "$1 does not give control back to the firmware: $(od -An -tx1 -N64 "$1")"
  [ "$(od -An -tx1 -j510 -N2 "$1" | tr -d ' ')" = 55aa ] || fail "$1 has no boot sector"
  head -c 440 "$1" | grep -aq 'Signet: installation not finished' || fail "$1 does not say that the installation is not finished"
}

# mount_image FILE PLACE [OPTIONS]: by a loop device.
mount_image() {
  mkdir -p "$2"
  mount -o "loop${3:+,$3}" "$1" "$2"
  mounts+=("$2")
}
unmount() {
  umount "$1"
  unset 'mounts[-1]'
}

# system_tree DIR: a small tree that looks like a system that was set up once, fit to be an image.
system_tree() {
  mkdir -p "$1"/{bin,etc/network,etc/ssh,usr/sbin,usr/bin,var/log,dev,proc,sys,run,tmp}
  printf '127.0.0.1\tlocalhost\n' >"$1/etc/hosts"
  echo golden >"$1/etc/hostname"
  : >"$1/etc/machine-id"
  echo old >"$1/etc/ssh/ssh_host_rsa_key"
  printf '#!/bin/sh\n' >"$1/usr/sbin/ifup"
  chmod 755 "$1/usr/sbin/ifup"
  printf 'root:*:20000:0:99999:7:::\n' >"$1/etc/shadow"
  printf 'root:x:0:0:root:/root:/bin/sh\n' >"$1/etc/passwd"
  printf 'root:x:0:\nsudo:x:27:\n' >"$1/etc/group"
}
