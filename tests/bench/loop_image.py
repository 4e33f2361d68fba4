"""Filesystems in loop images, made and attached as ckptfs makes and attaches its own."""
import os
import subprocess

from cleanup import unmount

# backend/btrfs/mkfs.cc and loop_home.cc: a sparse file, these options, blocks of 4 KiB, direct I/O.
_MKFS = {
    "btrfs": ["mkfs.btrfs", "-q", "-f", "-L", "native", "-d", "single"],
    "ext4": ["mkfs.ext4", "-q", "-F", "-m", "0"],
}
_MOUNT_OPTIONS = {"btrfs": "nosuid,nodev,discard=async", "ext4": "nosuid,nodev"}


class LoopImage:
    """One image, mounted on a directory of its own from start() to stop()."""

    def __init__(self, path, mountpoint, size_bytes, filesystem="btrfs"):
        self.path = path
        self.mountpoint = mountpoint
        self.filesystem = filesystem
        self.size_bytes = size_bytes

    def start(self):
        """Makes the image and mounts it."""
        with open(self.path, "wb") as file:
            os.truncate(file.fileno(), self.size_bytes)
        _run([*_MKFS[self.filesystem], self.path])
        os.makedirs(self.mountpoint, exist_ok=True)
        self.mount()

    def mount(self):
        """Attaches the image and mounts it. The device goes when the mount goes."""
        device = _run(["losetup", "--find", "--show", "--direct-io=on", "--sector-size=4096",
                       self.path]).strip()
        try:
            _run(["mount", "-t", self.filesystem, "-o", _MOUNT_OPTIONS[self.filesystem], device,
                  self.mountpoint])
        finally:
            # While it is mounted this only says that it goes by itself at the unmount.
            _run(["losetup", "--detach", device])

    def unmount(self):
        """Unmounts, which detaches the loop device too."""
        unmount(self.mountpoint)

    def stop(self):
        """Unmounts and removes the image."""
        self.unmount()
        if os.path.exists(self.path):
            os.unlink(self.path)


def _run(command):
    done = subprocess.run(command, capture_output=True, text=True)
    if done.returncode != 0:
        raise RuntimeError(f"{' '.join(command)}: {done.stderr.strip()}")
    return done.stdout
