"""What workloads work on: made once a run, outside every contestant, when first asked for."""
import functools
import os
import shutil
import subprocess
import tarfile

from workload import NotMeasured, run_child

# Real files that every machine has which can build ckptfs.
_TREE_SOURCES = ("/usr/include", "/usr/lib/python3", "/usr/share/doc")
_FILE_BYTES_MAX = 65536


def _real_files(count):
    """The first `count` small files of those trees, in an order that is always the same."""
    found = []
    for source in _TREE_SOURCES:
        for directory, names, files in os.walk(source):
            names.sort()
            for name in sorted(files):
                path = os.path.join(directory, name)
                if os.path.isfile(path) and os.path.getsize(path) <= _FILE_BYTES_MAX:
                    found.append(path)
                    if len(found) == count:
                        return found
    return found


class Material:
    """Below one directory; every property is made at its first use."""

    def __init__(self, directory, checkout, tree_files):
        self.directory = directory
        self.checkout = checkout
        self.tree_files = tree_files
        # Programs of workloads find no configuration of whoever runs the bench.
        self.environment = {**os.environ, "LC_ALL": "C", "HOME": f"{directory}/home",
                            "GIT_CONFIG_NOSYSTEM": "1", "GIT_CONFIG_GLOBAL": "/dev/null",
                            "GIT_AUTHOR_NAME": "bench", "GIT_AUTHOR_EMAIL": "bench@localhost",
                            "GIT_COMMITTER_NAME": "bench", "GIT_COMMITTER_EMAIL": "bench@localhost"}

    def run(self, command, cwd, timeout_s=300.0):
        """Runs a program of a workload; returns the seconds that it took."""
        return run_child(command, cwd, timeout_s, self.environment)

    @functools.cached_property
    def tarball(self):
        """A tar file, not compressed, of a real source tree, which unpacks as `tree`."""
        path = f"{self.directory}/tree.tar"
        with tarfile.open(path, "w") as tar:
            for file in _real_files(self.tree_files):
                tar.add(file, arcname="tree" + file, recursive=False)
        return path

    @functools.cached_property
    def repository(self):
        """A git repository of that tree with the commits `one` and `two`, checked out at `one`.

        Between them a third of the files changes and a ninth comes and goes.
        """
        path = f"{self.directory}/repository"
        os.makedirs(path)
        self.run(["tar", "-xf", self.tarball, "-C", path, "--strip-components=1"], path)
        for command in (["init", "-q", "-b", "main"], ["config", "gc.auto", "0"],
                        ["config", "maintenance.auto", "false"], ["add", "-A"],
                        ["commit", "-q", "-m", "one"], ["tag", "one"]):
            self.run(["git", *command], path)
        files = subprocess.run(["git", "ls-files", "-z"], cwd=path, env=self.environment,
                               capture_output=True, check=True).stdout.split(b"\0")[:-1]
        for number, name in enumerate(files):
            file = os.path.join(os.fsencode(path), name)
            if number % 9 == 0:
                os.rename(file, file + b".renamed")
            elif number % 3 == 0:
                with open(file, "ab") as stream:
                    stream.write(b"changed\n")
        for command in (["add", "-A"], ["commit", "-q", "-m", "two"], ["tag", "two"],
                        ["checkout", "-q", "one"]):
            self.run(["git", *command], path)
        return path

    @functools.cached_property
    def c_project(self):
        """GNU hello as Debian has it, configured."""
        path = f"{self.directory}/hello"
        done = subprocess.run([f"{self.checkout}/tests/lib/real-tree", path], capture_output=True,
                              text=True)
        if done.returncode != 0:
            said = done.stderr.strip().splitlines()
            raise NotMeasured("the source of GNU hello cannot be had from Debian: "
                              + (said[-1] if said else "no reason given"))
        self.run(["./configure", "-q"], path)
        # Once for nothing: the first contestant is not to be who reads the compiler from disk.
        self.run(["make"], path)
        self.run(["make", "clean"], path)
        return path

    @functools.cached_property
    def npm_project(self):
        """A directory with a package.json and its lock, whose packages are in the cache."""
        if not shutil.which("npm"):
            raise NotMeasured("npm is not installed")
        path = f"{self.directory}/npm"
        os.makedirs(path)
        with open(f"{path}/package.json", "w", encoding="ascii") as file:
            file.write('{"name": "bench", "version": "1.0.0", "private": true, '
                       '"dependencies": {"express": "^4", "eslint": "^8"}}\n')
        try:
            run_child([*self.npm_install, "--prefer-offline"], path, 240, self.environment)
        except Exception as error:
            raise NotMeasured(f"the npm registry does not give the packages: {error}") from None
        shutil.rmtree(f"{path}/node_modules")
        return path

    @property
    def npm_install(self):
        """The command; no scripts, nothing that asks the registry for anything but packages."""
        return ["npm", "install", "--ignore-scripts", "--no-audit", "--no-fund", "--loglevel=error",
                f"--cache={self.directory}/npm-cache"]
