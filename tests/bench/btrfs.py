"""The bare ioctls of btrfs, against which checkpoints and rollbacks are measured."""
import contextlib
import fcntl
import os
import struct

_SUBVOL_CREATE = 0x5000940E
_SNAP_DESTROY = 0x5000940F
_SNAP_CREATE_V2 = 0x50009417
_START_SYNC = 0x80089418
_WAIT_SYNC = 0x40089416
_SUBVOL_RDONLY = 2


@contextlib.contextmanager
def open_directory(path):
    """A descriptor of a directory, for the time of a with statement."""
    fd = os.open(path, os.O_RDONLY | os.O_DIRECTORY)
    try:
        yield fd
    finally:
        os.close(fd)


def _named(name):
    return bytearray(struct.pack("=q4088s", 0, os.fsencode(name)))


def create_subvolume(directory_fd, name):
    """Makes an empty subvolume."""
    fcntl.ioctl(directory_fd, _SUBVOL_CREATE, _named(name))


def snapshot(source_fd, directory_fd, name, read_only):
    """Makes a snapshot of a subvolume; durable on return."""
    flags = _SUBVOL_RDONLY if read_only else 0
    arguments = struct.pack("=qQQ32x4040s", source_fd, 0, flags, os.fsencode(name))
    fcntl.ioctl(directory_fd, _SNAP_CREATE_V2, bytearray(arguments))


def destroy(directory_fd, name):
    """Removes a subvolume's name. Commits nothing."""
    fcntl.ioctl(directory_fd, _SNAP_DESTROY, _named(name))


def commit(fd):
    """Commits the transaction that is open now, and returns when it is on disk."""
    transaction = bytearray(8)
    fcntl.ioctl(fd, _START_SYNC, transaction)
    fcntl.ioctl(fd, _WAIT_SYNC, transaction)
