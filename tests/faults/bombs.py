#!/usr/bin/python3
"""Images that want memory: each ends within 64 MiB, writer and decoder together, as a success or as one message, and never by the kernel's OOM killer."""

import argparse
import os
import subprocess
import sys
import threading

import hostile
from hostile import END, gnu_long, header, member, padded, pax

SPARSE = [(b"GNU.sparse.major", b"1"), (b"GNU.sparse.minor", b"0"), (b"GNU.sparse.name", b"sparse")]


def zstd(chunks, *options):
    """Packs what would be too much for a file."""
    process = subprocess.Popen(["zstd", "-qc", *options], stdin=subprocess.PIPE, stdout=subprocess.PIPE)
    def feed():
        for chunk in chunks:
            process.stdin.write(chunk)
        process.stdin.close()

    thread = threading.Thread(target=feed)
    thread.start()
    packed = process.stdout.read()
    thread.join()
    process.wait()
    return packed


def sparse_map(entries):
    """GNU sparse 1.0: the map is data of the member, a decimal number a line."""
    text = b"%d\n" % entries + b"".join(b"%d\n0\n" % (i % 10) for i in range(entries))
    yield pax(SPARSE + [(b"GNU.sparse.realsize", b"10")])
    body = padded(text)
    yield header(b"sparse", size=len(body)) + body
    yield END


def old_sparse(blocks):
    """Old GNU format: extension headers of 21 entries, each of which says that another one follows."""
    first = bytearray(header(b"sparse", kind=b"S", magic=b"ustar  \0"))
    first[482] = 1
    first[148:156] = b" " * 8
    first[148:156] = b"%06o\0 " % sum(first)
    yield bytes(first)
    extension = bytearray((b"%011o\0" % 0 + b"%011o\0" % 0) * 21).ljust(512, b"\0")
    extension[504] = 1
    for _ in range(blocks // 1000):
        yield bytes(extension) * 1000


def directories(count, name):
    """Many headers at little cost: only the name and the sum of each are made anew."""
    empty = bytearray(header(b"", kind=b"5", mode=0o755))
    empty[148:156] = b" " * 8
    base = sum(empty)
    for start in range(0, count, 1000):
        part = bytearray()
        for number in range(start, start + 1000):
            text = name(number)
            part += text + empty[len(text) : 148] + b"%06o\0 " % (base + sum(text)) + empty[156:]
        yield bytes(part)
    yield END


def zeros(mebibytes):
    yield header(b"zeros", size=mebibytes << 20)
    for _ in range(mebibytes):
        yield bytes(1 << 20)
    yield END


def long_member(kind, size):
    """A header whose own text is of that size."""
    yield header(b"long", kind=kind, size=size)
    for _ in range(size >> 20):
        yield b"x" * (1 << 20)
    yield member(b"a", b"x") + END


# What must come of each: True for installed, a part of the message, or None for either.
def bombs():
    """Name, maker, outcome."""
    yield "GNU sparse 1.0, a map of 100,000 entries", lambda: zstd(sparse_map(100_000)), None
    yield "GNU sparse 1.0, a map of 5,000,000 entries", lambda: zstd(sparse_map(5_000_000)), "headers of the member"
    yield "old GNU sparse, 200,000 extension headers", lambda: zstd(old_sparse(200_000)), "FAILED"
    yield "pax header of 512 MiB", lambda: zstd(long_member(b"x", 512 << 20)), "FAILED"
    yield "global pax header of 512 MiB", lambda: zstd(long_member(b"g", 512 << 20)), "FAILED"
    yield "GNU long name of 512 MiB", lambda: zstd(long_member(b"L", 512 << 20)), "FAILED"
    yield "GNU long link of 512 MiB", lambda: zstd(long_member(b"K", 512 << 20)), "FAILED"
    yield "path of 100,000 steps", lambda: zstd([pax([(b"path", b"d/" * 100_000 + b"f")]) + member(b"x", b"x") + END]), "4096 is the limit"
    yield "path of 2,000 steps", lambda: zstd([gnu_long(b"d/" * 2000 + b"f", b"L") + member(b"x", b"x") + END]), "directories deep"
    yield "200,000 directories", lambda: zstd(directories(200_000, lambda i: b"d/%03d/%06d" % (i // 1000, i))), True
    yield "400,000 directories with long names", lambda: zstd(directories(400_000, lambda i: b"%08d" % i + b"x" * 90)), "too many directories"
    yield "one directory 300,000 times", lambda: zstd(directories(300_000, lambda i: b"d")), True
    yield "20,000 attributes", lambda: zstd([pax([(b"SCHILY.xattr.user.%d" % i, b"x" * 20) for i in range(20_000)]) + member(b"x", b"x") + END]), "extended attributes"
    yield "an attribute of 900 KiB", lambda: zstd([pax([(b"SCHILY.xattr.user.a", b"x" * 900_000)]) + member(b"x", b"x") + END]), "is the limit"
    yield "200 MiB behind the end", lambda: zstd([member(b"a", b"x") + END] + [bytes(1 << 20)] * 200), "behind the end"
    yield "1,000 frames of nothing", lambda: zstd([b""]) * 1000, "no members"
    yield "256 MiB of zeros in a file", lambda: zstd(zeros(256)), True
    yield "zstd in zstd in zstd", lambda: zstd([zstd([zstd(zeros(64))])]), None


def made_apart(make, path):
    """Makes an image in a child: the memory of who starts a process is counted as its own (getrusage(2), ru_maxrss survives exec)."""
    child = os.fork()
    if child == 0:
        path.write_bytes(make())
        os._exit(0)
    if os.waitpid(child, 0)[1] != 0:
        sys.exit("bombs: cannot make an image")


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--count", type=int, default=0, help="only the first so many; 0: all")
    parser.add_argument("--seed", type=int, default=1, help="not used: every bomb is fixed")
    arguments = parser.parse_args()
    if os.getuid() != 0:
        print("this test keeps owners and needs root")
        sys.exit(77)
    hostile.no_core_files()
    target = hostile.Target()
    path = target.state / "image"
    wrong, most, count = [], 0, 0
    try:
        for name, make, expected in bombs():
            if arguments.count and count == arguments.count:
                break
            count += 1
            made_apart(make, path)
            outcome = hostile.pull(path, target)
            most = max(most, outcome.memory)
            refused = outcome.status == 1 and outcome.text.count("FAILED:") == 1
            good = outcome.status == 0 if expected is True else refused and expected in outcome.text if expected else refused or outcome.status == 0
            if not good:
                wrong.append(f"{name}: status {outcome.status}: {outcome.text[-600:]}")
            if outcome.memory > hostile.MOST_MEMORY:
                wrong.append(f"{name}: {outcome.memory >> 20} MiB of memory")
            if target.touched():
                wrong.append(f"{name}: something beside the target has changed")
            print(f"  {name}: {path.stat().st_size} bytes, {'installed' if outcome.status == 0 else 'refused'}, at most {outcome.memory / 2**20:.1f} MiB")
            target.fresh()
    finally:
        target.close()
    for line in wrong:
        print(f"FAILED: {line}", file=sys.stderr)
    print(f"figures: {count} bombs, {len(wrong)} wrong, {most / 2**20:.1f} MiB at most")
    sys.exit(1 if wrong else 0)


if __name__ == "__main__":
    main()
