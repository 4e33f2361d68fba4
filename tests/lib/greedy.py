#!/usr/bin/python3
"""What a user does who wants all of the daemon's memory. greedy.py WORKSPACE HOW [N]

Says "ready" when it holds what it can get, and then waits until it is killed (but for "make-..." and
"cost", which end, and for "costs" and "nonsense", which go on)."""
import errno
import fcntl
import json
import os
import random
import sys
import time

NAME = "x" * 250


def ioc(direction, number, size):
    return direction << 30 | size << 16 | ord("K") << 8 | number


class Control:
    """The control protocol, as fs/control/control_protocol.h has it."""

    def __init__(self, directory, write=False):
        self.fd = os.open(directory + "/.ckptfs-control", os.O_RDWR if write else os.O_RDONLY)

    def append(self, data):
        for at in range(0, len(data), 8192):
            piece = bytearray(data[at : at + 8192])
            # The module copies what is no longer than 1024 bytes, and takes the rest as it is.
            argument = piece if len(piece) > 1024 else bytes(piece)
            fcntl.ioctl(self.fd, ioc(1, 0xC0, len(piece)), argument, len(piece) > 1024)
        return self

    def run(self):
        fcntl.ioctl(self.fd, ioc(0, 0xC1, 0), 0)
        return self

    def ask(self, command, **args):
        return self.append(json.dumps({"command": command, "args": args}).encode()).run()

    def read(self):
        data = b""
        while piece := os.read(self.fd, 1 << 18):
            data += piece
        return [json.loads(line) for line in data.split(b"\n") if line]


def make_deep(workspace, levels):
    fd = os.open(workspace, os.O_RDONLY)
    for _ in range(levels):
        os.mkdir(NAME, dir_fd=fd)
        below = os.open(NAME, os.O_RDONLY, dir_fd=fd)
        os.close(fd)
        fd = below


def make_wide(workspace, files):
    os.mkdir(workspace + "/wide")
    for i in range(files):
        os.close(os.open(f"{workspace}/wide/{i:06}{'y' * 200}", os.O_CREAT | os.O_WRONLY))


def make_xattrs(workspace, files):
    for i in range(files):
        path = f"{workspace}/xattrs{i}"
        os.close(os.open(path, os.O_CREAT | os.O_WRONLY))
        try:
            for j in range(3000):
                os.setxattr(path, f"user.{j}", b"v" * 15000)
        except OSError as error:
            if error.errno not in (errno.ENOSPC, errno.EDQUOT):
                raise


def make_texts(workspace, snapshots):
    """Snapshots with as much text as they may have."""
    for i in range(snapshots):
        path = f"{workspace}/.snapshots/t{i}"
        os.mkdir(path)
        os.setxattr(path, "user.ckptfs.message", b"m" * 65536)
        os.setxattr(path, "user.ckptfs.metadata", b'{"a":[' + b"{}," * 21000 + b"1]}")


def cost(workspace, objects):
    """A request that nlohmann's parser callback takes the square of its length for."""
    control = Control(workspace)
    control.append(b'{"command":"hello","args":{"a":[' + b",".join([b"{}"] * objects) + b"]}}")
    print(control.run().read()[-1])


def costs(workspace, objects):
    while True:
        try:
            cost(workspace, objects)
        except BlockingIOError:  # as many of this user's are under way as may be
            time.sleep(0.05)


COMMANDS = ("hello list show status df diff preview checkpoint rollback fork delete pin fsck import create templates"
            " template-add template-remove sync").split()
KEYS = ("name snapshot newest from to metadata message pinned if_changed force usage mode template fd device inode"
        " leave_out_nested filesystem size_bytes").split()
VALUES = [None, True, 0, -1, 1 << 63, 1 << 64, 1e308, "", "latest", ".live", "a", "../x", "a/b", "\0", "x" * 300,
          {"bytes": [255, 0]}, {"bytes": [256]}, {"bytes": "x"}, {"bytes": [1] * 5000}, [], [[]] * 50, {},
          "[" * 70 + "]" * 70, '{"a":' * 70 + "1" + "}" * 70]


def nonsense_request(rng):
    """One of ours with values that do not belong there, and perhaps with other bytes."""
    keys = rng.sample(KEYS, rng.randrange(8))
    request = {"command": rng.choice(COMMANDS), "args": {key: rng.choice(VALUES) for key in keys}}
    if rng.random() < 0.3:
        request["workspace"] = rng.choice(VALUES)
    data = bytearray(json.dumps(request).encode())
    for _ in range(rng.choice((0, 0, 1, 20))):
        at = rng.randrange(len(data))
        data[at:at + rng.randrange(2)] = rng.choice((b"[" * 500, b'{"a":' * 200, b"\xff\xfe", b"\\ud800", b"1e999999", b"\0"))
    return bytes(data)


def nonsense_calls(control, rng):
    """What nobody who speaks the protocol does with its file."""
    call = rng.randrange(4)
    if call == 0:
        fcntl.ioctl(control.fd, rng.getrandbits(32), bytes(1024))
    elif call == 1:
        fcntl.ioctl(control.fd, ioc(rng.randrange(4), rng.choice((0xC0, 0xC1, 0xC2)), rng.randrange(1025)), bytes(1024))
    elif call == 2:
        os.write(control.fd, bytes(rng.randrange(70000)))
    else:
        os.ftruncate(control.fd, 0)


def nonsense(workspace, _count):
    rng = random.Random(1)
    held = []
    print("ready", flush=True)
    while True:
        held.append(Control(workspace, rng.random() < 0.5))
        for act in (lambda c: nonsense_calls(c, rng), lambda c: c.append(nonsense_request(rng)),
                    Control.run, lambda c: rng.random() < 0.7 and c.read()):
            try:
                act(held[-1])
            except (OSError, ValueError):  # refused, or answered with what is no JSON
                pass
        if len(held) > 4:
            os.close(held.pop(rng.randrange(len(held))).fd)


def walk(one, *args):
    """Where rollbacks never end a path walk may come too late twice."""
    while True:
        try:
            return one(*args)
        except OSError as error:
            if error.errno != errno.ESTALE:
                raise


def many(count, one):
    """As many as one gets."""
    held = []
    for i in range(count):
        try:
            held.append(walk(one, i))
        except OSError as error:
            if error.errno not in (errno.EAGAIN, errno.EMFILE, errno.ENFILE):
                raise
    return held


def hold(workspace, how, count):
    if how == "diffs":  # answers that nobody reads
        return many(count, lambda i: Control(workspace).ask(
            "diff" if i % 2 else "preview", **({"from": "empty"} if i % 2 else {"snapshot": "empty"})))
    if how == "lists":
        return many(count, lambda _: Control(workspace).ask("list"))
    if how == "usage":
        return many(count, lambda _: Control(workspace).ask("df", usage=True))
    if how == "large-requests":
        data = b'{"command":"list","args":{"a":"' + b"x" * ((1 << 20) - 40) + b'"}}'
        return many(count, lambda _: Control(workspace).append(data).run())
    if how == "many-values":
        data = b'{"command":"list","args":{"a":[' + b"{}," * 340000 + b"1]}}"
        return many(count, lambda _: Control(workspace).append(data).run())
    if how == "unstarted":  # control files, with requests that are never run
        return many(count, lambda _: Control(workspace).append(b"x" * 200000))
    if how.endswith("directories"):  # of which one page has been read
        places = [workspace + "/wide"] * (how == "directories") + [workspace + "/.snapshots"]

        def open_one(i):
            scan = os.scandir(places[i % len(places)])
            next(scan)
            return scan
        return many(count, open_one)
    if how == "names":
        for i in range(count):
            try:
                walk(os.stat, f"{workspace}/{i:07}{'z' * 240}")
            except FileNotFoundError:
                pass
        return []
    raise SystemExit(f"greedy.py: there is no {how}")


def main():
    workspace, how = sys.argv[1:3]
    count = int(sys.argv[3]) if len(sys.argv) > 3 else 16
    ends = {"make-deep": make_deep, "make-wide": make_wide, "make-xattrs": make_xattrs,
            "make-texts": make_texts, "cost": cost, "costs": costs, "nonsense": nonsense}
    if how in ends:
        ends[how](workspace, count)
        return
    held = hold(workspace, how, count)
    print("ready", len(held), flush=True)
    time.sleep(1000)


main()
