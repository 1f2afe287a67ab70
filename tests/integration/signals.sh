#!/usr/bin/env bash
# An install on an image file that is stopped by a signal, a deadline or a hook's time limit leaves nothing mounted, no loop, no process, and says why.
set -euo pipefail
. "$(dirname "$0")/lib.bash"
needs_root

tree=$work/tree
system_tree "$tree"
for name in sh sleep; do cp "$("$top/initrd/busybox")" "$tree/bin/$name"; done
mkdir "$tree/usr/share"
for i in $(seq 200); do head -c 100000 /dev/urandom >"$tree/usr/share/$i"; done
tar -C "$tree" -cf "$work/tree.tar" .
disk=$work/disk.img root=$work/root state=$work/state
truncate -s 256M "$disk"

profile() { # HOOK [more of [hooks]]
  printf '%s\n' "$1" >"$work/hook.sh"
  cat >"$work/profile.toml" <<TOML
schema = 1
[image]
source = "tree.tar"
sha256 = "$(sha256sum "$work/tree.tar" | cut -d' ' -f1)"
[[disk]]
id = "system"
wipe = "any"
partition = [ { name = "root", size = "rest", format = "ext4", mount = "/" } ]
[hooks]
pre_install = ["hook.sh"]
${2:-}
[configure]
boot_loader = "none"
[finish]
on_failure = "reboot"
TOML
}
start() { # [OPTION…]: in the background, as $pid; with the signals that nohup(1) and a shell's background take away
  rm -rf "$state"
  env --default-signal "$agent" install --profile "$work/profile.toml" --target "$disk" --root "$root" --state "$state" "$@" >"$work/out" 2>&1 &
  pid=$!
}
await() { # FILE
  for _ in $(seq 600); do
    [ ! -e "$1" ] || return 0
    sleep 0.1
  done
  fail "$1 does not come: $(cat "$work/out")"
}
ended() { # STATUS
  status=0
  wait "$pid" || status=$?
  [ "$status" = "$1" ] || fail "exit status $status, not $1: $(tail -n 20 "$work/out")"
}
clean() {
  ! findmnt -R "$root" >/dev/null || fail "still mounted: $(findmnt -R "$root")"
  # The kernel lets go of a loop device when its last reader does, which may be a prober of its partitions.
  for _ in $(seq 50); do [ -n "$(losetup -j "$disk")" ] && sleep 0.1 || break; done
  [ -z "$(losetup -j "$disk")" ] || fail "a loop device is left: $(losetup -j "$disk")"
  for _ in $(seq 50); do
    ! pgrep -f "sleep 7[0-9]77" >/dev/null || { sleep 0.1 && continue; }
    return 0
  done
  fail "a process of the hook is left"
}

# At a moment in every part of the install. What is too late for the signal is installed, and says so.
profile "sleep 0.2"
before=$(date +%s%N)
start
ended 0
whole=$((($(date +%s%N) - before) / 1000000)) # milliseconds
clean
stopped=0
for i in $(seq 0 29); do
  start
  sleep "$(awk "BEGIN { print $i * $whole / 27000 }")"
  kill -TERM "$pid" 2>/dev/null || true
  status=0
  wait "$pid" || status=$?
  clean
  case $status in
  143)
    # So early a signal that nothing was begun needs no report.
    [ ! -e "$state/stage" ] || {
      grep -q SIGTERM "$state/failure" || fail "the failure file says: $(cat "$state/failure")"
      grep -q '"event":"failed"' "$state/events.jsonl" || fail "no failed event: $(tail -n 3 "$state/events.jsonl")"
    }
    stopped=$((stopped + 1))
    ;;
  0) ;;
  *) fail "SIGTERM at moment $i of 30: exit status $status: $(tail -n 20 "$work/out")" ;;
  esac
done
[ "$stopped" -ge 5 ] || fail "only $stopped of 30 signals came before the end"
ok "SIGTERM at 30 moments ($stopped before the end): exit 143 with a reason, nothing mounted, no loop, no process"

profile "sleep 7077 & sleep 7077"
start
await "$state/plan.json"
sleep 0.5
kill -HUP "$pid"
ended 129
clean
grep -q SIGHUP "$state/failure" || fail "the failure file says: $(cat "$state/failure")"
ok "SIGHUP ends a hook with what it has started"

profile "trap '' TERM; sleep 7177 & while :; do sleep 1; done"
start
await "$state/plan.json"
sleep 0.5
before=$(date +%s)
kill -TERM "$pid"
sleep 0.3
kill -TERM "$pid"
ended 143
[ $(($(date +%s) - before)) -lt 60 ] || fail "the second signal has not ended it at once"
clean
ok "a second signal ends it at once, and its hook with it"

profile "sleep 7277 & sleep 7277" 'timeout = "1s"'
start
ended 1
clean
grep -q 'timed out after 1 s' "$state/failure" || fail "the failure file says: $(cat "$state/failure")"
ok "a hook has a time limit"

echo 'sleep 7577 & sleep 7577' >"$work/slow.sh"
profile "true" 'post_install = ["slow.sh"]
timeout = "1s"'
start
ended 1
clean
grep -q 'slow.sh: timed out after 1 s' "$state/failure" || fail "the failure file says: $(cat "$state/failure")"
ok "so has one inside the target"

profile "sleep 7377"
start --deadline 2s
ended 1
clean
grep -q 'not finished within 2 s' "$state/failure" || fail "the failure file says: $(cat "$state/failure")"
ok "the whole install has a deadline"

# A killed agent can do nothing itself; `failed` does it.
profile "sleep 7477 & sleep 7477"
start
await "$state/plan.json"
sleep 0.5
kill -KILL "$pid"
ended 137
status=0
"$agent" failed --status 137 --root "$root" --state "$state" >"$work/out" 2>&1 || status=$?
[ "$status" = 1 ] || fail "failed: exit status $status: $(cat "$work/out")"
clean
grep -q 'pre-install .*FAILED: the agent was killed by SIGKILL' "$work/out" || fail "the message is: $(cat "$work/out")"
grep -q 'killed by SIGKILL' "$state/failure" || fail "the failure file says: $(cat "$state/failure")"
tail -n 4 "$state/events.jsonl" | grep -q '"event":"failed"' || fail "no failed event"
[ "$(cat "$state/next")" = reboot ] || fail "on_failure of the profile was reboot, next is $(cat "$state/next")"
ok "a killed agent is reported, and on_failure is what the profile says"

# --quiet prints nothing but the reason; plan's text is output.
profile "true"
if "$agent" plan --quiet --profile "$work/none.toml" --target "$disk" --state "$state" >"$work/out" 2>"$work/err"; then fail "a plan without a profile"; fi
[ ! -s "$work/out" ] && grep -q none.toml "$work/err" && [ "$(wc -l <"$work/err")" -le 2 ] || fail "--quiet says: $(cat "$work/out" "$work/err")"
"$agent" plan --quiet --profile "$work/profile.toml" --target "$disk" --state "$state" >"$work/out" 2>"$work/err" || fail "$(cat "$work/err")"
[ ! -s "$work/err" ] && grep -q ext4 "$work/out" || fail "plan prints: $(cat "$work/out" "$work/err")"
ok "--quiet prints why a verb failed; the plan goes to standard output"

# A FIFO where the log shall be kept.
mkdir "$tree/var/log/signet" && mkfifo "$tree/var/log/signet/events.jsonl"
tar -C "$tree" -cf "$work/tree.tar" .
profile "true"
start --deadline 120s
ended 0
mount_image "$disk" "$work/look" "ro,offset=$(sfdisk --json "$disk" | sed -n 's/.*"start": *\([0-9]*\).*/\1/p' | awk '{ print $1 * 512; exit }')"
[ -f "$work/look/var/log/signet/events.jsonl" ] && grep -q '"stage":"pull"' "$work/look/var/log/signet/events.jsonl" || fail "the log is not kept"
[ "$(stat -c %a "$work/look/var/log/signet/events.jsonl")" = 600 ] || fail "others can read the log"
unmount "$work/look"
ok "a FIFO in the image does not hold up finish"
