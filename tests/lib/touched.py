#!/usr/bin/env python3
"""Runs commands and tells of each whether it has opened, read, changed or removed some files.

usage: touched.py DIRECTORY SECONDS

A command is a line on stdin, its words parted by tabs: PATH... -- COMMAND ARGUMENT... Looked at are all files below
DIRECTORY, and what those paths name: files, FIFOs, devices, not followed where they are symbolic links. The
command's stdout goes nowhere, its stderr to ours. The answer is a line on stdout for each thing that happened
("opened: PATH"; "differs: PATH" where something below DIRECTORY is not as it was), and then one with the command's
exit status; 124 if it had not ended after SECONDS (it is killed then, with all that it has started).
"""

import ctypes
import os
import signal
import struct
import subprocess
import sys

EVENTS = {0x1: "read", 0x2: "written", 0x4: "attributes changed", 0x20: "opened", 0x400: "removed"}
DONT_FOLLOW = 0x02000000
LIBC = ctypes.CDLL(None, use_errno=True)


class Watch:
    """What happens to some files, as inotify(7) tells it."""

    def __init__(self, paths):
        self.names = {}
        self.fd = LIBC.inotify_init1(os.O_NONBLOCK | os.O_CLOEXEC)
        for path in paths:
            number = LIBC.inotify_add_watch(self.fd, os.fsencode(path), sum(EVENTS) | DONT_FOLLOW)
            if number < 0:
                raise OSError(ctypes.get_errno(), path)
            self.names[number] = path

    def end(self):
        """All that has happened, and the end of the watch."""
        told = set()
        try:
            while True:
                data = os.read(self.fd, 65536)
                at = 0
                while at < len(data):
                    number, mask, _, length = struct.unpack_from("iIII", data, at)
                    at += 16 + length
                    told |= {f"{word}: {self.names[number]}" for bit, word in EVENTS.items() if mask & bit}
        except BlockingIOError:
            pass
        os.close(self.fd)
        return told


def files_below(directory):
    return [entry.path for entry in entries_below(directory) if entry.is_file(follow_symlinks=False)]


def entries_below(directory):
    for entry in os.scandir(directory):
        yield entry
        if entry.is_dir(follow_symlinks=False):
            yield from entries_below(entry.path)


def state_of(entry):
    status = entry.stat(follow_symlinks=False)
    content = None
    if entry.is_symlink():
        content = os.readlink(entry.path)
    elif entry.is_file(follow_symlinks=False):
        with open(entry.path, "rb") as file:
            content = file.read()
    return status.st_mode, status.st_uid, status.st_gid, status.st_mtime_ns, status.st_nlink, content


def states_below(directory):
    return {entry.path: state_of(entry) for entry in entries_below(directory)}


def descendants(pid):
    parents = {}
    for entry in filter(str.isdigit, os.listdir("/proc")):
        try:
            with open(f"/proc/{entry}/stat", encoding="utf-8", errors="replace") as stat:
                parents[int(entry)] = int(stat.read().rpartition(") ")[2].split()[1])
        except OSError:
            pass  # ended just now
    found = [pid]
    for one in found:
        found += [child for child, parent in parents.items() if parent == one]
    return found


def run(command, seconds):
    process = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL)
    try:
        return process.wait(timeout=seconds)
    except subprocess.TimeoutExpired:
        for pid in descendants(process.pid):
            os.kill(pid, signal.SIGKILL)
        process.wait()
        return 124


def main():
    directory, seconds = sys.argv[1], float(sys.argv[2])
    for line in sys.stdin:
        words = line.rstrip("\n").split("\t")
        begin = words.index("--")
        before = states_below(directory)
        watch = Watch(files_below(directory) + words[:begin])
        status = run(words[begin + 1:], seconds)
        told = watch.end()
        after = states_below(directory)
        told |= {f"differs: {path}" for path in before.keys() | after.keys() if before.get(path) != after.get(path)}
        print(*sorted(told), status, sep="\n", flush=True)


main()
