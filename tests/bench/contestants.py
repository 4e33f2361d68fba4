"""Who is compared: native btrfs, and ckptfs as it can be mounted.

A contestant has a directory `root` for the files of the workloads. Those here can also take
checkpoints; those in peers.py cannot. Each has an image of its own, and all images are alike.
"""
import os
import shutil
import signal
import subprocess
import time

import btrfs
import machine
from cleanup import await_end, process_is_alive, unmount
from loop_image import LoopImage

WORKSPACE = "work"


class Contestant:
    """What every contestant is and can do. Made by start(), gone after stop()."""

    name = ""
    what = ""

    def __init__(self, home, size_bytes):
        self.home = home
        self.size_bytes = size_bytes
        self.root = ""

    def start(self):
        """Makes it usable: afterwards `root` is an empty directory in it."""
        os.makedirs(self.home)

    def stop(self):
        """Takes everything away again, also after a start() that failed half way."""
        shutil.rmtree(self.home, ignore_errors=True)

    def pids(self):
        """The processes that serve it."""
        return []

    def cpu_seconds(self):
        """The time that those processes have taken so far."""
        return sum(machine.cpu_seconds(pid) for pid in self.pids())

    def abort(self):
        """Ends the processes that serve it, so that a call that waits for one of them returns."""
        for pid in self.pids():
            if process_is_alive(pid):
                os.kill(pid, signal.SIGKILL)


class Native(Contestant):
    """btrfs itself. Its checkpoints are the bare ioctls on the same state."""

    name = "native"
    what = "btrfs on a loop image equal to that of ckptfs"

    def __init__(self, home, size_bytes):
        super().__init__(home, size_bytes)
        self.image = LoopImage(f"{home}/image", f"{home}/mnt", size_bytes)
        self._volumes = f"{home}/mnt/volumes"
        self._live = WORKSPACE
        self._live_count = 0

    def start(self):
        super().start()
        self.image.start()
        os.mkdir(self._volumes)
        with btrfs.open_directory(self._volumes) as directory:
            btrfs.create_subvolume(directory, self._live)
        self.root = f"{self._volumes}/{self._live}"

    def stop(self):
        self.image.stop()
        super().stop()

    def remount(self, **_options):
        """Unmounts and mounts; returns how long that took."""
        begin = time.perf_counter()
        self.image.unmount()
        self.image.mount()
        return time.perf_counter() - begin

    def checkpoint(self, name):
        """Takes a read-only snapshot of the root."""
        with btrfs.open_directory(self._volumes) as directory, \
                btrfs.open_directory(self.root) as source:
            begin = time.perf_counter()
            btrfs.snapshot(source, directory, f"s-{name}", read_only=True)
            return time.perf_counter() - begin

    def rollback(self, name, keep):
        """Times a writable snapshot of a snapshot; it becomes the root."""
        self._live_count += 1
        live = f"{WORKSPACE}-{self._live_count}"
        with btrfs.open_directory(self._volumes) as directory:
            with btrfs.open_directory(f"{self._volumes}/s-{name}") as source:
                begin = time.perf_counter()
                btrfs.snapshot(source, directory, live, read_only=False)
                elapsed = time.perf_counter() - begin
            if keep:
                os.rename(self.root, f"{self._volumes}/s-pre-rollback-{self._live_count}")
            else:
                btrfs.destroy(directory, self._live)
        self._live = live
        self.root = f"{self._volumes}/{live}"
        return elapsed

    def delete(self, name):
        """Removes a snapshot and waits for the commit, without which it can come back."""
        with btrfs.open_directory(self._volumes) as directory:
            begin = time.perf_counter()
            btrfs.destroy(directory, f"s-{name}")
            btrfs.commit(directory)
            return time.perf_counter() - begin

    def rename(self, old, new):
        """Renames a snapshot."""
        begin = time.perf_counter()
        os.rename(f"{self._volumes}/s-{old}", f"{self._volumes}/s-{new}")
        return time.perf_counter() - begin

    def snapshots(self):
        """The names of all snapshots."""
        return [name[2:] for name in os.listdir(self._volumes) if name.startswith("s-")]


class Ckptfs(Contestant):
    """ckptfs, mounted with some options, perhaps started by another program."""

    name = "ckptfs"
    what = "ckptfs, io_uring=on"
    options = "io_uring=on"
    prefix = ()
    binaries = ""

    def __init__(self, home, size_bytes):
        super().__init__(home, size_bytes)
        self.store = f"{home}/store"
        self.mountpoint = f"{home}/mnt"
        self._pid = None
        self._cpu_of_ended_s = 0.0

    def start(self):
        super().start()
        os.mkdir(self.mountpoint)
        self.mount(f"size={self.size_bytes}")
        self.root = f"{self.mountpoint}/{WORKSPACE}"
        os.mkdir(self.root)

    def mount(self, more=""):
        """Mounts the store; it is usable on return."""
        switch = machine.uring_state()
        options = ",".join(filter(None, (self.options, more)))
        # To a file: a pipe would be waited for until the daemon has closed it.
        with open(f"{self.home}/log", "ab") as log:
            done = subprocess.run([*self.prefix, f"{self.binaries}/ckptfs", "-o", options,
                                   self.store, self.mountpoint],
                                  stdin=subprocess.DEVNULL, stdout=log, stderr=log)
        # io_uring=on sets the kernel's switch, which the next contestant is not to find set.
        machine.set_uring_state(switch)
        if done.returncode != 0:
            with open(f"{self.home}/log", encoding="utf-8", errors="replace") as log:
                raise RuntimeError(f"mount of {self.name}: {log.read().strip()[-500:]}")
        with open(f"{self.store}/lock", encoding="ascii") as lock:
            self._pid = int(lock.readline())

    def unmount(self):
        """Unmounts and waits until the daemon has ended."""
        self._cpu_of_ended_s = self.cpu_seconds()
        unmount(self.mountpoint)
        if self._pid:
            await_end(self._pid)
            self._pid = None

    def stop(self):
        self.unmount()
        super().stop()

    def pids(self):
        return [self._pid, *machine.children(self._pid)] if self._pid else []

    def cpu_seconds(self):
        return self._cpu_of_ended_s + super().cpu_seconds()

    def remount(self, **options):
        """Unmounts and mounts, perhaps with more options; returns how long that took."""
        more = ",".join(f"{key}={value}" for key, value in options.items())
        begin = time.perf_counter()
        self.unmount()
        self.mount(more)
        return time.perf_counter() - begin

    @property
    def _list(self):
        return f"{self.mountpoint}/.snapshots/{WORKSPACE}"

    @property
    def list_directory(self):
        """The directory of the workspace's snapshots."""
        return self._list

    def checkpoint(self, name):
        """Takes a checkpoint: mkdir."""
        path = f"{self._list}/{name}"
        begin = time.perf_counter()
        os.mkdir(path)
        return time.perf_counter() - begin

    def rollback(self, name, **_native_only):
        """Rolls back: rename. Whether the state before is kept is a mount option."""
        source, target = f"{self._list}/{name}", f"{self._list}/.live"
        begin = time.perf_counter()
        os.rename(source, target)
        return time.perf_counter() - begin

    def delete(self, name):
        """Deletes a snapshot: rmdir."""
        path = f"{self._list}/{name}"
        begin = time.perf_counter()
        os.rmdir(path)
        return time.perf_counter() - begin

    def rename(self, old, new):
        """Renames a snapshot: rename."""
        source, target = f"{self._list}/{old}", f"{self._list}/{new}"
        begin = time.perf_counter()
        os.rename(source, target)
        return time.perf_counter() - begin

    def snapshots(self):
        """The names of all snapshots: readdir."""
        return os.listdir(self._list)


class CkptfsDev(Ckptfs):
    """The same through /dev/fuse."""

    name = "ckptfs-dev"
    what = "ckptfs, io_uring=off: requests through /dev/fuse"
    options = "io_uring=off"


class CkptfsDaemon(Ckptfs):
    """The same where the kernel grants no passthrough: data goes through the daemon."""

    name = "ckptfs-daemon"
    what = "ckptfs, io_uring=on, without passthrough"


class CkptfsDmSnapshot(Ckptfs):
    """The same over dm-snapshot."""

    name = "dm-snapshot"
    what = "ckptfs, backend=dm-snapshot"
    options = "backend=dm-snapshot"


class CkptfsDmThin(Ckptfs):
    """The same over dm-thin."""

    name = "dm-thin"
    what = "ckptfs, backend=dm-thin"
    options = "backend=dm-thin"


def use_programs(binaries, checkout):
    """Says where ckptfs is, and what starts it so that it gets no passthrough."""
    Ckptfs.binaries = binaries
    CkptfsDaemon.prefix = (f"{checkout}/tests/lib/without-passthrough",)
