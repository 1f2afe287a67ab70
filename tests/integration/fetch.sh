#!/usr/bin/env bash
# Pulls from a real nginx: TLS with certificates of every kind, connections that break, redirects, and what is said of each.
set -euo pipefail
. "$(dirname "$0")/lib.bash"
unset http_proxy https_proxy all_proxy HTTP_PROXY HTTPS_PROXY ALL_PROXY

# Certificates by our own authority: good, of another host, of last year, and one of an authority that nobody knows.
mkdir "$work/tls"
cd "$work/tls"
authority() { openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -keyout "$1.key" -out "$1.pem" -days 30 -subj "/CN=$2" 2>/dev/null; }
printf '[ca]\ndefault_ca=d\n[d]\ndatabase=index.txt\nserial=serial\nnew_certs_dir=.\ndefault_md=sha256\npolicy=p\nunique_subject=no\n[p]\ncommonName=supplied\n' >ca.conf
: >index.txt
echo 01 >serial
certificate() { # NAME AUTHORITY ADDRESS START END
  openssl req -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -keyout "$1.key" -out "$1.csr" -subj "/CN=$3" 2>/dev/null
  printf 'subjectAltName=IP:%s\nbasicConstraints=CA:FALSE\n' "$3" >extensions
  openssl ca -batch -config ca.conf -cert "$2.pem" -keyfile "$2.key" -in "$1.csr" -out "$1.pem" -notext -startdate "$4" -enddate "$5" -extfile extensions 2>/dev/null
}
last_year=$(date -u -d '-400 days' +%Y%m%d%H%M%SZ) yesterday=$(date -u -d '-1 day' +%Y%m%d%H%M%SZ)
tomorrow=$(date -u -d '+1 day' +%Y%m%d%H%M%SZ) next_month=$(date -u -d '+30 days' +%Y%m%d%H%M%SZ)
authority ours 'Signet test authority'
authority theirs 'Somebody else'
certificate good ours 127.0.0.1 "$yesterday" "$next_month"
certificate name ours 10.9.9.9 "$yesterday" "$next_month"
certificate expired ours 127.0.0.1 "$last_year" "$yesterday"
certificate future ours 127.0.0.1 "$tomorrow" "$next_month"
certificate unknown theirs 127.0.0.1 "$yesterday" "$next_month"
export SSL_CERT_FILE=$work/tls/ours.pem

mkdir -p "$work/www" "$work/tree/dir"
head -c 20000000 /dev/urandom >"$work/tree/dir/data"
echo text >"$work/tree/file"
tar -C "$work/tree" -cf - . | zstd -q -1 -o "$work/www/image.tar.zst"
sha256=$(sha256sum "$work/www/image.tar.zst" | cut -d' ' -f1)
mapfile -t port < <(python3 -c '
import socket
sockets = [socket.create_server(("127.0.0.1", 0)) for _ in range(9)]
print(*(s.getsockname()[1] for s in sockets), sep="\n")')

tls() { # PORT CERTIFICATE PROTOCOLS
  echo "server { listen 127.0.0.1:$1 ssl; ssl_certificate $work/tls/$2.pem; ssl_certificate_key $work/tls/$2.key; ssl_protocols $3; $4 }"
}
mkdir "$work/nginx"
cat >"$work/nginx/conf" <<END
$([ "$(id -u)" = 0 ] && echo 'user root;') worker_processes 1; daemon off; pid $work/nginx/pid; error_log $work/nginx/error;
events {}
http {
  access_log $work/nginx/access; root $work/www;
  client_body_temp_path $work/nginx; proxy_temp_path $work/nginx; fastcgi_temp_path $work/nginx; uwsgi_temp_path $work/nginx; scgi_temp_path $work/nginx;
  server {
    listen 127.0.0.1:${port[0]};
    location /moved/ { rewrite ^/moved/(.*) https://127.0.0.1:${port[1]}/\$1 redirect; }
    location /round { return 302 /round; }
    location /broken { return 503; }
  }
  $(tls "${port[1]}" good 'TLSv1.2 TLSv1.3' "location /back/ { rewrite ^/back/(.*) http://127.0.0.1:${port[0]}/\$1 redirect; }")
  $(tls "${port[2]}" good TLSv1.2 '')
  $(tls "${port[3]}" good TLSv1.3 '')
  $(tls "${port[4]}" name 'TLSv1.2 TLSv1.3' '')
  $(tls "${port[5]}" expired 'TLSv1.2 TLSv1.3' '')
  $(tls "${port[6]}" future 'TLSv1.2 TLSv1.3' '')
  $(tls "${port[7]}" unknown 'TLSv1.2 TLSv1.3' '')
}
END
nginx -e "$work/nginx/error" -c "$work/nginx/conf" &
nginx=$!
relay=
trap 'kill "$nginx" $relay 2>/dev/null || true; clean_up' EXIT

# In front of nginx: lets so many bytes of each answer through and breaks off; nginx answers for the rest, range by range.
cat >"$work/relay.py" <<'END'
import socket, sys, threading

listen, behind, most = map(int, sys.argv[1:])

def serve(client):
    with client, socket.create_connection(("127.0.0.1", behind)) as server:
        server.sendall(client.recv(65536))
        left = most
        while left and (data := server.recv(min(left, 65536))):
            client.sendall(data)
            left -= len(data)
        client.shutdown(socket.SHUT_RDWR)

with socket.create_server(("127.0.0.1", listen)) as listener:
    while True:
        threading.Thread(target=serve, args=(listener.accept()[0],), daemon=True).start()
END
python3 "$work/relay.py" "${port[8]}" "${port[0]}" 7000000 2>/dev/null &
relay=$!
for each in "${port[@]}"; do
  for try in $(seq 100); do
    if (exec 3<>"/dev/tcp/127.0.0.1/$each") 2>/dev/null; then break; fi
    [ "$try" -lt 100 ] || fail "nothing listens on port $each: $(cat "$work/nginx/error")"
    sleep 0.1
  done
done

pull() { # URI
  rm -rf "$work/root"
  mkdir "$work/root"
  "$agent" pull --source "$1" --sha256 "$sha256" --root "$work/root" --state "$work/state" >"$work/out" 2>&1
}
good() { # WHAT URI
  pull "$2" || fail "$1: $(cat "$work/out")"
  diff -r "$work/tree" "$work/root" || fail "$1: the tree is another one"
  ok "$1"
}
bad() { # WHAT URI PATTERN
  if pull "$2"; then fail "$1 was accepted"; fi
  grep -Eq "FAILED: .*$3" "$work/out" || fail "$1: the message is: $(cat "$work/out")"
  [ -z "$(ls -A "$work/root")" ] || fail "$1: something was written"
  ok "$1: $(grep -o 'FAILED: .*' "$work/out" | head -n 1 | cut -c 9-)"
}
http=http://127.0.0.1:${port[0]} https=https://127.0.0.1
good 'plain HTTP' "$http/image.tar.zst"
good 'TLS 1.2' "$https:${port[2]}/image.tar.zst"
good 'TLS 1.3' "$https:${port[3]}/image.tar.zst"
good 'HTTP that redirects to HTTPS' "$http/moved/image.tar.zst"
bad 'another name' "$https:${port[4]}/image.tar.zst" 'its certificate is not accepted: it is for another name; '
bad 'expired' "$https:${port[5]}/image.tar.zst" 'its certificate is not accepted: it has expired; this machine.s clock says 20'
bad 'not valid yet' "$https:${port[6]}/image.tar.zst" 'its certificate is not accepted: it is not valid yet; '
bad 'unknown issuer' "$https:${port[7]}/image.tar.zst" 'its certificate is not accepted: it comes from an issuer that is not trusted here; '
bad 'HTTPS that redirects to HTTP' "$https:${port[1]}/back/image.tar.zst" 'https may not become http'
bad 'redirects without end' "$http/round" 'more than 8 redirects'
bad 'not there' "$http/none.tar.zst" 'the server does not have it \(HTTP 404\)'
SSL_CERT_FILE=$work/none.pem bad 'no CA bundle' "$https:${port[1]}/image.tar.zst" 'there is no usable CA bundle at .*none.pem'
bad 'plain HTTP where HTTPS was asked for' "https://127.0.0.1:${port[0]}/image.tar.zst" 'TLS failed'

: >"$work/nginx/access"
good 'a connection that breaks every 7 MB' "http://127.0.0.1:${port[8]}/image.tar.zst"
[ "$(grep -c '" 206 ' "$work/nginx/access")" -ge 2 ] || fail "it was not resumed by ranges: $(cat "$work/nginx/access")"
grep -Eq 'trying again' "$work/out" || fail "nothing was said of the break: $(cat "$work/out")"
ok 'and it went on by ranges, and said so'
