"""Other ways to keep a state of a source tree: btrfs's own command, snapper, git.

All of them are programs that somebody runs, so that mkdir(1) stands here beside the bare calls.
"""
import contextlib
import os
import shutil
import subprocess
import time

from checkpoint_lab import GROUP, Lab
from checkpoints import Scenario
from contestants import Ckptfs, Native
from workload import Result, WorkloadError, read_child, run_child

_PAUSE_S = 0.02


class CheckpointPeers(Scenario):
    """One small change in a real source tree, then a state kept in each way."""

    name = "other programs that keep a state"

    def kinds(self, chosen):
        return [kind for kind in (Native, Ckptfs) if kind in chosen]

    def run(self, up):
        if len(up) < 2:
            return
        with contextlib.ExitStack() as undo:
            yield self._compare(*up, undo)

    def _compare(self, native, ckptfs, undo):
        up = [native, ckptfs]
        lab = Lab(self.bench, up, 0)
        for contestant in up:
            run_child(["tar", "-xf", self.bench.material.tarball], contestant.root)
        files = self.bench.material.tree_files
        result = Result(GROUP, f"a state kept of a source tree of {files:,} files", "s",
                        ratio_of_medians=True)
        ways = {
            "native": (native, lambda i: native.checkpoint(f"bare-{i}")),
            "ckptfs": (ckptfs, lambda i: ckptfs.checkpoint(f"bare-{i}")),
            "mkdir(1) on ckptfs": (ckptfs, lambda i: run_child(
                ["mkdir", f"{ckptfs.list_directory}/program-{i}"], "/")),
            "btrfs subvolume snapshot -r": (native, lambda i: run_child(
                ["btrfs", "-q", "subvolume", "snapshot", "-r", native.root,
                 f"{os.path.dirname(native.root)}/s-program-{i}"], "/")),
        }
        if shutil.which("git"):
            ways["git add && git commit"] = (native, self._prepare_git(native))
        if shutil.which("snapper"):
            create = self._prepare_snapper(native, result, undo)
            if create:
                ways["snapper create"] = (native, create)
        else:
            result.notes.append("snapper is not installed")
        os.sync()
        for i in range(5 if self.bench.quick else 20):
            for name, (contestant, keep) in ways.items():
                lab.change(contestant)
                time.sleep(_PAUSE_S)
                result.values.setdefault(name, []).append(keep(i))
        return result

    def _prepare_git(self, native):
        """A repository beside the tree, so that snapshots do not hold it."""
        directory = f"{native.image.mountpoint}/repository"
        git = ["git", f"--git-dir={directory}", f"--work-tree={native.root}"]
        material = self.bench.material
        material.run([*git, "init", "-q"], native.root)
        material.run([*git, "config", "gc.auto", "0"], native.root)

        def commit(i):
            return (material.run([*git, "add", "-A"], native.root)
                    + material.run([*git, "commit", "-q", "-m", f"state {i}"], native.root))

        commit("before the first")
        return commit

    def _prepare_snapper(self, native, result, undo):
        """A configuration of snapper's for this run alone, which goes again at the end."""
        snapper = ["snapper", "--no-dbus", "-c", f"ckptfs-bench-{os.getpid()}"]
        try:
            read_child([*snapper, "create-config", native.root], "/", 60)
        except WorkloadError as error:
            result.notes.append(f"snapper create: {error}")
            return None
        undo.enter_context(self.bench.undone(
            lambda: subprocess.run([*snapper, "delete-config"], capture_output=True)))
        return lambda i: run_child([*snapper, "create", "-d", f"state {i}"], "/")
