#!/usr/bin/python3
"""The memory of a process and of all that descend from it, until this is killed. memory_of.py PID FILE

FILE has a line "MOST NOW PROCESSES" in MiB, written anew every 0.2 s. NOW is the sum of their resident sets. MOST is
the largest sum so far of what each of those alive has had at most (VmHWM): nothing that lasts shorter than a look is
missed, and what came at different times counts as if it had come together. Reads nothing of /proc that waits for a
process that hangs."""
import os
import sys
import time


def descendants(pid):
    yield pid
    try:
        threads = os.listdir(f"/proc/{pid}/task")
    except FileNotFoundError:
        return
    for thread in threads:
        try:
            with open(f"/proc/{pid}/task/{thread}/children", encoding="ascii") as file:
                children = file.read().split()
        except OSError:
            continue
        for child in children:
            yield from descendants(child)


def kib(pid):
    """What it has had at most, and has now."""
    try:
        with open(f"/proc/{pid}/status", encoding="utf-8") as file:
            lines = dict(line.split(":", 1) for line in file)
        return [int(lines[key].split()[0]) for key in ("VmHWM", "VmRSS")]
    except (OSError, KeyError):  # it has ended
        return [0, 0]


def main():
    pid, path = sys.argv[1:]
    most = 0
    while True:
        sizes = [kib(process) for process in descendants(pid)]
        most = max(most, sum(size[0] for size in sizes))
        now = sum(size[1] for size in sizes)
        with open(path + ".new", "w", encoding="ascii") as file:
            file.write(f"{most >> 10} {now >> 10} {len(sizes)}\n")
        os.rename(path + ".new", path)
        time.sleep(0.2)


main()
