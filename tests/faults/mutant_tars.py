#!/usr/bin/python3
"""Hostile tar archives: structured attacks, then mutants of a good one. Whatever an image says, nothing beside the target changes, no process crashes or
hangs, and writer and decoder need less than 64 MiB together."""

import argparse
import os
import random
import stat
import sys

import hostile
from hostile import END, gnu_long, header, member, padded, pax


def attacks(outer):
    """Name and archive of each; `outer` is the directory above the target, which none may touch."""
    absolute = str(outer).encode()
    link = {"kind": b"2"}
    hard = {"kind": b"1"}
    directory = {"kind": b"5", "mode": 0o755}
    into = lambda target: member(b"link", target=target, **link)  # noqa: E731
    yield "parent", member(b"../victim", b"x")
    yield "parent of a parent", member(b"a/../../victim", b"x")
    yield "parent at the end", member(b"a/..", **directory)
    yield "parent alone", member(b"..", **directory)
    yield "parent by ustar's prefix", member(b"victim", b"x", prefix=b"..")
    yield "parent by pax path", pax([(b"path", b"../victim")]) + member(b"a", b"x")
    yield "parent by GNU long name", gnu_long(b"../victim", b"L") + member(b"a", b"x")
    yield "parent by a global pax header", pax([(b"path", b"../victim")], b"g") + member(b"a", b"x")
    yield "parent by GNU.sparse.name", pax([(b"GNU.sparse.major", b"1"), (b"GNU.sparse.minor", b"0"), (b"GNU.sparse.name", b"../victim"), (b"GNU.sparse.realsize", b"1")]) + member(b"a", padded(b"1\n0\n1\n") + b"x")
    yield "parent behind many steps", member(b"./" * 30 + b"../victim", b"x")
    yield "absolute", member(absolute + b"/victim", b"x")
    yield "absolute by pax", pax([(b"path", absolute + b"/victim")]) + member(b"a", b"x")
    yield "absolute with two slashes", member(b"/" + absolute + b"/victim", b"x")
    yield "absolute directory", member(absolute + b"/secret", **directory)
    for name, target in (("relative", b".."), ("absolute", absolute), ("to itself", b"link"), ("to the secret", b"../secret"), ("by proc", b"/proc/self/cwd/..")):
        yield f"through a link, {name}", into(target) + member(b"link/victim", b"x")
    yield "through a link to a directory of the target", member(b"d", **directory) + into(b"d/..") + member(b"link/../victim", b"x")
    yield "through two links", member(b"a", target=b"b", **link) + member(b"b", target=b"..", **link) + member(b"a/victim", b"x")
    yield "through a link, as a directory", into(b"../secret") + member(b"link", **directory) + member(b"link/key", b"x")
    yield "through a link, as a directory with a slash", into(b"../secret") + member(b"link/", **directory) + member(b"link/key", b"x")
    yield "onto a link", into(b"../victim") + member(b"link", b"new")
    yield "append onto a link", into(b"../victim") + member(b"link", b"")
    yield "mode of what a link names", into(b"../secret/key") + member(b"link", kind=b"2", target=b"../secret/key", mode=0o777)
    yield "owner of what a link names", member(b"link", kind=b"2", target=b"../victim", uid=1234, gid=1234)
    yield "attribute of what a link names", pax([(b"SCHILY.xattr.user.a", b"x")]) + into(b"../victim")
    yield "hard link out", member(b"h", target=b"../victim", **hard) + member(b"h", b"x")
    yield "hard link out, absolute", member(b"h", target=absolute + b"/victim", **hard)
    yield "hard link out by pax", pax([(b"linkpath", b"../victim")]) + member(b"h", target=b"x", **hard)
    yield "hard link out by GNU long link", gnu_long(b"../victim", b"K") + member(b"h", target=b"x", **hard)
    yield "hard link through a link", into(b"..") + member(b"h", target=b"link/victim", **hard)
    yield "hard link to a link, then written", into(b"../victim") + member(b"h", target=b"link", **hard) + member(b"h", b"x")
    yield "hard link to a directory", member(b"d", **directory) + member(b"h", target=b"d", **hard)
    yield "hard link to itself", member(b"h", target=b"h", **hard)
    yield "hard link with data", header(b"h", kind=b"1", size=1, target=b"../victim") + padded(b"x")
    yield "directory becomes a link", member(b"d", **directory) + member(b"d/f", b"x") + member(b"d", target=b"..", **link) + member(b"d/victim", b"x")
    yield "empty directory becomes a link", member(b"d", **directory) + member(b"d", target=b"../secret", **link) + member(b"d/key", b"x")
    yield "directory's metadata through a link", member(b"d", kind=b"5", mode=0o777) + member(b"d", target=b"../secret", **link)
    yield "root becomes a link", member(b".", target=b"../secret", **link)
    yield "root becomes a file", member(b"./", b"x")
    yield "root with strange rights", member(b"./", kind=b"5", mode=0o7777, uid=7)
    yield "set-id file of root", member(b"su", b"#!/bin/sh\n", mode=0o6755)
    yield "block device", header(b"disk", kind=b"4", device=(8, 0))
    yield "device with huge numbers", header(b"disk", kind=b"3", device=(b"7777777\0", b"7777777\0"))
    yield "FIFO, then a file upon it", header(b"pipe", kind=b"6") + member(b"pipe", b"x")
    yield "device, then a file upon it", header(b"null", kind=b"3", device=(1, 3)) + member(b"null", b"x")
    yield "owner minus one", member(b"a", b"x", uid=b"\x80\0\0\0\xff\xff\xff\xff")
    yield "owner beyond 32 bits", member(b"a", b"x", uid=b"\x80\0\0\1\0\0\0\0")
    yield "negative size", header(b"a", size=b"\xff" * 12) + padded(b"x")
    yield "size beyond the end", header(b"a", size=1 << 30) + padded(b"x")
    yield "size of a directory", header(b"d", kind=b"5", size=512, mode=0o755) + padded(b"x")
    yield "sparse beyond its size", pax([(b"GNU.sparse.major", b"1"), (b"GNU.sparse.minor", b"0"), (b"GNU.sparse.realsize", b"1")]) + member(b"a", padded(b"1\n9999999999\n1\n") + b"x")
    yield "sparse map with negative numbers", pax([(b"GNU.sparse.major", b"1"), (b"GNU.sparse.minor", b"0"), (b"GNU.sparse.realsize", b"9")]) + member(b"a", padded(b"1\n-5\n-1\n") + b"x")
    yield "pax length that lies", member(b"pax", b"99999999999999999999 path=x\n", kind=b"x") + member(b"a", b"x")
    yield "pax key without value", member(b"pax", b"9 path=\n\0", kind=b"x") + member(b"a", b"x")
    yield "name with a zero byte by pax", pax([(b"path", b"a\0/../../victim")]) + member(b"a", b"x")
    yield "name of 300 bytes", pax([(b"path", b"x" * 300)]) + member(b"a", b"x")
    yield "name with escapes", pax([(b"path", b"a\x1b[2J\x07\nb")]) + member(b"a", b"x")
    yield "time beyond all time", pax([(b"mtime", b"99999999999999999999.5")]) + member(b"a", b"x")
    yield "attribute without a name", pax([(b"SCHILY.xattr.", b"x")]) + member(b"a", b"x")
    yield "attribute of 100 KiB", pax([(b"SCHILY.xattr.user.a", b"x" * 100_000)]) + member(b"a", b"x")
    yield "1,000 attributes", pax([(b"SCHILY.xattr.user.%d" % i, b"x") for i in range(1000)]) + member(b"a", b"x")
    yield "file capability of another kind", pax([(b"SCHILY.xattr.security.capability", b"\xff" * 4000)]) + member(b"a", b"x")


def good_tree():
    """A tree with one of everything; what mutants are made of."""
    return b"".join(
        [
            member(b"./", kind=b"5", mode=0o755),
            member(b"./etc/", kind=b"5", mode=0o755),
            member(b"./etc/passwd", b"root:x:0:0:root:/root:/bin/sh\n"),
            member(b"./bin", kind=b"2", target=b"usr/bin"),
            member(b"./usr/bin/", kind=b"5", mode=0o755),
            member(b"./usr/bin/tool", bytes(range(256)) * 5, mode=0o4755),
            member(b"./usr/bin/same", kind=b"1", target=b"./usr/bin/tool"),
            header(b"./dev/null", kind=b"3", device=(1, 3), mode=0o666),
            header(b"./run/pipe", kind=b"6"),
            pax([(b"path", "./usr/share/grüße".encode()), (b"SCHILY.xattr.user.note", b"hello"), (b"mtime", b"1600000000.5")]) + member(b"x", b"data" * 200),
            gnu_long(b"./" + b"long/" * 30 + b"name", b"L") + member(b"x", b"y"),
            pax([(b"GNU.sparse.major", b"1"), (b"GNU.sparse.minor", b"0"), (b"GNU.sparse.name", b"./sparse"), (b"GNU.sparse.realsize", b"100000")]) + member(b"x", padded(b"2\n0\n5\n90000\n5\n") + b"abcdefghij"),
            END,
        ]
    )


def checksummed(archive):
    """Headers whose sum is right again, so that a mutant gets past the first look."""
    archive = bytearray(archive)
    for at in range(0, len(archive) - 511, 512):
        if archive[at + 257 : at + 262] != b"ustar":
            continue
        archive[at + 148 : at + 156] = b" " * 8
        archive[at + 148 : at + 156] = b"%06o\0 " % (sum(archive[at : at + 512]) & 0o777777)
    return bytes(archive)


def mutant(archive, chance):
    archive = bytearray(archive)
    for _ in range(chance.choice((1, 1, 2, 4, 16))):
        at = chance.randrange(len(archive))
        kind = chance.randrange(6)
        if kind == 0:
            archive[at] ^= 1 << chance.randrange(8)
        elif kind == 1:
            archive[at] = chance.randrange(256)
        elif kind == 2:
            archive[at : at + chance.randrange(1, 64)] = chance.choice((b"\xff", b"\0", b"../", b"/", b"7", b"9")) * chance.randrange(1, 20)
        elif kind == 3:  # a block somewhere else
            block = archive[at & ~511 : (at & ~511) + 512]
            to = chance.randrange(len(archive)) & ~511
            archive[to:to] = block
        elif kind == 4:
            del archive[at & ~511 : (at & ~511) + 512]
        elif len(archive) > 1024:
            del archive[at:]
        if not archive:
            archive = bytearray(512)
    return checksummed(archive) if chance.random() < 0.8 else bytes(archive)


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--count", type=int, default=300, help="mutants (300; a release has 10000)")
    parser.add_argument("--seed", type=int, default=1)
    arguments = parser.parse_args()
    if os.getuid() != 0:
        print("this test makes device nodes and needs root")
        sys.exit(77)
    hostile.no_core_files()
    chance = random.Random(arguments.seed)
    target = hostile.Target()
    image = target.state / "image.tar"
    wrong, most, installed, structured = [], 0, 0, 0
    try:
        base = good_tree()
        cases = [("the good tree", base)] + [(name, archive + END) for name, archive in attacks(target.outer)]
        structured = len(cases) - 1
        for number in range(arguments.count + len(cases)):
            name, archive = cases[number] if number < len(cases) else (f"mutant {number - len(cases)} of seed {arguments.seed}", mutant(base, chance))
            image.write_bytes(archive)
            outcome = hostile.pull(image, target, ("--quiet",))
            most = max(most, outcome.memory)
            installed += outcome.status == 0
            if target.touched():
                wrong.append(f"{name}: something beside the target has changed")
                target.close()
                target = hostile.Target()
                image = target.state / "image.tar"
            elif not outcome.ended_well:
                wrong.append(f"{name}: status {outcome.status}: {outcome.text}")
            elif "crash" in outcome.text or "was stopped" in outcome.text:
                wrong.append(f"{name}: {outcome.text}")
            elif outcome.memory > hostile.MOST_MEMORY:
                wrong.append(f"{name}: {outcome.memory >> 20} MiB")
            elif number == 0 and (outcome.status != 0 or not stat.S_ISLNK(os.lstat(target.root / "bin").st_mode)):
                wrong.append(f"the good tree is not installed: {outcome.text}")
            target.fresh()
    finally:
        target.close()
    for line in wrong[:20]:
        print(f"FAILED: {line}", file=sys.stderr)
    total = structured + arguments.count
    print(f"figures: {structured} attacks, {arguments.count} mutants, {total + 1 - installed} refused, {len(wrong)} wrong, {most / 2**20:.1f} MiB at most")
    sys.exit(1 if wrong else 0)


if __name__ == "__main__":
    main()
