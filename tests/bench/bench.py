"""A run: which workloads and contestants it has, and what of them is up at the moment."""
import contextlib
import os
import re
import shlex
import shutil
import sys
import tempfile
import time

import checkpoint_peers
import checkpoints
import contestants
import data
import machine
import projects
import requests
import starts
import trees
from material import Material
from options import OWN
from peers import PEERS
from workload import NotMeasured, Result, Watchdog, WorkloadError, run_turn_by_turn

_TREE_FILES = 6000
_SCENARIOS = (*checkpoints.SCENARIOS, checkpoint_peers.CheckpointPeers, starts.Starts)
# What a run writes, on all sides together, at its largest moment.
_FREE_BYTES_MIN = {True: 8 * 2**30, False: 40 * 2**30}


class Bench:
    """Made from the options; open() makes the scratch directory, results() does the work."""

    def __init__(self, options):
        self.options = options
        self.quick = options.quick
        self.binaries = options.binaries
        self.checkout = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
        self.how = shlex.join(["tools/bench", *_without_binaries(sys.argv[1:])])
        self.image_bytes = (10 if self.quick else 40) * 2**30
        self.material = None
        self.machine = {}
        self.scratch = ""
        self.done = []
        self.remarks = []
        self._stack = None
        self._count = 0
        self._cannot_trace = False
        self._up = set()
        contestants.use_programs(self.binaries, self.checkout)

    # --- what there is ----------------------------------------------------------------------------

    def names(self):
        """The names of all workloads that the options ask for."""
        self.material = Material("", self.checkout, _TREE_FILES)
        names = [f"{w.group}: {w.name}" for group in self._groups() for w in group]
        names += [f"checkpoints: {scenario.name}" for scenario in self._scenarios()]
        return names

    def _groups(self):
        for group in (trees.workloads(self), projects.workloads(self), data.workloads(self)):
            yield [w for w in group if self._wanted(f"{w.group}: {w.name}")]

    def _scenarios(self):
        return [scenario(self) for scenario in _SCENARIOS
                if self._wanted(f"checkpoints: {scenario.name}")]

    def _wanted(self, name):
        return not self.options.only or any(re.search(r, name) for r in self.options.only)

    def _chosen(self):
        asked = self.options.contestants or ("native,ckptfs" if self.quick else "")
        names = [name for name in asked.split(",") if name]
        missing = [kind.name for kind in PEERS if not kind.installed()
                   and (kind.name in names or not names)]
        if missing:
            self.remarks.append(f"not installed: {', '.join(missing)}")
        kinds = [*OWN, *(kind for kind in PEERS if kind.installed())]
        return [kind for kind in kinds if kind.name in names or not names]

    # --- what is up -------------------------------------------------------------------------------

    def open(self, stack):
        """Makes the scratch directory; `stack` undoes it, and all that follows, at the end."""
        self._stack = stack
        stack.callback(machine.set_uring_state, machine.uring_state())
        self.scratch = tempfile.mkdtemp(prefix="ckptfs-bench.", dir=self.options.dir)
        stack.callback(shutil.rmtree, self.scratch, ignore_errors=True)
        self._check_space()
        self.machine = machine.describe(self.checkout, self.scratch, self.binaries)
        if os.getloadavg()[0] > 0.5:
            self.remarks.append(f"the machine was not idle: load {os.getloadavg()[0]:.1f} before")
        self.material = Material(f"{self.scratch}/material", self.checkout, _TREE_FILES)
        os.makedirs(f"{self.scratch}/material/home")

    def _check_space(self):
        free = shutil.disk_usage(self.scratch).free
        need = _FREE_BYTES_MIN[self.quick or bool(self.options.only)]
        if free < need:
            sys.exit(f"bench: {self.options.dir} has {free / 2**30:.0f} GiB free and this run "
                     f"needs {need / 2**30:.0f} GiB. Give another directory with --dir.")

    @contextlib.contextmanager
    def undone(self, action):
        """Does `action` at the end of the with statement, or of the run if that comes first."""
        pending = [action]

        def undo():
            if pending:
                pending.pop()()

        self._stack.callback(undo)
        try:
            yield
        finally:
            undo()

    def start(self, kind):
        """Makes a contestant of that kind, which is up from now on."""
        self._count += 1
        contestant = kind(f"{self.scratch}/{self._count:02}-{kind.name}", self.image_bytes)
        self._up.add(contestant)
        self._stack.callback(self.stop, contestant)
        contestant.start()
        return contestant

    def stop(self, contestant):
        """Takes a contestant away, if it is still there."""
        if contestant in self._up:
            self._up.remove(contestant)
            contestant.stop()

    def _start_all(self, kinds):
        up = []
        for kind in kinds:
            try:
                up.append(self.start(kind))
            except (OSError, RuntimeError) as error:
                if kind in OWN:
                    raise
                self.remarks.append(f"{kind.name} cannot be used here: {error}")
        return up

    # --- the work ---------------------------------------------------------------------------------

    def results(self):
        """Measures, and generates the rows as they come."""
        chosen = self._chosen()
        for group in self._groups():
            if any(w.group == "data" for w in group):
                self.remarks.append("O_DIRECT far above native is not direct: that filesystem uses "
                                    "the page cache of the one below")
            yield from self._remembered(self._run_group(group, chosen))
        for scenario in self._scenarios():
            yield from self._remembered(self._run_scenario(scenario, chosen))

    def _remembered(self, rows):
        for row in rows:
            self.done.append(row)
            yield row

    def _run_group(self, workloads, chosen):
        kinds = [kind for kind in chosen if kind in OWN or any(w.peers for w in workloads)]
        up = self._start_all(kinds) if workloads else []
        for workload in workloads:
            part = [c for c in up if workload.peers or type(c) in OWN]
            rounds = self.options.rounds or (2 if self.quick else workload.rounds)
            try:
                result = run_turn_by_turn(workload, part, rounds)
                self._trace_requests(workload, part, result)
                yield result
            except NotMeasured as reason:
                self.remarks.append(f"{workload.name}: not measured: {reason}")
        for contestant in up:
            self.stop(contestant)

    def _trace_requests(self, workload, part, result):
        ckptfs = [c for c in part if c.name == "ckptfs" and c.name not in result.failures]
        if not workload.trace or not ckptfs or self._cannot_trace:
            return
        try:
            result.traced_s, result.requests = requests.trace_one_measurement(workload, ckptfs[0])
        except (NotMeasured, OSError) as reason:
            self._cannot_trace = True
            self.remarks.append(f"requests are not traced: {reason}")
        except (WorkloadError, ValueError) as reason:  # the row itself has been measured
            result.notes.append(f"its requests were not traced: {reason}")

    def _run_scenario(self, scenario, chosen):
        up = self._start_all(scenario.kinds(chosen))
        watchdog = Watchdog(time.monotonic() + scenario.budget_s, *up)
        try:
            with watchdog:
                yield from scenario.run(up)
        except (OSError, RuntimeError, ValueError, WorkloadError) as error:
            why = f"stopped after {scenario.budget_s:.0f} s: " if watchdog.expired else ""
            yield Result("checkpoints", scenario.name, "s",
                         failures={"scenario": f"{why}{error}"})
        for contestant in up:
            self.stop(contestant)


def _without_binaries(words):
    """The words of the command line but for what tools/bench puts there."""
    if "--binaries" not in words:
        return words
    at = words.index("--binaries")
    return words[:at] + words[at + 2:]
