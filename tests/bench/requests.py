"""Which requests the kernel sends to a FUSE daemon, and how long each takes.

By the kernel's own trace events (fuse_request_send and fuse_request_end, Linux 6.10 and newer), in a
trace of its own beside whatever else is traced.
"""
import collections
import contextlib
import os
import re

from workload import NotMeasured

_TRACING = "/sys/kernel/tracing"
_BUFFER_KIB = 64 * 1024  # of each processor
_LINE = re.compile(r" (\d+\.\d+): fuse_request_(send|end): connection \d+ req (\d+)"
                   r"(?: opcode (\d+) \((?:FUSE_)?(\w+)\))?")
# For which the program that causes them does not wait.
_NOBODY_WAITS = ("RELEASE", "RELEASEDIR", "FORGET", "BATCH_FORGET", "INTERRUPT")


class RequestTrace:
    """What was sent to the daemon behind `root` during a with statement."""

    def __init__(self, root):
        self._connection = os.stat(root).st_dev
        self._directory = f"{_TRACING}/instances/ckptfs-bench-{os.getpid()}"
        self._stack = contextlib.ExitStack()
        self.lines = []

    def _write(self, name, value):
        with open(f"{self._directory}/{name}", "w", encoding="ascii") as file:
            file.write(value)

    def __enter__(self):
        if not os.path.isdir(f"{_TRACING}/events/fuse/fuse_request_send"):
            raise NotMeasured("this kernel does not trace FUSE's requests")
        os.mkdir(self._directory)
        self._stack.callback(os.rmdir, self._directory)
        with self._stack:
            self._write("buffer_size_kb", str(_BUFFER_KIB))
            # Numbered as inside of the kernel.
            number = os.major(self._connection) << 20 | os.minor(self._connection)
            for event in ("send", "end"):
                self._write(f"events/fuse/fuse_request_{event}/filter", f"connection == {number}")
                self._write(f"events/fuse/fuse_request_{event}/enable", "1")
            self._stack = self._stack.pop_all()
        return self

    def __exit__(self, *_exception):
        with self._stack:
            self._write("events/fuse/enable", "0")
            with open(f"{self._directory}/trace", encoding="ascii", errors="replace") as file:
                self.lines = file.readlines()


def summary(lines, passes):
    """By kind: {"count", "seconds" from sending to answer, "waits"}, of one of so many passes."""
    sent = {}
    kinds = collections.defaultdict(lambda: {"count": 0.0, "seconds": 0.0, "waits": True})
    for line in lines:
        found = _LINE.search(line)
        if not found:
            continue
        at, event, number, opcode, name = found.groups()
        if event == "send":
            if name.startswith("0x"):  # newer than the kernel's own list of names
                name = f"opcode {opcode}"
            sent[number] = (name, float(at))
            kind = kinds[name]
            kind["count"] += 1 / passes
            kind["waits"] = name not in _NOBODY_WAITS
        elif number in sent:
            name, begin = sent.pop(number)
            kinds[name]["seconds"] += (float(at) - begin) / passes
    return dict(sorted(kinds.items(), key=lambda item: -item[1]["seconds"]))


def trace_one_measurement(workload, contestant):
    """Measures once more, with the trace on; returns (value, summary)."""
    workload.prepare(contestant)
    os.sync()
    with RequestTrace(contestant.root) as trace:
        value = workload.measure(contestant)
    workload.finish(contestant)
    return value, summary(trace.lines, workload.passes)
