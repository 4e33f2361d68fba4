#!/usr/bin/env python3
"""Runs a command and tells whether it has opened, read, changed or removed one of some files.

usage: touched.py SECONDS PATHS_FILE -- COMMAND...

PATHS_FILE has a path in each line: of files, FIFOs, devices, not followed where they are symbolic links.
Writes what happened to which into PATHS_FILE.told, a line each. Exit status: that of the command; 124 if it
had not ended after SECONDS (it is killed then, with all that it has started).
"""

import ctypes
import os
import signal
import struct
import subprocess
import sys

EVENTS = {0x1: "read", 0x2: "written", 0x4: "attributes changed", 0x20: "opened", 0x400: "removed"}
DONT_FOLLOW = 0x02000000


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


def main():
    seconds, paths_file = float(sys.argv[1]), sys.argv[2]
    command = sys.argv[sys.argv.index("--") + 1:]
    libc = ctypes.CDLL(None, use_errno=True)
    watch = libc.inotify_init1(os.O_NONBLOCK | os.O_CLOEXEC)
    names = {}
    with open(paths_file, "rb") as lines:
        for path in lines.read().splitlines():
            number = libc.inotify_add_watch(watch, path, sum(EVENTS) | DONT_FOLLOW)
            if number < 0:
                raise OSError(ctypes.get_errno(), os.fsdecode(path))
            names[number] = os.fsdecode(path)
    process = subprocess.Popen(command)
    try:
        status = process.wait(timeout=seconds)
    except subprocess.TimeoutExpired:
        for pid in descendants(process.pid):
            os.kill(pid, signal.SIGKILL)
        status = 124
    told = set()
    try:
        while True:
            data = os.read(watch, 65536)
            at = 0
            while at < len(data):
                number, mask, _, length = struct.unpack_from("iIII", data, at)
                at += 16 + length
                told |= {f"{word}: {names[number]}" for bit, word in EVENTS.items() if mask & bit}
    except BlockingIOError:
        pass
    with open(paths_file + ".told", "w", encoding="utf-8", errors="surrogateescape") as out:
        out.writelines(f"{line}\n" for line in sorted(told))
    return status


sys.exit(main())
