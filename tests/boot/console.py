#!/usr/bin/python3
"""The lab itself: what a guest answers is read whole, whatever else writes to its console, by the shells that guests have."""

import random
import subprocess
import threading

from boottest import TOP, check, lab, log, require_equal, run

PROMPT = rb"root@guest:~# "
MESSAGE = b"[   12.345678] hrtimer: interrupt took 1234567 ns\n"


class Noise:
    """Writes a kernel's message to a terminal every few milliseconds, also in the middle of lines, for as long as the `with` block lasts."""

    def __init__(self, terminal, gap):
        self.terminal, self.gap, self.over, self.messages = terminal, gap, threading.Event(), 0
        self.thread = threading.Thread(target=self.write, daemon=True)

    def write(self):
        numbers = random.Random(7)
        with open(self.terminal, "wb", buffering=0) as terminal:
            while not self.over.wait(numbers.uniform(0, self.gap)):
                terminal.write(MESSAGE)
                self.messages += 1

    def __enter__(self):
        self.thread.start()
        return self

    def __exit__(self, *_):
        self.over.set()
        self.thread.join()


def talk(guest, gap, shell):
    with Noise(guest.run("tty", PROMPT)[0].strip(), gap) as noise:
        for lines in range(0, 60, 3):
            # One character at a time, so that messages get into lines.
            text, status = guest.run(f"for i in $(seq 1 {lines}); do printf l; printf i; printf 'ne %s\\n' $i; done; (exit {lines % 5})", PROMPT)
            require_equal(text, "".join(f"line {i}\n" for i in range(1, lines + 1)), "a guest's answer")
            require_equal(status, lines % 5, "a guest's status")
    check(noise.messages > 20, f"{shell}: 20 answers are whole among {noise.messages} messages", noise.messages)
    text, status = guest.run("printf 'no end of line'; echo $(printf '\\342\\202\\254'); false", PROMPT)
    require_equal((text, status), ("no end of line€\n", 1), "bytes and status")
    guest.run("cd /tmp; kept=1", PROMPT)
    require_equal(guest.run("echo $kept; pwd", PROMPT)[0], "1\n/tmp\n", "the shell keeps its state")


def console(work):
    busybox = subprocess.run([TOP / "initrd/busybox"], stdout=subprocess.PIPE, check=True, text=True).stdout.strip()
    for shell in (["bash", "--norc", "--noprofile", "-i"], [busybox, "ash", "-i"]):
        name = "ash" if "ash" in shell else "bash"
        for gap in (0.02, 0.002):
            with lab.Guest(["env", "PS1=root@guest:~# ", *shell], log(f"console-{name}"), timeout=20) as guest:
                guest.await_prompt(PROMPT)
                talk(guest, gap, name)


if __name__ == "__main__":
    run("console", console, root=False)
