#!/usr/bin/env python3
"""File handles: name_to_handle_at(2) and open_by_handle_at(2).

    handles.py save BOOK PATH...     notes the handles of these files, and what the files are, in BOOK
    handles.py same MOUNT BOOK       each handle opens the file that is at its path now
    handles.py stale MOUNT BOOK      each gives ESTALE
    handles.py noted MOUNT BOOK      each opens what was noted, with the content it had, or gives ESTALE
    handles.py restored MOUNT BOOK   each opens the file at its path now, or gives ESTALE

Prints what is otherwise, a line each, and then the number of handles and of those that were opened.
"""
import ctypes
import errno
import json
import os
import stat
import sys

AT_FDCWD = -100
LIBC = ctypes.CDLL(None, use_errno=True)


class FileHandle(ctypes.Structure):
    _fields_ = [("bytes", ctypes.c_uint), ("type", ctypes.c_int), ("data", ctypes.c_ubyte * 128)]


def handle_of(path):
    handle = FileHandle(bytes=128)
    mount_id = ctypes.c_int()
    if LIBC.name_to_handle_at(AT_FDCWD, os.fsencode(path), ctypes.byref(handle),
                              ctypes.byref(mount_id), 0) != 0:
        raise OSError(ctypes.get_errno(), f"name_to_handle_at {path}")
    return [handle.type, bytes(handle.data[:handle.bytes]).hex()]


def open_handle(mount_fd, saved, mode):
    data = bytes.fromhex(saved[1])
    handle = FileHandle(bytes=len(data), type=saved[0])
    ctypes.memmove(handle.data, data, len(data))
    is_plain = stat.S_ISREG(mode) or stat.S_ISDIR(mode)
    flags = os.O_RDONLY | os.O_NONBLOCK if is_plain else os.O_PATH | os.O_NOFOLLOW
    fd = LIBC.open_by_handle_at(mount_fd, ctypes.byref(handle), flags)
    if fd < 0:
        raise OSError(ctypes.get_errno(), "open_by_handle_at")
    return fd


def describe(fd, path):
    """What makes the file this one. A directory is told by where it is. `path`: what it is or was called."""
    status = os.fstat(fd)
    seen = {"inode": status.st_ino, "mode": status.st_mode}
    if stat.S_ISDIR(status.st_mode):
        os.fchdir(fd)
        seen["path"] = os.getcwd()
        seen["link"] = os.readlink(f"/proc/self/fd/{fd}")
        seen["names"] = sorted(os.listdir(fd))
        os.chdir("/")
    elif stat.S_ISLNK(status.st_mode):
        seen["target"] = os.readlink("", dir_fd=fd)
    elif stat.S_ISREG(status.st_mode) and not is_control(path):
        seen["content"] = os.pread(fd, 1000, 0).decode(errors="replace")
    return seen


def is_control(path):
    return os.path.basename(path) == ".ckptfs-control"


def describe_path(path):
    mode = os.lstat(path).st_mode
    is_plain = (stat.S_ISREG(mode) or stat.S_ISDIR(mode)) and not is_control(path)
    fd = os.open(path, os.O_RDONLY if is_plain else os.O_PATH | os.O_NOFOLLOW)
    try:
        return describe(fd, path)
    finally:
        os.close(fd)


def save(book, paths):
    notes = []
    for path in paths:
        path = os.path.abspath(path)
        notes.append({"path": path, "handle": handle_of(path), "seen": describe_path(path)})
    with open(book, "w", encoding="utf-8") as file:
        json.dump(notes, file)


def try_one(mount_fd, note):
    """What the handle opens; None if it is stale."""
    mode = note["seen"]["mode"] if not is_control(note["path"]) else 0
    fd = -1
    try:
        fd = open_handle(mount_fd, note["handle"], mode)
        return describe(fd, note["path"])
    except OSError as error:
        # Of a directory that the kernel has in use still, the next call may be the first to say so.
        if error.errno == errno.ESTALE:
            return None
        raise
    finally:
        if fd >= 0:
            os.close(fd)


def wrong(mode, note, found):
    """Why that is not what it has to be; empty if it is."""
    if mode == "stale":
        return "" if found is None else f"opens {found}"
    if found is None:
        return "ESTALE" if mode == "same" else ""
    if mode == "noted":
        expected = {key: note["seen"][key] for key in note["seen"] if key != "names"}
        found = {key: found[key] for key in found if key != "names"}
    else:
        expected = describe_path(note["path"])
    return "" if found == expected else f"opens {found} instead of {expected}"


def main():
    if sys.argv[1] == "save":
        save(sys.argv[2], sys.argv[3:])
        return
    mode, mount, book = sys.argv[1:]
    mount_fd = os.open(mount, os.O_RDONLY | os.O_DIRECTORY)
    with open(book, encoding="utf-8") as file:
        notes = json.load(file)
    opened = 0
    for note in notes:
        try:
            found = try_one(mount_fd, note)
            opened += found is not None
            complaint = wrong(mode, note, found)
        except OSError as error:
            complaint = f"{error}"
        if complaint:
            print(f"{note['path']}: {complaint}")
    print(len(notes), opened)


main()
