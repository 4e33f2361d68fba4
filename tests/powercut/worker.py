"""Works on a store until its disk is gone: every verb, and files that are made safe with fsync and msync.

usage: worker.py MOUNT HISTORY SEED POWER [COUNT]

Its workspaces have the name of the history, w0 or so, and those that begin with that and a hyphen. It is the
only one who changes them, but for a child that writes into them without an end and syncs nothing. POWER is the
switch of the disk: an error while that is on is a fault. Ends after COUNT operations, or with the power.
"""
import contextlib
import copy
import ctypes
import errno
import json
import mmap
import os
import random
import signal
import subprocess
import sys
import time

import model

SNAPSHOTS_MAX = 9
FORKS_MAX = 2
EXCHANGE = 2
LIBC = ctypes.CDLL(None, use_errno=True)


class Refused(Exception):
    """A verb that could not be now, as somebody writes: nothing has happened."""


def exchange(one, other):
    at_fdcwd = -100
    if LIBC.renameat2(at_fdcwd, os.fsencode(one), at_fdcwd, os.fsencode(other), EXCHANGE) != 0:
        raise OSError(ctypes.get_errno(), "exchange")


def ckpt(*words):
    ended = subprocess.run(["ckpt", *words], capture_output=True, text=True, check=False)
    if ended.returncode == 5:
        raise Refused
    if ended.returncode != 0:
        raise OSError(errno.EIO, f"ckpt {' '.join(words)}: {ended.stderr.strip()}")


def sync_directory(path):
    fd = os.open(path, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(fd)
    finally:
        os.close(fd)


def is_on(power):
    with open(power, encoding="utf-8") as file:
        return file.read().startswith("on")


class Worker:
    def __init__(self, mount, path, seed, power):
        self.mount = mount
        self.power = power
        self.name = os.path.basename(path)
        self.history = model.History(path)
        self.state = self.history.candidates()[0][0]
        self.random = random.Random(seed)
        # No name and no content comes twice.
        self.number = time.time_ns() // 1_000_000 % 10**10

    def next(self):
        self.number += 1
        return self.number

    def run(self, what, change, act):
        """`change` makes of a copy of the state the one after, or gives a list of those that may be."""
        after = copy.deepcopy(self.state)
        afters = change(after) or [after]
        self.history.begin(what, afters)
        try:
            result = self.act(act)
        except Refused:
            result = self.state
        # What the kernel says of a disk that has gone is another matter.
        if not is_on(self.power):
            raise OSError(errno.EIO, "the power went meanwhile")
        self.state = result or afters[0]
        self.history.done(self.state)

    @staticmethod
    def act(act):
        """A path that was just rolled back by name may be stale once or twice: see ckptfs(7), ROLLBACK."""
        for _ in range(20):
            try:
                return act()
            except OSError as error:
                if error.errno == errno.EBUSY:
                    raise Refused from error
                if error.errno != errno.ESTALE:
                    raise
        raise OSError(errno.ESTALE, "twenty times")

    # --- Where ----------------------------------------------------------------------------------

    def workspace(self):
        name = self.random.choice(sorted(self.state["workspaces"]))
        return name, f"{self.mount}/{name}"

    def forks(self):
        return [name for name in self.state["workspaces"] if name != self.name]

    def snapshot(self, pinned=None):
        """Some (workspace, snapshot), or None."""
        found = [(workspace, name) for workspace, content in self.state["workspaces"].items()
                 for name, snapshot in content["snapshots"].items() if pinned in (None, snapshot["pinned"])]
        return self.random.choice(sorted(found)) if found else None

    def path(self, workspace, snapshot):
        return f"{self.mount}/.snapshots/{workspace}/{snapshot}"

    # --- Files ----------------------------------------------------------------------------------

    def file_replaced(self):
        """As editors do: written aside, synced, renamed, and the directory synced."""
        workspace, root = self.workspace()
        name, number = f"file{self.random.randrange(4)}", self.next()

        def change(after):
            after["workspaces"][workspace]["files"][name] = ["blob", number]

        def act():
            with open(f"{root}/tmp", "wb") as file:
                file.write(model.content(["blob", number]))
                file.flush()
                os.fsync(file.fileno())
            os.rename(f"{root}/tmp", f"{root}/{name}")
            sync_directory(root)
        self.run("replace", change, act)

    def file_removed(self):
        workspace, root = self.workspace()
        names = sorted(self.state["workspaces"][workspace]["files"])
        if not names:
            return
        name = self.random.choice(names)

        def change(after):
            del after["workspaces"][workspace]["files"][name]

        def act():
            os.unlink(f"{root}/{name}")
            sync_directory(root)
        self.run("unlink", change, act)

    def line_appended(self):
        workspace, root = self.workspace()
        count = self.state["workspaces"][workspace]["files"].get("log", ["log", 0])[1] + 1

        def change(after):
            after["workspaces"][workspace]["files"]["log"] = ["log", count]
            # A name may be there before its first line is.
            empty = copy.deepcopy(after)
            empty["workspaces"][workspace]["files"]["log"] = ["log", 0]
            return [after, empty] if count == 1 else None

        def act():
            fd = os.open(f"{root}/log", os.O_WRONLY | os.O_CREAT | os.O_APPEND)
            try:
                os.write(fd, b"%d\n" % count)
                self.random.choice((os.fsync, os.fdatasync))(fd)
            finally:
                os.close(fd)
            if count == 1:
                sync_directory(root)
        self.run("append", change, act)

    def page_stored(self):
        workspace, root = self.workspace()
        files = self.state["workspaces"][workspace]["files"]
        if "mapped" not in files:
            return self.mapped_made(workspace, root)
        index, number = self.random.randrange(len(files["mapped"][1])), self.next()

        def change(after):
            after["workspaces"][workspace]["files"]["mapped"][1][index] = number

        def act():
            fd = os.open(f"{root}/mapped", os.O_RDWR)
            try:
                with mmap.mmap(fd, 0) as mapping:
                    mapping[index * model.PAGE:(index + 1) * model.PAGE] = model.page(number)
                    mapping.flush()
            finally:
                os.close(fd)
        return self.run("msync", change, act)

    def mapped_made(self, workspace, root):
        pages = [self.next() for _ in range(4)]

        def change(after):
            after["workspaces"][workspace]["files"]["mapped"] = ["pages", pages]

        def act():
            with open(f"{root}/tmp-mapped", "wb") as file:
                file.write(model.content(["pages", pages]))
                file.flush()
                os.fsync(file.fileno())
            os.rename(f"{root}/tmp-mapped", f"{root}/mapped")
            sync_directory(root)
        self.run("make mapped", change, act)

    # --- Snapshots ------------------------------------------------------------------------------

    def checkpoint(self):
        workspace, root = self.workspace()
        if len(self.state["workspaces"][workspace]["snapshots"]) >= SNAPSHOTS_MAX:
            return self.delete(workspace)
        name = f"s{self.next()}"
        entry = {"id": None, "message": "", "metadata": {}, "pinned": False,
                 "files": self.state["workspaces"][workspace]["files"]}
        described = self.random.random() < 0.3
        if described:
            entry |= {"message": f"of {name}", "metadata": {"n": self.number}, "pinned": True}

        def change(after):
            after["workspaces"][workspace]["snapshots"][name] = entry

        def act():
            if described:
                ckpt("checkpoint", "-w", root, "-s", name, "-m", entry["message"], "--pin", "--metadata",
                     json.dumps(entry["metadata"]))
            else:
                os.mkdir(self.path(workspace, name))
            return self.with_id(workspace, name, entry)
        return self.run("checkpoint", change, act)

    def with_id(self, workspace, name, entry):
        state = copy.deepcopy(self.state)
        found = os.getxattr(self.path(workspace, name), "user.ckptfs.id").decode()
        state["workspaces"][workspace]["snapshots"][name] = {**entry, "id": found}
        return state

    def delete(self, workspace=None):
        if workspace is None:
            workspace, _ = self.workspace()
        free = [name for name, snapshot in self.state["workspaces"][workspace]["snapshots"].items()
                if not snapshot["pinned"]]
        if not free:
            return self.pin()
        name = free[0] if self.random.random() < 0.7 else self.random.choice(free)

        def change(after):
            del after["workspaces"][workspace]["snapshots"][name]
        return self.run("delete", change, lambda: os.rmdir(self.path(workspace, name)))

    def rename_snapshot(self):
        if not (found := self.snapshot()):
            return
        workspace, name = found
        new = f"r{self.next()}"

        def change(after):
            snapshots = after["workspaces"][workspace]["snapshots"]
            snapshots[new] = snapshots.pop(name)
        self.run("rename", change, lambda: os.rename(self.path(workspace, name), self.path(workspace, new)))

    def edit(self, key, value, raw):
        if not (found := self.snapshot()):
            return
        workspace, name = found

        def change(after):
            after["workspaces"][workspace]["snapshots"][name][key] = value
        self.run(f"set {key}", change,
                 lambda: os.setxattr(self.path(workspace, name), f"user.ckptfs.{key}", raw))

    def describe(self):
        text = f"text {self.next()}"
        self.edit("message", text, text.encode())

    def set_metadata(self):
        value = {"n": [self.next(), "x" * self.random.choice((1, 5000))]}
        self.edit("metadata", value, json.dumps(value).encode())

    def pin(self):
        pinned = self.random.random() < 0.3
        self.edit("pinned", pinned, b"1" if pinned else b"0")

    # --- Live trees -----------------------------------------------------------------------------

    def rollback(self):
        if not (found := self.snapshot()):
            return
        workspace, name = found
        source, root = self.path(workspace, name), f"{self.mount}/{workspace}"

        def change(after):
            return self.rolled_back(after["workspaces"][workspace], name, after)

        def act():
            self.random.choice((
                lambda: os.rename(source, root),
                lambda: os.rename(source, f"{self.mount}/.snapshots/{workspace}/.live"),
                lambda: ckpt("rollback", "-w", root, "-s", name, "--force"),
            ))()
            return self.as_kept(workspace, name)
        self.run("rollback", change, act)

    @staticmethod
    def rolled_back(content, name, state):
        """It keeps the state before, but where that is equal to a snapshot."""
        before, content["files"] = content["files"], copy.deepcopy(content["snapshots"][name]["files"])
        without = copy.deepcopy(state)
        content["snapshots"]["?kept"] = {"id": None, "message": "", "metadata": {}, "pinned": False,
                                         "files": before}
        return [state, without]

    def as_kept(self, workspace, name):
        """The state after a rollback, with the name that the kept one has got."""
        state = copy.deepcopy(self.state)
        kept, without = self.rolled_back(state["workspaces"][workspace], name, state)
        known = self.state["workspaces"][workspace]["snapshots"]
        fresh = set(os.listdir(f"{self.mount}/.snapshots/{workspace}")) - set(known)
        if not fresh:
            return without
        snapshots = kept["workspaces"][workspace]["snapshots"]
        snapshots[fresh.pop()] = snapshots.pop("?kept")
        return kept

    def exchanged(self):
        if not (found := self.snapshot(pinned=False)):
            return
        workspace, name = found

        def change(after):
            content = after["workspaces"][workspace]
            before, content["files"] = content["files"], content["snapshots"][name]["files"]
            content["snapshots"][name] = {"id": None, "message": "", "metadata": {}, "pinned": False,
                                          "files": before}
        self.run("exchange", change,
                 lambda: exchange(self.path(workspace, name), f"{self.mount}/{workspace}"))

    def fork(self):
        if len(self.forks()) >= FORKS_MAX:
            return self.remove_fork()
        if not (found := self.snapshot()):
            return None
        workspace, name = found
        new = f"{self.name}-{self.next()}"

        def change(after):
            files = after["workspaces"][workspace]["snapshots"][name]["files"]
            after["workspaces"][new] = {"files": copy.deepcopy(files), "snapshots": {}}
        return self.run("fork", change, lambda: os.rename(self.path(workspace, name), f"{self.mount}/{new}"))

    def make(self, name):
        def change(after):
            after["workspaces"][name] = {"files": {}, "snapshots": {}}
        self.run("make", change, lambda: os.mkdir(f"{self.mount}/{name}"))

    def make_another(self):
        if len(self.forks()) < FORKS_MAX:
            self.make(f"{self.name}-{self.next()}")

    def rename_fork(self):
        if not self.forks():
            return
        name, new = self.random.choice(self.forks()), f"{self.name}-{self.next()}"

        def change(after):
            after["workspaces"][new] = after["workspaces"].pop(name)
        self.run("rename workspace", change, lambda: os.rename(f"{self.mount}/{name}", f"{self.mount}/{new}"))

    def remove_fork(self):
        if not self.forks():
            return
        name = self.random.choice(self.forks())

        def change(after):
            del after["workspaces"][name]
            after["dying"] = [name]

        def act():
            self.remove(name)
            after = copy.deepcopy(self.state)
            del after["workspaces"][name]
            return after
        self.run("remove", change, act)

    def remove(self, name):
        for snapshot in os.listdir(f"{self.mount}/.snapshots/{name}"):
            os.setxattr(self.path(name, snapshot), "user.ckptfs.pinned", b"0")
            os.rmdir(self.path(name, snapshot))
        for _ in range(100):  # somebody else writes there
            for file in os.listdir(f"{self.mount}/{name}"):
                with contextlib.suppress(FileNotFoundError):
                    os.unlink(f"{self.mount}/{name}/{file}")
            try:
                return os.rmdir(f"{self.mount}/{name}")
            except OSError as error:
                if error.errno != errno.ENOTEMPTY:
                    raise
        raise OSError(errno.ENOTEMPTY, name)

    def finish_removals(self):
        while self.state["dying"]:
            name = self.state["dying"][-1]
            self.run("remove", lambda after: None, lambda: self.without_dying(name))

    def without_dying(self, name):
        self.remove(name)
        return {**self.state, "dying": [other for other in self.state["dying"] if other != name]}

    def work(self, count):
        self.finish_removals()
        if self.name not in self.state["workspaces"]:
            self.make(self.name)
        operations = [(self.file_replaced, 8), (self.line_appended, 6), (self.page_stored, 4),
                      (self.file_removed, 2), (self.checkpoint, 9), (self.delete, 4),
                      (self.rename_snapshot, 3), (self.describe, 2), (self.set_metadata, 2), (self.pin, 3),
                      (self.rollback, 5), (self.exchanged, 2), (self.fork, 2), (self.make_another, 1),
                      (self.rename_fork, 2), (self.remove_fork, 1)]
        functions, weights = zip(*operations)
        for _ in range(count):
            self.random.choices(functions, weights)[0]()


def make_noise(mount, worker, seed, parent):
    """Dirties pages and names for as long as its parent lives, so that there is something to lose."""
    rng = random.Random(seed)
    while os.getppid() == parent:
        try:
            for name in os.listdir(mount):
                if name != worker and not name.startswith(worker + "-"):
                    continue
                path = f"{mount}/{name}/noise{rng.randrange(5)}"
                with open(path, "wb") as file:
                    file.write(rng.randbytes(rng.choice((100, 5000, 300000))))
                os.rename(path, f"{mount}/{name}/noise")
        except OSError:
            pass
        time.sleep(rng.choice((0, 0.01, 0.05)))


def main():
    mount, path, seed, power = sys.argv[1:5]
    count = int(sys.argv[5]) if len(sys.argv) > 5 else sys.maxsize
    worker = Worker(mount, path, seed, power)
    parent = os.getpid()
    child = os.fork()
    if child == 0:
        make_noise(mount, worker.name, seed, parent)
        os._exit(0)
    try:
        worker.work(count)
    except OSError as error:
        if is_on(power):
            print(f"FAULT: {worker.name}: {error}", flush=True)
    finally:
        os.kill(child, signal.SIGKILL)
        os.waitpid(child, 0)


main()
