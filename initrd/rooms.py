"""What each room of src/ and each library costs in the agent: from the linker's map, as `initrd/pack --sizes` prints it."""

import collections
import re
import struct

LOAD = 1  # p_type of a segment that is in memory (elf(5))


def segments(program):
    """(address, size, offset) of what the file holds of each segment."""
    start, entry_size, count = struct.unpack_from("<Q", program, 32)[0], *struct.unpack_from("<HH", program, 54)
    for number in range(count):
        kind, _, offset, address, _, size = struct.unpack_from("<IIQQQQ", program, start + number * entry_size)
        if kind == LOAD:
            yield address, size, offset


def owner(path):
    """Whose an object is: "room image", "libext2fs"; what the linker made itself has no path."""
    archive = re.search(r"lib([\w+-]+?)(?:-[\d.]+)?\.a(?:\(|$)", path)
    if not archive:
        return "the linker" if path.startswith("<internal>") else "musl's start" if "crt" in path else "room agent"
    name = archive.group(1)
    return f"room {name[7:]}" if name.startswith("signet_") else f"lib{name}"


def parts(program, link_map):
    """The bytes of each owner: {owner: bytes}. `link_map` is what lld's -Map wrote for the same program."""
    table = list(segments(program))
    found = collections.defaultdict(bytearray)
    for line in link_map.splitlines():
        # VMA, LMA, size, alignment, then by depth: output section, "        file:(section)", symbol.
        match = re.match(r"\s*([0-9a-f]+)\s+[0-9a-f]+\s+([0-9a-f]+)\s+\d+ {9}(\S.*):\(([^)]*)\)$", line)
        if not match:
            continue
        address, size = int(match.group(1), 16), int(match.group(2), 16)
        for base, length, offset in table:
            if address and base <= address < base + length:
                found[owner(match.group(3))] += program[offset + address - base : offset + min(address - base + size, length)]
    return found


def table(program, link_map, compress, whole):
    """Lines of the table. The compressed size of an owner is that of its bytes alone, made to add up to `whole`, the program's."""
    sizes = {name: (len(data), len(compress(bytes(data)))) for name, data in parts(program, link_map).items()}
    if not sizes:
        return "  (the linker's map says nothing)"
    scale = whole / sum(packed for _, packed in sizes.values())
    lines = [f"  {'in the agent':<40} {'bytes':>9} {'xz':>9}"]
    for name, (size, packed) in sorted(sizes.items(), key=lambda each: -each[1][1]):
        lines.append(f"  {name:<40} {size:>9} {round(packed * scale):>9}")
    return "\n".join(lines)
