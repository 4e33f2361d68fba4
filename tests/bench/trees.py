"""Workloads on names and small files: create, untar, cp -a, rm -r, find, stat, readdir, grep -r."""
import os
import shutil

import machine
from workload import Workload, median_but_first, read_child, run_child

SMALL_FILES = 5000
_PASSES = 8  # the first warms up


class _TreeWorkload(Workload):
    group = "trees"
    trace = True

    def _untar(self, contestant, directory):
        path = f"{contestant.root}/{directory}"
        os.mkdir(path)
        run_child(["tar", "-xf", self.bench.material.tarball, "-C", path], contestant.root)

    def _remove(self, contestant, directory):
        shutil.rmtree(f"{contestant.root}/{directory}")

    def _probe(self, *words, cwd="/"):
        output = read_child([f"{self.bench.binaries}/tree_probe", *map(str, words)], cwd)
        return [float(line) for line in output.split()]


class Create(_TreeWorkload):
    """Many small files made."""

    name = f"create {SMALL_FILES:,} files of 1 KiB"
    target = "create"

    def measure(self, contestant):
        path = f"{contestant.root}/created"
        os.mkdir(path)
        return self._probe("create", path, SMALL_FILES, 1024)[0]

    def finish(self, contestant):
        self._remove(contestant, "created")


class Untar(_TreeWorkload):
    """A source tree unpacked."""

    target = "create"

    def __init__(self, bench):
        super().__init__(bench)
        self.name = f"untar a source tree of {bench.material.tree_files:,} files"

    def measure(self, contestant):
        path = f"{contestant.root}/unpacked"
        os.mkdir(path)
        return run_child(["tar", "-xf", self.bench.material.tarball, "-C", path], contestant.root)

    def finish(self, contestant):
        self._remove(contestant, "unpacked")


class RemoveTree(_TreeWorkload):
    """That tree removed, after it was written to disk."""

    name = "rm -r of the source tree"
    target = "create"

    def prepare(self, contestant):
        self._untar(contestant, "doomed")

    def measure(self, contestant):
        return run_child(["rm", "-r", "doomed"], contestant.root)


class _StandingTree(_TreeWorkload):
    """On the source tree, which stays once it is there."""

    def setup(self, contestant):
        if not os.path.exists(f"{contestant.root}/standing"):
            self._untar(contestant, "standing")


class CopyTree(_StandingTree):
    """That tree copied."""

    name = "cp -a of the source tree"
    target = "create"

    def measure(self, contestant):
        return run_child(["cp", "-a", "standing", "copy"], contestant.root)

    def finish(self, contestant):
        self._remove(contestant, "copy")


class WarmFind(_StandingTree):
    """Names only."""

    name = "find, warm"
    target = "warm"
    passes = _PASSES

    def measure(self, contestant):
        return median_but_first(
            run_child(["find", "standing"], contestant.root) for _ in range(self.passes))


class WarmFindSize(_StandingTree):
    """Names and attributes."""

    name = "find -size (stat of each), warm"
    target = "warm"
    passes = _PASSES

    def measure(self, contestant):
        return median_but_first(run_child(["find", "standing", "-size", "+1k"], contestant.root)
                                for _ in range(self.passes))


class ColdFind(_StandingTree):
    """After the caches of all filesystems were dropped (3 to drop_caches)."""

    name = "find -size, cold (caches dropped)"

    def prepare(self, contestant):
        machine.drop_caches()

    def measure(self, contestant):
        return run_child(["find", "standing", "-size", "+1k"], contestant.root)


class WarmStat(_StandingTree):
    """lstat of all files, in a loop without a program's start."""

    name = "stat of all files, warm"
    target = "warm"
    passes = 3 * _PASSES

    def measure(self, contestant):
        tree = f"{contestant.root}/standing"
        return median_but_first(self._probe("stat", tree, self.passes))


class WarmReaddir(_StandingTree):
    """readdir of all directories, in a loop without a program's start."""

    name = "readdir of all directories, warm"
    target = "warm"
    passes = 3 * _PASSES

    def measure(self, contestant):
        tree = f"{contestant.root}/standing"
        return median_but_first(self._probe("readdir", tree, self.passes))


class ListLong(_StandingTree):
    """ls -lR."""

    name = "ls -lR, warm"
    target = "warm"
    passes = _PASSES

    def measure(self, contestant):
        return median_but_first(
            run_child(["ls", "-lR", "standing"], contestant.root) for _ in range(self.passes))


class _SmallFiles(_TreeWorkload):
    """On small files, which stay once they are there."""

    target = "open"

    def setup(self, contestant):
        if not os.path.exists(f"{contestant.root}/small"):
            os.mkdir(f"{contestant.root}/small")
            self._probe("create", f"{contestant.root}/small", SMALL_FILES, 1024)


class Grep(_SmallFiles):
    """A pattern that is nowhere: every file is opened and read to its end."""

    name = f"grep -r over {SMALL_FILES:,} small files, warm"
    passes = _PASSES

    def measure(self, contestant):
        return median_but_first(
            run_child(["grep", "-r", "nowhere-to-be-found", "small"], contestant.root,
                      statuses=(1,)) for _ in range(self.passes))


class OpenReadClose(_SmallFiles):
    """The same without grep."""

    name = f"open, read, close of {SMALL_FILES:,} small files, warm"
    passes = _PASSES

    def measure(self, contestant):
        return median_but_first(self._probe("open", f"{contestant.root}/small", self.passes))


def workloads(bench):
    """All of them."""
    kinds = (Create, Untar, RemoveTree, CopyTree, WarmFind, WarmFindSize, ColdFind, WarmStat,
             WarmReaddir, ListLong, Grep, OpenReadClose)
    return [kind(bench) for kind in kinds]
