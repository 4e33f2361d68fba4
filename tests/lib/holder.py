"""Holds files open and does to them what it is told: a line of commands in, a line of answer out.

    open NAME PATH | openw NAME PATH | create NAME PATH | path NAME PATH (an O_PATH descriptor)
    tmpfile NAME DIRECTORY | tmpfile_excl NAME DIRECTORY | reopen NAME OTHER (by /proc/self/fd)
    write NAME TEXT | read NAME | size NAME BYTES | links NAME | xattrs NAME | link NAME PATH
    map NAME (shared, writable; the descriptor can be closed then) | poke NAME TEXT | unmap NAME
    close NAME | close many
    unlink PATH | rename OLD NEW | mkdir PATH | many COUNT DIRECTORY (each open for reading, and unlinked)

The answer is what was asked for, "ok", or the name of an errno.
"""
import ctypes
import errno
import os
import sys

libc = ctypes.CDLL(None, use_errno=True)
libc.mmap.restype = ctypes.c_void_p
files, mappings, many = {}, {}, []


def open_as(flags):
    def command(name, path):
        files[name] = os.open(path, flags, 0o644)
    return command


def map_file(name):
    # Not by the module mmap: it keeps a descriptor.
    prot_read_write, map_shared = 3, 1
    address = libc.mmap(None, ctypes.c_size_t(4096), prot_read_write, map_shared, files[name],
                        ctypes.c_long(0))
    if address in (None, ctypes.c_void_p(-1).value):
        raise OSError(ctypes.get_errno(), "mmap")
    mappings[name] = address


def reopen(name, other):
    files[other] = os.open(f"/proc/self/fd/{files[name]}", os.O_RDWR)


def link(name, path):
    at_fdcwd, at_symlink_follow = -100, 0x400
    if libc.linkat(at_fdcwd, f"/proc/self/fd/{files[name]}".encode(), at_fdcwd, path.encode(),
                   at_symlink_follow) != 0:
        raise OSError(ctypes.get_errno(), "linkat")


def hold_many(count, directory):
    for i in range(int(count)):
        path = f"{directory}/held-{i}"
        fd = os.open(path, os.O_RDWR | os.O_CREAT, 0o644)
        os.pwrite(fd, f"content {i}".encode(), 0)
        many.append(os.open(path, os.O_RDONLY))
        os.close(fd)
        os.unlink(path)


def close(name):
    if name == "many":
        while many:
            os.close(many.pop())
    elif name in files:
        os.close(files.pop(name))


def unmap(name):
    libc.munmap(ctypes.c_void_p(mappings.pop(name)), ctypes.c_size_t(4096))


commands = {
    "open": open_as(os.O_RDONLY), "openw": open_as(os.O_RDWR),
    "create": open_as(os.O_RDWR | os.O_CREAT), "path": open_as(os.O_PATH),
    "tmpfile": open_as(os.O_RDWR | os.O_TMPFILE),
    "tmpfile_excl": open_as(os.O_RDWR | os.O_TMPFILE | os.O_EXCL),
    "reopen": reopen, "link": link, "map": map_file, "unmap": unmap, "close": close,
    "write": lambda name, *text: os.pwrite(files[name], " ".join(text).encode(), 0) and None,
    "read": lambda name: os.pread(files[name], 4096, 0).decode().rstrip(),
    "size": lambda name, size: os.ftruncate(files[name], int(size)),
    "links": lambda name: os.fstat(files[name]).st_nlink,
    "xattrs": lambda name: " ".join(os.listxattr(files[name])),
    "poke": lambda name, *text: ctypes.memmove(mappings[name], " ".join(text).encode(),
                                               len(" ".join(text))) and None,
    "mkdir": os.mkdir, "unlink": os.unlink, "rename": os.rename, "many": hold_many,
}

for line in sys.stdin:
    words = line.split()
    try:
        answer = commands[words[0]](*words[1:])
        print("ok" if answer is None else answer, flush=True)
    except OSError as error:
        print(errno.errorcode[error.errno], flush=True)
