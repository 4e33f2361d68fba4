"""One state of a workspace (so many files, so many snapshots), and latencies measured on it.

Every contestant in the lab is brought into the same state. Operations are then timed one by one,
the contestants taking turns at each, in this process: no program's start is in the figures. Before
each turn is a pause, in which what the last operation left to do in the background gets done and is
not counted against the other side.
"""
import concurrent.futures
import os
import time

from workload import Result, Watchdog, WorkloadError, read_child

GROUP = "checkpoints"
_PAUSE_S = 0.004
_SAMPLE_S = 120.0
_FILL_BATCH = 200
_CHANGED = b"A file of one page that is rewritten before each checkpoint.\n" * 70


class Lab:
    """Contestants in the same state."""

    def __init__(self, bench, contestants, samples, label=""):
        self.bench = bench
        self.contestants = contestants
        self.samples = samples
        self.label = label
        self.files = 0
        self.snapshots = 0
        self._serial = 0

    @property
    def state(self):
        """The state in words, for a row's name."""
        return f"{self.files:,} files, {self.snapshots:,} snapshots{self.label}"

    # --- bringing about a state -------------------------------------------------------------------

    def make_files(self, count, bytes_each):
        """Makes files until the workspace has `count`: the one that changes, and others."""
        more = count - max(1, self.files)

        def make(contestant):
            self.change(contestant)
            directory = f"{contestant.root}/up-to-{count}"
            os.mkdir(directory)
            read_child([f"{self.bench.binaries}/tree_probe", "create", directory, str(more),
                        str(bytes_each)], "/", timeout_s=900)

        self._side_by_side(make)
        os.sync()
        self.files = count

    def walk(self):
        """Looks every file up, so that all are known to the kernel where it keeps that."""
        self._side_by_side(
            lambda c: read_child(["find", c.root, "-size", "+1M"], "/", timeout_s=900))

    def _side_by_side(self, action):
        """For all contestants at once, to save time: for what is not measured."""
        with concurrent.futures.ThreadPoolExecutor(len(self.contestants)) as pool:
            list(pool.map(action, self.contestants))

    def fill(self, count, budget_s):
        """Takes snapshots until there are `count`; returns why it stopped before, or ""."""
        deadline = time.monotonic() + budget_s
        while self.snapshots < count:
            names = [f"fill-{i:06}" for i in range(self.snapshots, count)][:_FILL_BATCH]
            self._side_by_side(lambda c, names=names: [c.checkpoint(name) for name in names])
            self.snapshots += len(names)
            if time.monotonic() > deadline and self.snapshots < count:
                return (f"{count:,} snapshots were not reached: there were {self.snapshots:,} when "
                        f"the {budget_s:.0f} s for making more were over")
        return ""

    def change(self, contestant):
        """The small change before a checkpoint or rollback: one page of one file."""
        self._serial += 1
        overwrite(f"{contestant.root}/changed", b"%08d" % self._serial + _CHANGED[8:4096])

    # --- measuring --------------------------------------------------------------------------------

    def measure(self, name, operation, target="", before=None, samples=None, budget_s=60.0):
        """Times `operation(contestant, i)`, which returns seconds; `before` is untimed."""
        result = Result(GROUP, f"{name}, {self.state}", "s", target, row=name,
                        column=self.state, ratio_of_medians=True)
        deadline = time.monotonic() + budget_s
        wanted = samples or self.samples
        for i in range(wanted):
            if time.monotonic() > deadline and i >= 3:
                result.notes.append(f"{i} of {wanted} samples: its time was up")
                break
            first = i % len(self.contestants)
            for contestant in self.contestants[first:] + self.contestants[:first]:
                if contestant.name not in result.failures:
                    _sample(result, contestant, operation, before, i)
        return result

    def measure_all(self):
        """Everything that is timed on one state; afterwards the state is the same again.

        Returns rows by a name without the state.
        """
        rows = {}

        def row(name, operation, **more):
            rows[name] = self.measure(name, operation, **more)

        row("checkpoint after a small change", lambda c, i: c.checkpoint(f"change-{i}"),
            target="checkpoint", before=self.change)
        row("checkpoint without a change", lambda c, i: c.checkpoint(f"idle-{i}"),
            target="checkpoint")
        row("rename of a snapshot", lambda c, i: c.rename(f"change-{i}", f"renamed-{i}"))
        row("names of all snapshots (readdir)", lambda c, _: _timed(c.snapshots), samples=10,
            budget_s=20)
        row("deletion of a snapshot (native: ioctl and commit)",
            lambda c, i: c.delete(f"renamed-{i}"))
        self._keep_only_the_filling()
        for contestant in self.contestants:
            contestant.checkpoint("base")
        row("rollback, undo=on", lambda c, _: c.rollback("base", keep=True), target="rollback",
            before=self.change)
        self._keep_only_the_filling("base")
        row("unmount and mount", lambda c, _: c.remount(undo="off"), samples=5)
        row("rollback, undo=off", lambda c, _: c.rollback("base", keep=False), target="rollback",
            before=self.change)
        for contestant in self.contestants:
            contestant.remount()
        self._keep_only_the_filling()
        return rows

    def _keep_only_the_filling(self, *others):
        for contestant in self.contestants:
            for name in contestant.snapshots():
                if not name.startswith("fill-") and name not in others:
                    contestant.delete(name)


def _sample(result, contestant, operation, before, i):
    try:
        with Watchdog(time.monotonic() + _SAMPLE_S, contestant):
            if before:
                before(contestant)
            time.sleep(_PAUSE_S)
            cpu = contestant.cpu_seconds()
            value = operation(contestant, i)
    except (OSError, RuntimeError, WorkloadError) as error:
        result.failures[contestant.name] = str(error)
        return
    result.values.setdefault(contestant.name, []).append(value)
    result.cpu_s.setdefault(contestant.name, []).append(contestant.cpu_seconds() - cpu)


def overwrite(path, piece, count=1):
    """Writes a file over in place: all of it is in memory only when this returns.

    A file that was truncated before would not do: when such a file is closed, btrfs begins to write
    it to disk.
    """
    fd = os.open(path, os.O_WRONLY | os.O_CREAT, 0o644)
    try:
        for _ in range(count):
            os.write(fd, piece)
    finally:
        os.close(fd)


def _timed(action):
    begin = time.perf_counter()
    action()
    return time.perf_counter() - begin


def growth(name, first, last):
    """A row that says by how much a latency's median has grown from one state to another."""
    # What is gone when a mount ends has to be made anew by the next: the design lets it be linear.
    target = "" if "mount" in name else "flat"
    result = Result(GROUP, name, "×", target, absolute=True, may_grow_with_native=True)
    for contestant in first.values:
        if last.values.get(contestant):
            result.values[contestant] = [last.median(contestant) / first.median(contestant)]
    return result
