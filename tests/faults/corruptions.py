#!/usr/bin/python3
"""Corruptions of a packed image whose SHA-256 is known: bits, cuts, zeros, junk. Every one is refused with one message.

How many files were written before the refusal is counted as well: the digest is known at the image's end only."""

import argparse
import hashlib
import os
import random
import subprocess
import sys

import hostile
from hostile import END, member


def tree(chance):
    """A tree of 200 files, 1 MiB in all, half of it text and half of it noise."""
    parts = [member(b"./", kind=b"5", mode=0o755)]
    for number in range(200):
        data = chance.randbytes(5000) if number % 2 else b"a line of text\n" * 350
        parts.append(member(b"./file-%03d" % number, data))
    return b"".join(parts) + END


def corrupted(image, chance):
    image = bytearray(image)
    at = chance.randrange(len(image))
    kind = chance.choice(("bit", "cut", "zeros", "junk", "swap", "longer"))
    if kind == "bit":
        image[at] ^= 1 << chance.randrange(8)
    elif kind == "cut":
        del image[at:]
    elif kind == "zeros":
        length = min(chance.randrange(1, 5000), len(image) - at)
        image[at : at + length] = bytes(length)
    elif kind == "junk":
        length = min(chance.randrange(1, 5000), len(image) - at)
        image[at : at + length] = chance.randbytes(length)
    elif kind == "swap":
        half = chance.randrange(1, len(image))
        image = image[half:] + image[:half]
    else:
        image += chance.randbytes(chance.randrange(1, 5000))
    return kind, bytes(image)


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--count", type=int, default=60, help="corruptions (60; a release has 1000)")
    parser.add_argument("--seed", type=int, default=1)
    arguments = parser.parse_args()
    hostile.no_core_files()
    chance = random.Random(arguments.seed)
    plain = tree(chance)
    images = [subprocess.run(command, input=plain, stdout=subprocess.PIPE, check=True).stdout for command in (["zstd", "-qc"], ["gzip", "-c"], ["xz", "-0c"])] + [plain]
    target = hostile.Target()
    path = target.state / "image"
    wrong, early = [], 0
    try:
        for whole in images:
            path.write_bytes(whole)
            good = hostile.pull(path, target, ("--quiet", "--sha256", hashlib.sha256(whole).hexdigest()))
            if good.status != 0 or len(os.listdir(target.root)) != 200:
                wrong.append(f"the whole image is refused: {good.text}")
            target.fresh()
        for number in range(arguments.count):
            whole = images[number % len(images)]
            kind, bent = corrupted(whole, chance)
            if bent == whole:
                continue
            path.write_bytes(bent)
            outcome = hostile.pull(path, target, ("--sha256", hashlib.sha256(whole).hexdigest()))
            early += bool(os.listdir(target.root))
            # The checksum is the cause, whatever the decoder made of the bytes.
            if outcome.status != 1 or outcome.text.count("FAILED:") != 1 or "SHA-256" not in outcome.text:
                wrong.append(f"corruption {number} ({kind}) of seed {arguments.seed}: status {outcome.status}: {outcome.text}")
            if target.touched():
                wrong.append(f"corruption {number} ({kind}) of seed {arguments.seed}: something beside the target has changed")
            target.fresh()
    finally:
        target.close()
    for line in wrong[:20]:
        print(f"FAILED: {line}", file=sys.stderr)
    print(f"figures: {arguments.count} corruptions, {arguments.count - len(wrong)} refused for their SHA-256, {early} after files were written")
    sys.exit(1 if wrong else 0)


if __name__ == "__main__":
    main()
