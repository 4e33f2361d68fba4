"""The data path: fio reads and writes one file, in every way that the design has a target for.

cached      in the page cache: read once before; written without fsync, over and over for a while
uncached    caches dropped before reading; fsync at the end of writing, as part of the time
O_DIRECT    past the page cache
mmap        one pass through a mapping of the file, in the page cache
"""
import json
import os
import shutil

import machine
from workload import NotMeasured, Workload, WorkloadError, read_child

_CHUNK = os.urandom(2**20)
_BLOCKS = {"4 KiB": 4096, "64 KiB": 65536, "1 MiB": 2**20}
_ENDS = (("random", "4 KiB"), ("sequential", "1 MiB"))
_READ_FILE, _WRITE_FILE = "read.dat", "write.dat"
MODES = ("cached", "uncached", "O_DIRECT", "mmap", "mmap, uncached")


def _lay_out(path, size):
    """Writes a file anew, to disk."""
    with open(path, "wb") as file:
        for _ in range(size // len(_CHUNK)):
            file.write(_CHUNK)
        file.flush()
        os.fsync(file.fileno())


class FioWorkload(Workload):
    """One pattern, direction, block size and mode."""

    group = "data"
    unit = "B/s"
    target = "data"
    budget_s = 120.0
    rounds = 3
    rounds_of_others = 1

    def __init__(self, bench, pattern, direction, block, mode):
        super().__init__(bench)
        self.name = f"{pattern} {direction} {block}, {mode}"
        self.row, self.column = f"{mode}: {pattern} {direction}", block
        self.direction = direction
        self.mode = mode
        self.block = block
        self.size = (128 if bench.quick else 256) * 2**20
        # Where the way of doing it tells most; the middle would not tell more about the peers.
        self.peers = (pattern, block) in _ENDS
        self._rw = ("rand" if pattern == "random" else "") + direction

    def _path(self, contestant):
        name = _READ_FILE if self.direction == "read" else _WRITE_FILE
        return f"{contestant.root}/{name}"

    def setup(self, contestant):
        if not shutil.which("fio"):
            raise NotMeasured("fio is not installed")
        if self.direction == "read" and not os.path.exists(self._path(contestant)):
            _lay_out(self._path(contestant), self.size)

    def prepare(self, contestant):
        path = self._path(contestant)
        if self.direction == "write":
            if os.path.exists(path):
                os.unlink(path)
            _lay_out(path, self.size)
        elif self.mode in ("cached", "mmap"):
            with open(path, "rb") as file:
                while file.read(len(_CHUNK)):
                    pass
        if self.mode in ("uncached", "mmap, uncached") and self.direction == "read":
            machine.drop_caches()

    def _arguments(self, path):
        yield from ("fio", "--name=bench", f"--filename={path}", f"--size={self.size}",
                    f"--bs={_BLOCKS[self.block]}", f"--rw={self._rw}", "--thread", "--invalidate=0",
                    "--fallocate=none", "--output-format=json", "--randrepeat=1",
                    "--ioengine=" + ("mmap" if "mmap" in self.mode else "psync"),
                    f"--runtime={600 if self.bench.quick else 800}ms")
        if self.mode in ("cached", "O_DIRECT"):
            yield from ("--time_based", "--norandommap")
        if self.mode == "O_DIRECT":
            yield "--direct=1"
        if "uncached" in self.mode and self.direction == "write":
            yield "--end_fsync=1"

    def measure(self, contestant):
        output = read_child(list(self._arguments(self._path(contestant))), "/", timeout_s=60)
        try:
            job = json.loads(output[output.index("{"):])["jobs"][0]
        except (ValueError, KeyError, IndexError) as error:
            raise WorkloadError(f"fio's output cannot be understood: {error}") from None
        if job["error"] or not job[self.direction]["bw_bytes"]:
            raise WorkloadError(f"fio has error {job['error']} and no bandwidth")
        return float(job[self.direction]["bw_bytes"])


def workloads(bench):
    """All of them; --quick has the ends of the range only."""
    for mode in MODES[:4] if bench.quick else MODES:
        for direction in ("read", "write"):
            for pattern in ("sequential", "random"):
                for block in _BLOCKS:
                    if not bench.quick or (pattern, block) in _ENDS:
                        yield FioWorkload(bench, pattern, direction, block, mode)
