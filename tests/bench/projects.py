"""Workloads that are a programmer's day: git, the build of a C project, npm install."""
import os
import shutil
import time

from workload import Workload, median_but_first


class _GitWorkload(Workload):
    group = "projects"

    def setup(self, contestant):
        material = self.bench.material
        if os.path.exists(f"{contestant.root}/repository"):
            return
        material.run(["cp", "-a", material.repository, "repository"], contestant.root)
        # The index has the inode numbers of the original. A file as young as the index would be
        # read by every git status from then on.
        time.sleep(1.1)
        self._git(contestant, "status")

    def _git(self, contestant, *words):
        return self.bench.material.run(["git", *words], f"{contestant.root}/repository")


class GitCheckout(_GitWorkload):
    """To the other commit and back."""

    target = "create"

    def __init__(self, bench):
        super().__init__(bench)
        self.name = f"git checkout there and back, {bench.material.tree_files:,} files"

    def measure(self, contestant):
        return (self._git(contestant, "checkout", "-q", "two")
                + self._git(contestant, "checkout", "-q", "one"))


class GitStatus(_GitWorkload):
    """Nothing changed."""

    name = "git status, warm"
    target = "git status"

    def measure(self, contestant):
        return median_but_first(self._git(contestant, "status") for _ in range(8))


class _CProject(Workload):
    group = "projects"
    target = "compile"
    budget_s = 300.0

    def setup(self, contestant):
        material = self.bench.material
        if not os.path.exists(f"{contestant.root}/hello"):
            material.run(["cp", "-a", material.c_project, "hello"], contestant.root)

    def _run(self, contestant, *command):
        return self.bench.material.run(command, f"{contestant.root}/hello")


class CBuild(_CProject):
    """make, after make clean, of a project that is configured."""

    name = "build of GNU hello (make)"

    def prepare(self, contestant):
        self._run(contestant, "make", "clean")

    def measure(self, contestant):
        jobs = len(os.sched_getaffinity(0))
        return self._run(contestant, "make", f"-j{jobs}")


class CConfigure(_CProject):
    """configure: hundreds of small programs compiled and run."""

    name = "configure of GNU hello"
    rounds = 2

    def measure(self, contestant):
        return self._run(contestant, "./configure", "-q")


class NpmInstall(Workload):
    """express and eslint with all that they need, from a warm cache, without the network."""

    group = "projects"
    name = "npm install of express and eslint"
    target = "npm"

    def setup(self, contestant):
        material = self.bench.material
        material.run(["cp", "-a", material.npm_project, "npm"], contestant.root)

    def measure(self, contestant):
        material = self.bench.material
        return material.run([*material.npm_install, "--offline"], f"{contestant.root}/npm")

    def finish(self, contestant):
        shutil.rmtree(f"{contestant.root}/npm/node_modules")


def workloads(bench):
    """All of them; --quick goes without the long one."""
    kinds = [GitCheckout, GitStatus, CBuild, CConfigure, NpmInstall]
    if bench.quick:
        kinds.remove(CConfigure)
    return [kind(bench) for kind in kinds]
