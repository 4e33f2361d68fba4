"""Latency of checkpoints and rollbacks, and of what else is done with snapshots, at every scale.

Each scenario starts its own contestants, and yields rows as it gets them.
"""
import os

import machine
from checkpoint_lab import GROUP, Lab, growth, overwrite
from contestants import Ckptfs, CkptfsDmSnapshot, CkptfsDmThin, Native
from loop_image import LoopImage
from workload import Result, run_child

_LISTED = 10_000
_CHUNK = os.urandom(2**20)


class Scenario:
    """Contestants that can take checkpoints, in one lab."""

    name = ""
    budget_s = 300.0
    # Beyond a small scale only the two whose ratio is the target.
    own_only = False

    def __init__(self, bench):
        self.bench = bench

    def kinds(self, chosen):
        """Which of the chosen contestants take part."""
        able = [kind for kind in chosen if issubclass(kind, (Native, Ckptfs))]
        return [kind for kind in able if kind.name in ("native", "ckptfs")] \
            if self.own_only else able

    def run(self, up):
        """Generates rows, measured on contestants that are up."""
        raise NotImplementedError

    def lab(self, up, label=""):
        """A lab with so many samples as this run takes."""
        return Lab(self.bench, up, 15 if self.bench.quick else 40, label)


class BySnapshots(Scenario):
    """10 files, ever more snapshots."""

    name = "by number of snapshots (10 files)"
    budget_s = 2700.0
    own_only = True

    def run(self, up):
        lab = self.lab(up)
        lab.make_files(10, 1024)
        first = None
        for count in (10, 1000) if self.bench.quick else (10, 1000, _LISTED, 100_000):
            shortfall = lab.fill(count, self.bench.options.fill)
            lab.walk()
            rows = lab.measure_all()
            if shortfall:
                rows["checkpoint after a small change"].notes.append(shortfall)
            if count == _LISTED:
                _as_mount_row(rows["unmount and mount"])
                yield list_long(self.bench, up, lab.snapshots)
            yield from rows.values()
            if first:
                for name, row in rows.items():
                    if "readdir" not in name:
                        yield growth(f"{name}: growth from 10 to {lab.snapshots:,} snapshots",
                                     first[name], row)
            first = first or rows


def _as_mount_row(result):
    result.target = "mount"
    result.absolute = True


class ByFiles(Scenario):
    """10 snapshots, ever more files; and what the daemon keeps of them."""

    name = "by number of files (10 snapshots), daemon memory"
    budget_s = 1200.0
    own_only = True

    def run(self, up):
        lab = self.lab(up, " (another store)")
        first = None
        for count in (10, 10_000) if self.bench.quick else (10, 10_000, 1_000_000):
            lab.make_files(count, 16)
            lab.fill(10, 60)
            lab.walk()
            if first:
                lab.label = ""
                yield daemon_memory(up, count)
            rows = lab.measure_all()
            yield from rows.values()
            if first:
                for name, row in rows.items():
                    if "readdir" not in name:
                        yield growth(f"{name}: growth from 10 to {count:,} files", first[name], row)
            first = first or rows


def daemon_memory(up, files):
    """What the daemons hold, resident, after all files were looked up."""
    target = "memory" if files >= 1_000_000 else ""
    result = Result(GROUP, f"daemon memory with {files:,} files looked up", "B", target,
                    absolute=True)
    for contestant in up:
        for pid in contestant.pids()[:1]:
            status = machine.process_status(pid)
            result.values[contestant.name] = [float(status["VmRSS"])]
            result.notes.append(f"{contestant.name}: peak {status['VmHWM'] / 2**20:.1f} MiB, "
                                f"{status['open fds']} descriptors open")
    return result


def list_long(bench, up, count):
    """ls -l of the snapshots against ls -l of as many directories on ext4."""
    result = Result(GROUP, f"ls -l of {count:,} snapshots (native: directories on ext4)", "s",
                    "list", ratio_of_medians=True)
    home = f"{bench.scratch}/ext4"
    os.makedirs(home, exist_ok=True)
    image = LoopImage(f"{home}/image", f"{home}/mnt", 2 * 2**30, "ext4")
    with bench.undone(image.stop):
        image.start()
        os.mkdir(f"{home}/mnt/list")
        for i in range(count):
            os.mkdir(f"{home}/mnt/list/fill-{i:06}")
        sides = {"native": f"{home}/mnt/list"}
        sides |= {c.name: c.list_directory for c in up if isinstance(c, Ckptfs)}
        for name, directory in sides.items():
            first = run_child(["ls", "-l", directory], "/")
            result.notes.append(f"{name}: {first * 1e3:.0f} ms the first time")
        for _ in range(9):
            for name, directory in sides.items():
                result.values.setdefault(name, []).append(run_child(["ls", "-l", directory], "/"))
    return result


class AfterMuchData(Scenario):
    """A checkpoint first brings to disk what was written before it."""

    name = "after 10 MiB and 1 GiB of changed data"
    own_only = True
    target = "checkpoint"

    def run(self, up):
        lab = self.lab(up)
        lab.make_files(10, 1024)
        lab.fill(10, 60)
        sizes = (("10 MiB", 10, 15), ("1 GiB", 1024, 4))
        for label, mebibytes, samples in sizes[:1] if self.bench.quick else sizes:
            prefix = label.replace(" ", "-")
            yield lab.measure(f"checkpoint after {label} of changed data",
                              lambda c, i, prefix=prefix: c.checkpoint(f"{prefix}-{i}"),
                              self.target,
                              before=lambda c, size=mebibytes: overwrite(f"{c.root}/large",
                                                                         _CHUNK, size),
                              samples=samples, budget_s=180)


class OtherWays(Scenario):
    """The same with io_uring off and without passthrough."""

    name = "with io_uring=off and without passthrough"

    def run(self, up):
        if len(up) <= 2:
            return
        lab = self.lab(up)
        lab.make_files(1000, 1024)
        lab.fill(10, 60)
        lab.walk()
        yield from lab.measure_all().values()


class DeviceMapper(AfterMuchData):
    """The same on the backends of device-mapper, against btrfs's bare ioctl."""

    name = "device-mapper, after 10 MiB and 1 GiB of changed data"
    budget_s = 1200.0
    target = ""

    def kinds(self, chosen):
        try:  # the node may be there without a driver
            os.close(os.open("/dev/mapper/control", os.O_RDWR))
            return [Native, CkptfsDmSnapshot, CkptfsDmThin]
        except OSError:
            pass
        self.bench.remarks.append("device-mapper: not measured: this kernel has none")
        return []

    def run(self, up):
        return super().run(up) if up else ()

    def lab(self, up, label=""):
        return super().lab(up, " (device-mapper)")


SCENARIOS = (BySnapshots, ByFiles, AfterMuchData, OtherWays, DeviceMapper)
