"""Other filesystems that stand on top of one, for the data path, where they are installed.

Each stands on a native btrfs in a loop image equal to the others'.
"""
import os
import shutil
import subprocess
import time

from cleanup import await_end, unmount
from contestants import Contestant
from loop_image import LoopImage

_START_S = 10.0


class Peer(Contestant):
    """A program that serves a mount, in the foreground, on top of btrfs."""

    program = ""

    def __init__(self, home, size_bytes):
        super().__init__(home, size_bytes)
        self.image = LoopImage(f"{home}/image", f"{home}/below", size_bytes)
        self.mountpoint = f"{home}/mnt"
        self._process = None

    @classmethod
    def installed(cls):
        """The path of the program, or None."""
        return shutil.which(cls.program)

    def command(self):
        """What serves the mount."""
        raise NotImplementedError

    def start(self):
        super().start()
        self.image.start()
        os.mkdir(self.mountpoint)
        for name in ("files", "work", "lower"):
            os.mkdir(f"{self.image.mountpoint}/{name}")
        with open(f"{self.home}/log", "ab") as log:
            self._process = subprocess.Popen(self.command(), stdin=subprocess.DEVNULL, stdout=log,
                                             stderr=log, start_new_session=True)
        self._await_mount()
        self.root = f"{self.mountpoint}/root"
        os.mkdir(self.root)

    def _await_mount(self):
        deadline = time.monotonic() + _START_S
        while not os.path.ismount(self.mountpoint):
            if self._process.poll() is not None or time.monotonic() > deadline:
                with open(f"{self.home}/log", encoding="utf-8", errors="replace") as log:
                    raise RuntimeError(f"mount of {self.name}: {log.read().strip()[-500:]}")
            time.sleep(0.02)

    def stop(self):
        unmount(self.mountpoint)
        if self._process:
            if self._process.poll() is None:
                _await_exit(self._process)
            self._process = None
        self.image.stop()
        super().stop()

    def pids(self):
        return [self._process.pid] if self._process and self._process.poll() is None else []


def _await_exit(process):
    try:
        process.wait(10)
    except subprocess.TimeoutExpired:
        process.kill()
        await_end(process.pid)
        process.wait()


class PassthroughHp(Peer):
    """libfuse's example, which also has the kernel read and write."""

    name = program = "passthrough_hp"
    what = "libfuse's example with passthrough"

    def command(self):
        return [self.installed(), "--foreground", f"{self.image.mountpoint}/files", self.mountpoint]


class Bindfs(Peer):
    """Mirrors a directory."""

    name = program = "bindfs"
    what = "bindfs, its defaults"

    def command(self):
        return [self.installed(), "-f", f"{self.image.mountpoint}/files", self.mountpoint]


class Mergerfs(Peer):
    """A union of, here, one directory."""

    name = program = "mergerfs"
    what = "mergerfs of one branch, its defaults"

    def command(self):
        return [self.installed(), "-f", f"{self.image.mountpoint}/files", self.mountpoint]


class FuseOverlayfs(Peer):
    """An overlay in a daemon."""

    name = program = "fuse-overlayfs"
    what = "fuse-overlayfs over an empty directory"

    def command(self):
        below = self.image.mountpoint
        return [self.installed(), "-f", "-o",
                f"lowerdir={below}/lower,upperdir={below}/files,workdir={below}/work",
                self.mountpoint]


class KernelOverlayfs(Peer):
    """An overlay in the kernel."""

    name = "overlayfs"
    what = "the kernel's overlayfs over an empty directory"

    @classmethod
    def installed(cls):
        with open("/proc/filesystems", encoding="ascii") as file:
            return "overlay" if "overlay" in file.read().split() else None

    def command(self):
        below = self.image.mountpoint
        return ["mount", "-t", "overlay", "overlay", "-o",
                f"lowerdir={below}/lower,upperdir={below}/files,workdir={below}/work",
                self.mountpoint]

    def _await_mount(self):
        self._process.wait(_START_S)
        super()._await_mount()


PEERS = (PassthroughHp, Bindfs, Mergerfs, FuseOverlayfs, KernelOverlayfs)
