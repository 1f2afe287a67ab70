#!/usr/bin/env bash
# Both programs as they are shipped, read back: how they may be attacked depends on how they were linked and compiled.
set -euo pipefail
. "$(dirname "$0")/lib.bash"

judge() { # PROGRAM
  local program=$1 name=${1##*/} headers dynamic canaries traps
  headers=$(readelf -hlW "$program")
  dynamic=$(readelf -dW "$program")
  grep -q 'Type: *DYN' <<<"$headers" || fail "$name is not position-independent"
  ! grep -q 'INTERP\|Requesting program interpreter' <<<"$headers" || fail "$name wants a dynamic linker"
  ! grep -q 'NEEDED' <<<"$dynamic" || fail "$name wants shared libraries"
  ! grep -q 'TEXTREL' <<<"$dynamic" || fail "$name changes its own code when it starts"
  grep -q 'BIND_NOW' <<<"$dynamic" || fail "$name is not bound at its start"
  grep -q 'GNU_RELRO' <<<"$headers" || fail "$name has no RELRO"
  grep -Eq 'GNU_STACK .* RW +0' <<<"$headers" || fail "$name has an executable stack"
  ! grep -Eq '^ *LOAD .* RWE ' <<<"$headers" || fail "$name has memory that is writable and executable"
  # The canary of a thread is at %fs:0x28 (System V ABI, x86-64); libc++'s checks end in ud2.
  canaries=$(objdump -d "$program" | grep -c '%fs:0x28' || true)
  traps=$(objdump -d "$program" | grep -cw 'ud2' || true)
  [ "$canaries" -gt 200 ] || fail "$name has only $canaries uses of a stack canary"
  [ "$traps" -gt 60 ] || fail "$name has only $traps traps of libc++'s checks"
  ok "$name: static-pie, RELRO, bound at its start, no executable stack, $canaries uses of a canary, $traps traps"
}
judge "$agent"
judge "$top/build/out/signet"
