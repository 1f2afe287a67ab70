#!/usr/bin/env bash
# A profile and an image behind a user, a password and a token: the server gets them, and nothing that is printed, reported or kept for others does.
set -euo pipefail
. "$(dirname "$0")/lib.bash"
unset http_proxy https_proxy all_proxy HTTP_PROXY HTTPS_PROXY ALL_PROXY
user=CanaryUser password=CanaryPassword token=CanaryToken hash='$6$CanarySalt$CanaryHash'

mkdir "$work/www" "$work/tree" "$work/target"
system_tree "$work/tree"
tar -cf "$work/www/image.tar" -C "$work/tree" .
cat >"$work/www/node.toml" <<END
schema = 1
[image]
source = "image.tar?token=$token"
[[disk]]
id = "system"
wipe = "blank"
partition = [ { name = "bios", size = "1MiB", type = "bios" }, { name = "root", size = "rest", format = "ext4", mount = "/" } ]
[configure]
root_password = "$hash"
END

# Serves files to whoever has user, password and token, and notes who asked.
cat >"$work/server.py" <<'END'
import base64, http.server, sys
user, password, token, root = sys.argv[1:]
class Handler(http.server.SimpleHTTPRequestHandler):
    def allowed(self):
        wanted = "Basic " + base64.b64encode(f"{user}:{password}".encode()).decode()
        if self.headers.get("Authorization") == wanted and self.path.endswith("?token=" + token):
            return True
        self.send_error(403)
        return False
    def do_GET(self):
        if self.allowed(): super().do_GET()
    def do_HEAD(self):
        if self.allowed(): super().do_HEAD()
    def log_message(self, *_): pass
server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), lambda *a: Handler(*a, directory=root))
print(server.server_address[1], flush=True)
server.serve_forever()
END
coproc server { exec python3 "$work/server.py" "$user" "$password" "$token" "$work/www"; }
server_pid=$!
read -r port <&"${server[0]}"
stop_server() {
  kill "$server_pid" 2>/dev/null || true
  clean_up
}
trap stop_server EXIT
uri() { echo "http://$user:$password@127.0.0.1:$port/$1?token=$token"; }

clean() { # NAME FILE…: no canary in them
  local name=$1
  shift
  if grep -E -H 'Canary(User|Password|Token|Salt|Hash)' "$@"; then fail "$name shows a secret"; fi
  ok "$name: no secret"
}

truncate -s 1G "$work/disk"
"$agent" plan --profile "$(uri node.toml)" --target "$work/disk" --host node01 --state "$work/state" >"$work/out" 2>&1 || fail "plan: $(cat "$work/out")"
grep -q "image.tar?token=…" "$work/out" || fail "the plan does not name its image: $(cat "$work/out")"
clean 'plan' "$work/out" "$work/state/events.jsonl"
"$agent" pull --source "$(uri image.tar)" --root "$work/target" --state "$work/state2" >"$work/out" 2>&1 || fail "pull: $(cat "$work/out")"
[ -e "$work/target/etc/hostname" ] || fail 'nothing was pulled'
clean 'pull' "$work/out" "$work/state2/events.jsonl"

for path in gone.toml "node.toml&x"; do
  "$agent" profile --profile "$(uri "$path")" --host node01 --state "$work/state3" >"$work/out" 2>&1 && fail "$path was there"
  clean "a failure ($path)" "$work/out" "$work/state3/events.jsonl" "$work/state3/failure"
done
for bad in "ftp://$user:$password@127.0.0.1/x?token=$token" "http://$user:$password@127.0.0.1:1/x?token=$token" "http://$user:$password/@x"; do
  "$agent" profile --profile "$bad" --host node01 --state "$work/state4" >"$work/out" 2>&1 && fail "$bad was there"
  clean 'a wrong URL' "$work/out" "$work/state4/events.jsonl"
done

[ "$(stat -c %a "$work/state")" = 700 ] || fail 'others can look into the state directory'
[ -z "$(find "$work/state" "$work/state2" "$work/state3" -type f -perm /077)" ] || fail "others can read $(find "$work"/state* -type f -perm /077)"
ok 'what is kept is for root alone'
