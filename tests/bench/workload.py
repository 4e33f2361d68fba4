"""What a workload is, and how contestants take turns at it.

Each round runs every contestant once, in rotated order, from the same state. A result is the median
of a contestant's rounds, and the median of the ratios to native within each round: what slows the
machine for a while slows both sides of a ratio.
"""
import dataclasses
import os
import signal
import statistics
import subprocess
import sys
import tempfile
import threading
import time

from targets import TARGETS

NATIVE = "native"


class WorkloadError(Exception):
    """A workload could not be measured; says why in one line."""


class NotMeasured(Exception):
    """It cannot be measured on this machine (no network, no such program); that is no failure."""


@dataclasses.dataclass
class Result:
    """The raw values of one row of the report: per contestant, a value for each round."""

    group: str
    name: str
    unit: str  # "s", "B/s", "B" or "×"
    target: str = ""
    # Where it stands in a grid of rows that differ in one thing, such as the size of blocks.
    row: str = ""
    column: str = ""
    values: dict = dataclasses.field(default_factory=dict)
    cpu_s: dict = dataclasses.field(default_factory=dict)
    failures: dict = dataclasses.field(default_factory=dict)
    notes: list = dataclasses.field(default_factory=list)
    # Of medians instead of within rounds: for latencies, where the target speaks of p50.
    ratio_of_medians: bool = False
    # The target is a limit for the value itself, and there is no native side.
    absolute: bool = False
    # What requests.summary says of one more measurement of ckptfs, and how long that took.
    requests: dict = dataclasses.field(default_factory=dict)
    traced_s: float = 0.0
    # What btrfs itself grows by is not laid at the door of what stands on it.
    may_grow_with_native: bool = False

    def median(self, contestant):
        """The median of a contestant's values, or None."""
        values = self.values.get(contestant)
        return statistics.median(values) if values else None

    def ratio(self, contestant):
        """A contestant's value to that of native, or None."""
        values, native = self.values.get(contestant), self.values.get(NATIVE)
        if not values or not native:
            return None
        if self.ratio_of_medians:
            return statistics.median(values) / statistics.median(native)
        return statistics.median(mine / its for mine, its in zip(values, native))

    def verdict(self, contestant="ckptfs"):
        """"ok", "MISSED", or "" where there is no target or no value."""
        value = self.median(contestant) if self.absolute else self.ratio(contestant)
        if not self.target or value is None:
            return ""
        if self.may_grow_with_native and (self.ratio(contestant) or 2) <= 1:
            return "ok"
        return "ok" if TARGETS[self.target].met_by(value) else "MISSED"


class Workload:
    """One row of the report. Subclasses measure; the rest is untimed."""

    group = ""
    name = ""
    unit = "s"
    target = ""
    row = column = ""
    rounds = 5
    rounds_of_others = 2  # all but native and ckptfs
    budget_s = 150.0
    peers = False  # whether contestants from peers.py take part
    trace = False  # whether the requests to the daemon are of interest
    passes = 1  # how often measure() does the same

    def __init__(self, bench):
        self.bench = bench

    def setup(self, contestant):
        """Before the first round. What it makes stays until the contestant goes."""

    def prepare(self, contestant):
        """Before each measurement; what it has written is on disk before the clock starts."""

    def measure(self, contestant):
        """Returns the value."""
        raise NotImplementedError

    def finish(self, contestant):
        """After each measurement."""


def run_turn_by_turn(workload, contestants, rounds):
    """Measures native and ckptfs in so many rounds, and the others perhaps in fewer."""
    result = Result(workload.group, workload.name, workload.unit, workload.target, workload.row,
                    workload.column)
    deadline = time.monotonic() + workload.budget_s
    active = list(contestants)
    for contestant in contestants:
        _attempt(workload.setup, contestant, active, result, deadline)
    for number in range(rounds):
        if number > 0 and time.monotonic() > deadline:
            result.notes.append(f"{number} of {rounds} rounds: its time was up")
            break
        for contestant in _rotated(active, number):
            if number < workload.rounds_of_others or contestant.name in (NATIVE, "ckptfs"):
                _attempt(lambda c: _measure(workload, c, result), contestant, active, result,
                         deadline + workload.budget_s)
    return result


def _rotated(contestants, number):
    shift = number % len(contestants) if contestants else 0
    return contestants[shift:] + contestants[:shift]


def _measure(workload, contestant, result):
    workload.prepare(contestant)
    os.sync()
    before = contestant.cpu_seconds()
    value = workload.measure(contestant)
    result.cpu_s.setdefault(contestant.name, []).append(contestant.cpu_seconds() - before)
    result.values.setdefault(contestant.name, []).append(value)
    workload.finish(contestant)


def _attempt(action, contestant, active, result, deadline):
    """Does it for one contestant, who is out of this workload if it fails or takes too long."""
    if contestant not in active:
        return
    watchdog = Watchdog(deadline, contestant)
    try:
        with watchdog:
            action(contestant)
    except (WorkloadError, OSError, RuntimeError, ValueError) as error:
        active.remove(contestant)
        why = "took too long and was stopped" if watchdog.expired else str(error)
        result.failures[contestant.name] = why
        print(f"bench: {result.name}: {contestant.name}: {why}", file=sys.stderr)


class Watchdog:
    """Ends contestants' daemons when their time is up: a call that waits for one then returns."""

    def __init__(self, deadline, *contestants):
        self._timer = threading.Timer(max(1.0, deadline - time.monotonic()), self._expire)
        self._timer.daemon = True
        self._contestants = contestants
        self.expired = False

    def _expire(self):
        self.expired = True
        for contestant in self._contestants:
            contestant.abort()

    def __enter__(self):
        self._timer.start()
        return self

    def __exit__(self, *_exception):
        self._timer.cancel()


def run_child(command, cwd, timeout_s=300.0, environment=None, statuses=(0,)):
    """Runs a program to its end, its output thrown away; returns the seconds that it took.

    Without wait(timeout), which sleeps and looks, longer and longer.
    """
    with tempfile.TemporaryFile() as errors:
        begin = time.perf_counter()
        child = subprocess.Popen(command, cwd=cwd, env=environment, stdin=subprocess.DEVNULL,
                                 stdout=subprocess.DEVNULL, stderr=errors, start_new_session=True)
        timer = threading.Timer(timeout_s, os.killpg, (child.pid, signal.SIGKILL))
        timer.start()
        try:
            status = child.wait()
            elapsed = time.perf_counter() - begin
        except BaseException:
            os.killpg(child.pid, signal.SIGKILL)
            child.wait()
            raise
        finally:
            timer.cancel()
        if status == -signal.SIGKILL and elapsed >= timeout_s:
            raise WorkloadError(f"{command[0]} ran for more than {timeout_s:.0f} s")
        if status not in statuses:
            errors.seek(0)
            said = errors.read().decode(errors="replace").strip()
            last = said.splitlines()[-1] if said else ""
            raise WorkloadError(f"{' '.join(command[:3])}… ended with {status}: {last}")
        return elapsed


def read_child(command, cwd, timeout_s=300.0):
    """Runs a program to its end and returns what it prints."""
    try:
        done = subprocess.run(command, cwd=cwd, capture_output=True, text=True, timeout=timeout_s,
                              stdin=subprocess.DEVNULL)
    except subprocess.TimeoutExpired:
        raise WorkloadError(f"{command[0]} ran for more than {timeout_s:.0f} s") from None
    if done.returncode != 0:
        said = (done.stderr or done.stdout).strip().splitlines()
        raise WorkloadError(f"{' '.join(command[:3])}… ended with {done.returncode}: "
                            f"{said[-1] if said else ''}")
    return done.stdout


def median_but_first(times):
    """The median of all passes but the first, which warms up."""
    return statistics.median(list(times)[1:])
