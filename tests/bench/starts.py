"""How long `ckpt` takes to start and to answer a small question."""
import statistics

from checkpoint_lab import GROUP
from checkpoints import Scenario
from contestants import Ckptfs
from workload import Result, run_child

_ROUNDS = 50
_SNAPSHOTS = 3


class Starts(Scenario):
    """ckpt list, and an empty C++ program with the same flags, turn by turn."""

    name = "start of ckpt"

    def kinds(self, chosen):
        return [kind for kind in (Ckptfs,) if kind in chosen]

    def run(self, up):
        for ckptfs in up:
            for i in range(_SNAPSHOTS):
                ckptfs.checkpoint(f"start-{i}")
            yield self._compare(ckptfs)

    def _compare(self, ckptfs):
        """The seconds that ckpt list takes beyond the empty program of the same round."""
        empty_s, list_s = [], []
        for _ in range(_ROUNDS):
            empty_s.append(run_child([f"{self.bench.binaries}/empty_program"], ckptfs.root))
            list_s.append(run_child([f"{self.bench.binaries}/ckpt", "list"], ckptfs.root))
        result = Result(GROUP, "ckpt list beyond an empty C++ program", "s", "start", absolute=True)
        result.values[ckptfs.name] = [mine - its for mine, its in zip(list_s, empty_s)]
        result.notes.append(f"ckpt list {statistics.median(list_s) * 1e3:.1f} ms, "
                            f"the empty program {statistics.median(empty_s) * 1e3:.1f} ms")
        return result
