"""Runs the tests that ctest knows: a few at a time, the weightiest first, within a time if one is given; keeps the results of long rows by their inputs.

Called by tests/run, which has installed what this needs."""

import argparse
import hashlib
import json
import os
import pathlib
import re
import signal
import subprocess
import sys
import tempfile
import threading
import time

TOP = pathlib.Path(__file__).resolve().parent.parent
CACHE = pathlib.Path(os.environ.get("SIGNET_CACHE") or pathlib.Path.home() / ".cache/signet")
BUILD = TOP / "build/host"
# Each test's mounts are its own: a daemon that another test starts would keep a copy of them, and with it the loop devices below. So is /run/signet, where an
# agent notes what it has mounted.
PRIVATE = 'mkdir -p /run/signet && mount -t tmpfs tmpfs /run/signet && exec "$@"'
ALONE = ["unshare", "--mount", "--propagation", "private", "--", "sh", "-c", PRIVATE, "sh"] if os.getuid() == 0 else []
UNKNOWN_COST = 60  # seconds, of a test that has never run here and does not say

HELP = """Builds what the tests need and runs them. Without options: every test but the breadth of ways in, servers, cards, and the long rows.

  tests/run -L unit             tests with that label: unit integration boot faults fuzz lint
  tests/run -R failures         tests with that in their name
  tests/run --rerun-failed      those that failed in the last run
  tests/run --within 75m        the most important tests first, the others and the breadth while time lasts; names those that are left
  tests/run --all               breadth and long rows too; a result is kept until one of its inputs changes, so a run goes on where the last one ended
  tests/run --all --slice 2/4   the second quarter of the rows
  tests/run --fuzz              every fuzz target for ten minutes
  tests/run --figures           the table of kept results, as docs/reliability.md has it"""


class Test:
    def __init__(self, entry):
        properties = {each["name"]: each["value"] for each in entry.get("properties", [])}
        self.name = entry["name"]
        self.command = entry.get("command", [])
        self.labels = properties.get("LABELS", [])
        self.limit = float(properties.get("TIMEOUT", 1500))
        self.cost = float(properties.get("COST", 0))
        self.inputs = properties.get("REQUIRED_FILES", [])
        self.skip_status = properties.get("SKIP_RETURN_CODE")
        self.directory = properties.get("WORKING_DIRECTORY", str(TOP))
        self.environment = dict(each.split("=", 1) for each in properties.get("ENVIRONMENT", []))

    def has(self, label):
        return label in self.labels

    def key(self):
        """Stands for all that the result depends on: the command and the inputs that CMakeLists.txt names, or else the whole tree."""
        digest = hashlib.sha256(" ".join(self.command).replace(str(TOP), "").encode())
        for path in sorted(inputs_of(self)):
            digest.update(f"{path.relative_to(TOP)}\0".encode() + file_digest(path))
        return digest.hexdigest()[:24]


_digests = {}


def file_digest(path):
    stamp = (path, path.stat().st_mtime_ns, path.stat().st_size)
    if stamp not in _digests:
        with open(path, "rb") as file:
            _digests[stamp] = hashlib.file_digest(file, "sha256").digest()
    return _digests[stamp]


def inputs_of(test):
    named = [pathlib.Path(each) for each in test.inputs]
    if not named:
        listed = subprocess.run(["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"], cwd=TOP, stdout=subprocess.PIPE, check=True).stdout
        named = [TOP / each.decode() for each in listed.split(b"\0") if each]
    for path in named:
        if path.is_dir():
            yield from (each for each in path.rglob("*") if each.is_file() and "__pycache__" not in each.parts)
        elif path.is_file():
            yield path


def parse_time(text):
    match = re.fullmatch(r"(\d+)([smh]?)", text)
    if not match:
        raise argparse.ArgumentTypeError(f"'{text}' is not a time; write 75m, 90s or 2h")
    return int(match.group(1)) * {"": 60, "s": 1, "m": 60, "h": 3600}[match.group(2)]


def parse_slice(text):
    match = re.fullmatch(r"(\d+)/(\d+)", text)
    if not match or not 1 <= int(match.group(1)) <= int(match.group(2)):
        raise argparse.ArgumentTypeError(f"'{text}' is not a slice; write 2/4 for the second quarter")
    return int(match.group(1)), int(match.group(2))


def parse():
    parser = argparse.ArgumentParser(prog="tests/run", description=HELP, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("-L", "--label", action="append", default=[], metavar="RE")
    parser.add_argument("-R", "--name", action="append", default=[], metavar="RE")
    parser.add_argument("-E", "--exclude", action="append", default=[], metavar="RE")
    # Machines wait as much as they work.
    parser.add_argument("-j", "--jobs", type=int, default=os.cpu_count() * 3 // 2)
    parser.add_argument("--rerun-failed", action="store_true")
    parser.add_argument("--within", type=parse_time, metavar="TIME")
    parser.add_argument("--all", action="store_true")
    parser.add_argument("--slice", type=parse_slice, metavar="K/N")
    parser.add_argument("--fuzz", action="store_true")
    parser.add_argument("--figures", action="store_true")
    parser.add_argument("--list", action="store_true", help="print the names of what would run")
    arguments = parser.parse_args()
    if arguments.slice and not arguments.all:
        parser.error("--slice goes with --all")
    return arguments


def step(what, *command):
    """One step of the set-up; its output goes to a log that is shown if it fails."""
    log = CACHE / "logs" / f"tests-{what.replace(' ', '-')}.log"
    log.parent.mkdir(parents=True, exist_ok=True)
    started = time.monotonic()
    with open(log, "wb") as output:
        status = subprocess.run([str(word) for word in command], cwd=TOP, stdout=output, stderr=None if command[0] != "cmake" else output, stdin=subprocess.DEVNULL).returncode
    if status != 0:
        lines = log.read_text(errors="replace").splitlines()
        wrong = [number for number, line in enumerate(lines) if re.search(r"\berror\b|FAILED", line)]
        sys.stderr.write("\n".join(lines[wrong[0] : wrong[0] + 40] if wrong else lines[-20:]) + "\n")
        sys.exit(f"tests/run: {what}: failed; the whole log is {log}")
    print(f"set-up: {what} ({time.monotonic() - started:.0f} s)", flush=True)


def known_tests():
    listed = subprocess.run(["ctest", "--test-dir", BUILD, "--show-only=json-v1"], stdout=subprocess.PIPE, check=True).stdout
    return [Test(entry) for entry in json.loads(listed)["tests"]]


def chosen(tests, arguments):
    """The tests that the options name, in the order in which they run."""
    if arguments.fuzz:
        tests = [test for test in tests if test.has("fuzz-long")]
    elif arguments.all:
        tests = [test for test in tests if not test.has("fuzz-long")]
    else:
        wide = arguments.within or arguments.label or arguments.name or arguments.rerun_failed
        tests = [test for test in tests if not (test.has("row") or test.has("fuzz-long") or (test.has("wide") and not wide))]
    if arguments.rerun_failed:
        failed = read_json(BUILD / "failed.json", [])
        tests = [test for test in tests if test.name in failed]
    for pattern in arguments.label:
        tests = [test for test in tests if any(re.search(pattern, label) for label in test.labels)]
    for pattern in arguments.name:
        tests = [test for test in tests if re.search(pattern, test.name)]
    for pattern in arguments.exclude:
        tests = [test for test in tests if not re.search(pattern, test.name)]
    if arguments.slice:
        part, parts = arguments.slice
        tests = [test for number, test in enumerate(sorted(tests, key=lambda each: each.name)) if number % parts == part - 1]
    return sorted(tests, key=lambda test: (not test.has("must"), test.has("row"), test.has("metal"), test.has("wide"), -test.cost))


def read_json(path, otherwise):
    try:
        return json.loads(path.read_text())
    except (OSError, ValueError):
        return otherwise


def write_json(path, value):
    path.parent.mkdir(parents=True, exist_ok=True)
    new = path.with_name(f"{path.name}.{os.getpid()}.new")
    new.write_text(json.dumps(value, indent=1))
    new.replace(path)


class Kept:
    """Results of rows in the cache, by the key of their inputs."""

    directory = CACHE / "rows"

    def path(self, test, key):
        return self.directory / f"{test.name}-{key}.json"

    def find(self, test):
        return read_json(self.path(test, test.key()), None)

    def keep(self, test, key, status, seconds, figures):
        commit = subprocess.run(["git", "describe", "--always", "--dirty", "--abbrev=10"], cwd=TOP, stdout=subprocess.PIPE, text=True).stdout.strip()
        write_json(self.path(test, key), {"status": status, "seconds": round(seconds, 1), "figures": figures, "commit": commit, "day": time.strftime("%Y-%m-%d")})


class Run:
    """Works through a list of tests with a few workers."""

    def __init__(self, tests, arguments, started):
        self.waiting, self.arguments, self.started = list(tests), arguments, started
        self.total = len(tests)
        self.lock = threading.Lock()
        self.done = {}  # name: (status, seconds)
        self.left = []
        self.running = {}
        self.stopped = False
        self.kept = Kept()
        self.seconds = read_json(CACHE / "tests/seconds.json", {})
        self.expected = self.taken = 0.0  # of the tests that have ended: how slow this machine is
        self.metal = threading.Lock()
        self.metal_made = False

    def deadline(self):
        return self.started + self.arguments.within if self.arguments.within else None

    def cost(self, test):
        slowness = max(1.0, self.taken / self.expected) if self.expected > 60 else 1.0
        return self.seconds.get(test.name, (test.cost or UNKNOWN_COST) * slowness)

    def next(self):
        with self.lock:
            while self.waiting and not self.stopped:
                test = self.waiting.pop(0)
                if self.deadline() and not test.has("must") and time.time() + 1.2 * self.cost(test) > self.deadline():
                    self.left.append(test.name)
                    continue
                return test
        return None

    def work(self):
        while (test := self.next()) is not None:
            key = test.key() if self.arguments.all else None
            kept = self.kept.find(test) if self.arguments.all else None
            if kept and kept["status"] == "ok":
                self.say(test, "kept", kept["seconds"], kept["figures"] or "")
                continue
            if test.has("metal"):
                self.make_metal()
            status, seconds, output = self.perform(test)
            if status == "left":
                with self.lock:
                    self.left.append(test.name)
                continue
            figures = next((line[9:] for line in reversed(output.splitlines()) if line.startswith("figures: ")), "")
            if self.arguments.all and status in ("ok", "failed"):
                self.kept.keep(test, key, status, seconds, figures)
            self.say(test, status, seconds, figures, output)

    def make_metal(self):
        with self.metal:
            if not self.metal_made:
                step("the kernel for servers and PCs", "toolchain/artefacts", "--all")
                self.metal_made = True

    def perform(self, test):
        limit = test.limit
        if self.deadline():
            limit = min(limit, max(10, self.deadline() + 300 * test.has("must") - time.time()))
        started = time.monotonic()
        with tempfile.TemporaryFile() as output:
            process = subprocess.Popen(
                [*ALONE, *test.command], cwd=test.directory, env=os.environ | test.environment, stdin=subprocess.DEVNULL, stdout=output, stderr=subprocess.STDOUT, start_new_session=True
            )
            with self.lock:
                self.running[test.name] = process
            try:
                code = process.wait(limit)
            except subprocess.TimeoutExpired:
                code = None
                end_group(process)
            with self.lock:
                del self.running[test.name]
            seconds = time.monotonic() - started
            output.seek(0)
            text = output.read().decode(errors="replace")
        if self.stopped:
            return "left", seconds, text
        if code is None and limit < test.limit:
            return "left", seconds, text
        if code is None:
            return "failed", seconds, f"{text}\n{test.name}: stopped after {limit:.0f} s"
        if code == test.skip_status:
            return "skipped", seconds, text
        return ("ok" if code == 0 else "failed"), seconds, text

    def say(self, test, status, seconds, figures, output=""):
        with self.lock:
            self.done[test.name] = (status, seconds)
            if status == "ok":
                self.expected += test.cost
                self.taken += seconds if test.cost else 0
                self.seconds[test.name] = round(seconds, 1)
            if status == "failed":
                print(f"\n--- {test.name} ---\n{output.rstrip()}\n---", flush=True)
            if status == "skipped":
                figures = output.strip().splitlines()[-1] if output.strip() else ""
            print(f"{len(self.done):3}/{self.total} {status:<7} {test.name:<34} {seconds:7.1f} s  {figures}".rstrip(), flush=True)

    def stop(self):
        with self.lock:
            self.stopped = True
            running = list(self.running.values())
        for process in running:
            end_group(process)

    def run(self):
        workers = [threading.Thread(target=self.work, daemon=True) for _ in range(max(1, self.arguments.jobs))]
        for worker in workers:
            worker.start()
        try:
            for worker in workers:
                while worker.is_alive():
                    worker.join(0.2)
        except KeyboardInterrupt:
            self.stop()
            raise
        write_json(CACHE / "tests/seconds.json", self.seconds)


def end_group(process):
    """Ends a test with all that it has started; its own clean-up gets some seconds."""
    for sign, patience in ((signal.SIGTERM, 20), (signal.SIGKILL, 5)):
        try:
            os.killpg(process.pid, sign)
        except ProcessLookupError:
            return
        try:
            process.wait(patience)
        except subprocess.TimeoutExpired:
            continue


def figures_table(tests):
    """The kept results of rows as Markdown: figures, seconds and the commit that they were measured on."""
    kept = Kept()
    lines = ["| row | result | figures | seconds | commit | day |", "|---|---|---|---|---|---|"]
    for test in sorted((each for each in tests if each.has("row") or each.has("wide")), key=lambda each: each.name):
        found = kept.find(test)
        if found:
            lines.append(f"| {test.name} | {found['status']} | {found['figures']} | {found['seconds']:.0f} | {found['commit']} | {found['day']} |")
        else:
            lines.append(f"| {test.name} | not run with these inputs | | | | |")
    return "\n".join(lines)


def main():
    arguments = parse()
    started = float(os.environ.get("SIGNET_TESTS_STARTED") or time.time())
    signal.signal(signal.SIGTERM, lambda *_: (_ for _ in ()).throw(KeyboardInterrupt()))
    step("programs, kernel and media", "toolchain/artefacts")
    step("configuration", "cmake", "--preset", "host")
    tests = known_tests()
    if arguments.figures:
        print(figures_table(tests))
        return
    tests = chosen(tests, arguments)
    if arguments.list:
        print("\n".join(test.name for test in tests))
        return
    if not tests:
        sys.exit("tests/run: no test fits these options; --list shows what would run")
    step("unit tests", "cmake", "--build", "--preset", "host")
    # ctest does not know the command of a program that is not built yet.
    tests = chosen(known_tests(), arguments)
    if unknown := [test.name for test in tests if not test.command]:
        sys.exit(f"tests/run: ctest does not say how these are run: {' '.join(unknown)}")
    if any(test.has("boot") or test.has("faults") or test.has("integration") for test in tests):
        step("small image", "qemu/small-image")
    if any(test.has("debian") for test in tests):
        step("Debian image", "qemu/image")
    if arguments.all:
        step("servers and judges", "toolchain/bootstrap", "--all")
    run = Run(tests, arguments, started)
    run.run()

    failed = sorted(name for name, (status, _) in run.done.items() if status == "failed")
    write_json(BUILD / "failed.json", failed)
    count = {status: sum(1 for each, _ in run.done.values() if each == status) for status in ("ok", "kept", "skipped", "failed")}
    parts = [f"{number} {status}" for status, number in count.items() if number]
    print(f"\n{', '.join(parts) or 'nothing ran'}; {(time.time() - started) / 60:.1f} min in all")
    if run.left:
        print(f"left for want of time ({len(run.left)}): {' '.join(sorted(run.left))}")
    if arguments.all:
        table = figures_table(known_tests())
        (TOP / "build/figures.md").write_text(table + "\n")
        print(f"\n{table}")
    if failed:
        sys.exit(f"failed: {' '.join(failed)}")


if __name__ == "__main__":
    try:
        main()
    except KeyboardInterrupt:
        sys.exit("tests/run: stopped")
