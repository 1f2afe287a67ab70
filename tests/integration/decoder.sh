#!/usr/bin/env bash
# What the decoder may do while it decodes: nothing but its three descriptors, as nobody, within limits.
set -euo pipefail
. "$(dirname "$0")/lib.bash"
needs_root

mkdir "$work/root" "$work/tree"
head -c 8000000 /dev/urandom >"$work/tree/file"
tar -C "$work/tree" -cf "$work/image.tar" .
sha256=$(sha256sum "$work/image.tar" | cut -d' ' -f1)

# A server that sends half of it and waits.
cat >"$work/server.py" <<'PYTHON'
import http.server, pathlib, sys, time

image = pathlib.Path(sys.argv[1]).read_bytes()

class Half(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        self.send_response(200)
        self.send_header("Content-Length", str(len(image)))
        self.end_headers()
        self.wfile.write(image[: len(image) // 2])
        self.wfile.flush()
        time.sleep(60)
    def log_message(self, *_):
        pass

server = http.server.HTTPServer(("127.0.0.1", 0), Half)
print(server.server_port, flush=True)
server.serve_forever()
PYTHON
exec 3< <(exec python3 "$work/server.py" "$work/image.tar")
server=$!
read -r port <&3
"$agent" pull --source "http://127.0.0.1:$port/image.tar" --sha256 "$sha256" --root "$work/root" --state "$work/state" --quiet &
pull=$!
trap 'kill -KILL "$server" "$pull" 2>/dev/null || true; clean_up' EXIT
for _ in $(seq 100); do
  [ ! -s "$work/root/file" ] || break
  sleep 0.1
done
[ -s "$work/root/file" ] || fail "nothing is written while the server waits"
decoder=$(pgrep -P "$pull" -x 'signet-decoder|signet-agent|exe' | head -n 1)
[ -n "$decoder" ] || fail "no decoder: $(ps --ppid "$pull" -o pid,comm,args)"
[ "$(tr '\0' ' ' <"/proc/$decoder/cmdline" | cut -d' ' -f1)" = signet-decoder ] || fail "process $decoder is no decoder: $(tr '\0' ' ' <"/proc/$decoder/cmdline")"

status() { sed -n "s/^$1:[[:space:]]*//p" "/proc/$decoder/status" | tr '\t' ' ' | sed 's/ *$//'; }
is() { [ "$(status "$1")" = "$2" ] || fail "the decoder's $1 is '$(status "$1")', not '$2'"; }
is Uid "65534 65534 65534 65534"
is Gid "65534 65534 65534 65534"
is Groups ""
is CapPrm 0000000000000000
is CapEff 0000000000000000
is NoNewPrivs 1
is Seccomp 2
ok "the decoder is nobody, without capabilities, behind a filter of system calls"

limit() { sed -n "s/^$1  *\([^ ]*\)  *\([^ ]*\) .*/\1 \2/p" "/proc/$decoder/limits"; }
for name in "Max file size" "Max processes" "Max open files" "Max core file size"; do
  [ "$(limit "$name")" = "0 0" ] || fail "$name of the decoder is $(limit "$name"), not 0"
done
memory=$(limit "Max address space")
[ "${memory% *}" -le $((220 << 20)) ] || fail "the decoder may use $memory bytes"
ok "it may write no file, start no process, open nothing, and use ${memory% *} bytes"

open=$(ls "/proc/$decoder/fd" | tr '\n' ' ')
[ "$open" = "0 1 2 " ] || fail "the decoder has more open than its standard descriptors: $(ls -l "/proc/$decoder/fd")"
[[ $(readlink "/proc/$decoder/fd/0") == pipe:* && $(readlink "/proc/$decoder/fd/1") == pipe:* && $(readlink "/proc/$decoder/fd/2") == /dev/null ]] ||
  fail "the decoder's descriptors: $(ls -l "/proc/$decoder/fd")"
! grep -q 'rwx\|[^-]wx' "/proc/$decoder/maps" || fail "the decoder has memory that it can write and run: $(grep wx "/proc/$decoder/maps")"
ok "two pipes and /dev/null are all that it has open, and no memory can be written and run"

# It goes with whoever started it.
kill -KILL "$pull"
wait "$pull" 2>/dev/null || true
for _ in $(seq 50); do
  [ -e "/proc/$decoder" ] || break
  sleep 0.1
done
[ ! -e "/proc/$decoder" ] || grep -q '^State:.*zombie' "/proc/$decoder/status" || fail "the decoder outlives the agent"
ok "it ends with the agent"
