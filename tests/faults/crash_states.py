#!/usr/bin/python3
"""Power cuts. An install is recorded write by write; then the disk is brought into every state that a cut right after a flush can leave, and into random ones in
which some of the writes that were not flushed are missing. Each state must be one with which the firmware goes on to the network, or a whole installed
system. Some of them are really started."""

import collections
import random
import shutil

from faults import FIRMWARE_OPTION, Replay, arguments, finish, firmwares, record_install, starts, system_on
from boottest import LOGIN, NETWORK, next_boot, run
from machine import Site

SIZE = "512M"


class Judge:
    """Says of each state of the disk what is wrong with it, and keeps some states to start them."""

    def __init__(self, firmware, work, replay):
        self.firmware, self.work, self.replay, self.whole = firmware, work, replay, None
        self.counts, self.faults = collections.Counter(), []

    def expected(self):
        """LOGIN, NETWORK, or a fault in words."""
        found = starts(self.replay.path, self.firmware)
        if found == "nothing":
            return NETWORK
        if found == "a hang":
            return "sector 0 has a boot signature and no code: a BIOS hangs"
        system = system_on(self.replay.path, self.work)
        return LOGIN if system == self.whole else f"the disk starts, but its system is not whole: {system[:300]}"

    def judge(self, what):
        expected = self.expected()
        self.counts[expected] += 1
        if expected not in (LOGIN, NETWORK) and self.counts[expected] <= 3:  # three of a kind tell enough
            self.faults.append(f"{self.firmware}, {what}: {expected}")
        return expected


def keep(replay, place):
    """A copy of the disk as it is now, to be started later."""
    shutil.copyfile(replay.path, place)
    return place


def judge_states(judge, replay, numbers, count, boots):
    """Goes once through the log; the states that are to be started, as (path, expected)."""
    entries = replay.entries
    flushes = [index for index, write in enumerate(entries) if write.flush]
    # Cuts are where writes are under way; each with the writes since the last flush of which some are lost.
    cuts = sorted(numbers.choice([index for index, write in enumerate(entries) if not write.flush]) for _ in range(count))
    late = flushes[-len(flushes) // 5 :]
    to_boot = set(numbers.sample(late, min(len(late), boots - boots // 2))) | set(numbers.sample(flushes, min(len(flushes), boots // 2)))
    kept, pending = [], []
    for index, write in enumerate(entries):
        if write.flush:
            for each in pending:
                replay.do(each)
            pending = []
            replay.do(write)
            expected = judge.judge(f"after flush {flushes.index(index) + 1} of {len(flushes)}")
            if index in to_boot:
                kept.append((keep(replay, judge.work / f"state-{index}.img"), expected))
            continue
        pending.append(write)
        while cuts and cuts[0] == index:
            cuts.pop(0)
            share = numbers.random()
            survived = [each for each in pending if each.durable or numbers.random() < share]
            replay.do_for_a_moment(survived, lambda: judge.judge(f"cut at write {index} of {len(entries)}, {len(pending) - len(survived)} of {len(pending)} unflushed writes lost"))
    return kept, len(flushes)


def crash(firmware, parsed, work):
    with Site(work, firmware, append=["signet.on-success=poweroff"], size=SIZE) as site:
        writes = record_install(site, f"crash-{firmware}", SIZE)
    replay = Replay(work / "replay.img", SIZE, writes)
    try:
        judge = Judge(firmware, work, replay)
        # What a whole system is: the one that the install has left, and it starts.
        judge.whole = system_on(site.disk, work)
        if next_boot(work, site.disk, f"crash-{firmware}-whole", firmware == "uefi") != LOGIN:
            judge.faults.append(f"{firmware}: what was installed does not start")
        kept, flushes = judge_states(judge, replay, random.Random(parsed.seed), parsed.count, parsed.boot)
        if judge.counts[LOGIN] == 0:
            judge.faults.append(f"{firmware}: no state is a whole system, not even the last")
    finally:
        replay.close()
    agreed = 0
    for place, expected in kept:
        seen = next_boot(work, place, f"crash-{place.stem}", firmware == "uefi")
        if seen in (LOGIN, NETWORK) and seen == expected:
            agreed += 1
        else:
            judge.faults.append(f"{firmware}, {place.stem}: started, it comes to {seen}; expected {expected}")
        place.unlink()
    good = judge.counts[NETWORK] + judge.counts[LOGIN]
    figures = f"{firmware}: {len(replay.entries)} writes, {flushes} flush points and {parsed.count} cuts with lost writes: "
    figures += f"{judge.counts[NETWORK]} go on to the network, {judge.counts[LOGIN]} whole, {sum(judge.counts.values()) - good} neither; {agreed} of {len(kept)} started as judged"
    return figures, judge.faults


def main():
    boot = dict(type=int, default=4, metavar="K", help="states that are really started, for each firmware (4)")
    parsed = arguments(__doc__, 100, firmware=FIRMWARE_OPTION, boot=boot)

    def body(work):
        lines, faults = [], []
        for firmware in firmwares(parsed):
            (work / firmware).mkdir()
            figures, found = crash(firmware, parsed, work / firmware)
            lines.append(figures)
            faults += found
        finish("crash-states", "; ".join(lines), faults)

    run("crash-states", body)


if __name__ == "__main__":
    main()
