#!/usr/bin/python3
"""The agent against servers that drip, flood, lie, break off and fall silent, with its own limits. Each mode must end with one error, not killed, within
the deadline that fetch/fetch.h states. Usage: hostile_servers.py [--short]; without it modes that take minutes run as well."""

import os
import pathlib
import socket
import struct
import subprocess
import sys
import tempfile
import threading
import time

TOP = pathlib.Path(__file__).resolve().parents[2]
AGENT = os.environ.get("SIGNET_AGENT", TOP / "build/out/signet-agent")
MARGIN = 40  # seconds: machines may be slow and busy; without its limit none of these would ever end
TEXT, IMAGE, CONNECT = 30, 4 * 60 + 7, 4 * 10 + 7  # deadlines of fetch/fetch.h
OK = b"HTTP/1.1 200 OK\r\n"
CHUNK = b"10000\r\n" + b"#" * 65536 + b"\r\n"


def drip(head, body, pause=0.5):
    def serve(connection):
        connection.sendall(head)
        for byte in body:
            connection.sendall(bytes([byte]))
            time.sleep(pause)

    return serve


def say(answer):
    return lambda connection: connection.sendall(answer)


def flood(head, block):
    def serve(connection):
        connection.sendall(head)
        while True:
            connection.sendall(block)

    return serve


def hang(answer=b""):
    def serve(connection):
        connection.sendall(answer)
        connection.recv(1)

    return serve


def reset(connection):
    connection.sendall(OK + b"Content-Length: 100\r\n\r\nschema = 1\n")
    connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))


def redirect(target):
    return say(b"HTTP/1.1 302 Found\r\nContent-Length: 0\r\nLocation: " + target + b"\r\n\r\n")


LONG = b"x" * 4000
# name: what it serves, deadline in seconds, a part of the message, and whether it takes long
TEXTS = {
    "drip-body": (drip(OK + b"Content-Length: 4000\r\n\r\n", LONG), TEXT, "not complete within 30 s", True),
    "drip-headers": (drip(OK + b"X: ", LONG), TEXT, "not complete within 30 s", True),
    "silent": (hang(), TEXT, "", True),
    "endless-headers": (flood(OK, b"X: " + b"x" * 8000 + b"\r\n"), TEXT, "", False),
    "endless-body": (flood(OK + b"Transfer-Encoding: chunked\r\n\r\n", CHUNK), TEXT, "too large for a text", False),
    "endless-error-page": (flood(b"HTTP/1.1 404 Not Found\r\nTransfer-Encoding: chunked\r\n\r\n", CHUNK), TEXT, "HTTP 404", False),
    "announces-more": (say(OK + b"Content-Length: 4000\r\n\r\nschema = 1\n"), TEXT, "", False),
    "unknown-length": (say(b"HTTP/1.0 200 OK\r\n\r\nschema = 1\n"), TEXT, "does not tell how long it is", False),
    "broken-chunks": (say(OK + b"Transfer-Encoding: chunked\r\n\r\nb\r\nschema = 1\n\r\n"), TEXT, "", False),
    "part": (say(b"HTTP/1.1 206 Partial Content\r\nContent-Length: 6\r\nContent-Range: bytes 0-5/11\r\n\r\nschema"), TEXT, "HTTP 206", False),
    "gzip": (say(OK + b"Content-Encoding: gzip\r\nContent-Length: 2\r\n\r\n\x1f\x8b"), TEXT, "Content-Encoding: gzip", False),
    "redirect-loop": (redirect(b"/again"), TEXT, "more than 8 redirects", False),
    "redirect-to-file": (redirect(b"file:///etc/passwd"), TEXT, "not allowed", False),
    "reset": (reset, TEXT, "", False),
}
IMAGES = {
    "image-drip": (drip(OK + b"Content-Length: 40000000\r\n\r\n", b"x" * 4000), IMAGE, "", True),
    "image-silent": (hang(OK + b"Content-Length: 40000000\r\n\r\n"), IMAGE, "sent nothing for 30 s", True),
    "image-part": (say(b"HTTP/1.1 206 Partial Content\r\nContent-Length: 6\r\n\r\nschema"), IMAGE, "HTTP 206", False),
    "image-reset": (reset, IMAGE, "", False),
}


class Server:
    def __init__(self, serve):
        self.listener = socket.create_server(("127.0.0.1", 0))
        self.serve = serve
        threading.Thread(target=self.accept, daemon=True).start()

    def accept(self):
        while True:
            try:
                connection, _ = self.listener.accept()
            except OSError:
                return
            threading.Thread(target=self.answer, args=(connection,), daemon=True).start()

    def answer(self, connection):
        try:
            request = b""
            while b"\r\n\r\n" not in request:
                part = connection.recv(4096)
                if not part:
                    return
                request += part
            self.serve(connection)
        except OSError:
            pass
        finally:
            connection.close()

    def uri(self, scheme, path):
        return f"{scheme}://deploy:S3cret@127.0.0.1:{self.listener.getsockname()[1]}{path}?token=S3cret"


def judge(name, scheme, serve, deadline, message, image, work):
    server = Server(serve)
    state = work / name
    what = ["pull", "--source", server.uri(scheme, "/image.tar"), "--root", work] if image else ["profile", "--host", "node01", "--profile", server.uri(scheme, "/p.toml")]
    start = time.monotonic()
    try:
        done = subprocess.run([AGENT, *what, "--state", state], stdout=subprocess.PIPE, stderr=subprocess.STDOUT, timeout=deadline + MARGIN, env={"PATH": os.environ["PATH"]})
    except subprocess.TimeoutExpired:
        return [f"{name}: it has not ended after {deadline + MARGIN} s"], deadline + MARGIN
    finally:
        server.listener.close()
    took = time.monotonic() - start
    text = done.stdout.decode(errors="replace")
    kept = "".join(each.read_text(errors="replace") for each in (state / "events.jsonl", state / "failure") if each.exists())
    wrong = []
    if done.returncode != 1:
        wrong.append(f"exit status {done.returncode}, not 1")
    if text.count("FAILED") != 1:
        wrong.append(f"{text.count('FAILED')} failures reported, not 1")
    if message not in text:
        wrong.append(f"`{message}` is not in the message")
    if "S3cret" in text + kept:
        wrong.append("a secret is in the output or the events")
    print(f"{'FAILED' if wrong else 'ok'}: {name}: ended after {took:.1f} s of {deadline} s")
    return [f"{name}: {each}; it printed:\n{text}" for each in wrong], took


def main():
    short = sys.argv[1:] == ["--short"]
    for name in ("http_proxy", "https_proxy", "all_proxy", "HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY"):
        os.environ.pop(name, None)
    modes = [(name, "http", *mode, False) for name, mode in TEXTS.items()] + [(name, "http", *mode, True) for name, mode in IMAGES.items()]
    modes.append(("tls-stall", "https", hang(), TEXT, "", True, False))
    modes.append(("plain-for-tls", "https", say(OK + b"\r\n"), TEXT, "not complete within", False, False))
    modes = [mode for mode in modes if not (short and mode[5])]
    wrong, times, lock = [], [], threading.Lock()

    def run(name, scheme, serve, deadline, message, _long, image):
        mistakes, took = judge(name, scheme, serve, deadline, message, image, pathlib.Path(work))
        with lock:
            wrong.extend(mistakes)
            times.append(took)

    with tempfile.TemporaryDirectory() as work:
        # Most of them wait: all at once.
        threads = [threading.Thread(target=run, args=mode) for mode in modes]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    for each in wrong:
        print(f"FAILED: {each}", file=sys.stderr)
    print(f"figures: {len(modes)} server modes, {len(modes) - len({each.split(':')[0] for each in wrong})} end with one error in their deadline, the longest after {max(times):.0f} s")
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main())
