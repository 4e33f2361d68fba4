"""What a worker knows of its workspaces: the states that may be there after a power cut.

A state is what JSON can hold:

    {"workspaces": {W: {"files": FILES, "snapshots": {S: SNAPSHOT}}}, "dying": [W...]}

FILES names what each file holds: ["blob", N], ["log", N] (N lines) or ["pages", [N...]]. A SNAPSHOT has
files, message, metadata, pinned, and its id, None where it is not known yet. A name that begins with "?" is
of a state that a rollback keeps, which has a name made of the time. Of a dying workspace anything may be left.

Files whose names begin with "noise" or "tmp" are nobody's business.
"""
import copy
import functools
import hashlib
import json
import os
import random
import subprocess

PAGE = 4096
BLOB_SIZES = [0, 10, 3000, 4096, 70000, 200000]


def content(description):
    kind, value = description
    if kind == "blob":
        return random.Random(value).randbytes(BLOB_SIZES[value % len(BLOB_SIZES)])
    if kind == "log":
        return b"".join(b"%d\n" % line for line in range(1, value + 1))
    return b"".join(page(number) for number in value)


def page(number):
    return (b"%d " % number * PAGE)[:PAGE]


@functools.lru_cache(maxsize=None)
def _digest(text):
    return hashlib.sha256(content(json.loads(text))).hexdigest()


def digest(description):
    return _digest(json.dumps(description))


class History:
    """The log of one worker, on a disk that stays: what it is about to do, and what has returned."""

    def __init__(self, path):
        self.path = path
        self.fd = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
        if os.fstat(self.fd).st_size == 0:
            self.done({"workspaces": {}, "dying": []})

    def begin(self, what, afters):
        os.write(self.fd, (json.dumps({"begin": what, "after": afters}) + "\n").encode())

    def done(self, state):
        os.write(self.fd, (json.dumps({"done": state}) + "\n").encode())

    def restart(self, state):
        os.ftruncate(self.fd, 0)
        self.done(state)

    def candidates(self):
        """The states that may be there, and what was under way."""
        with open(self.path, encoding="utf-8") as file:
            lines = file.read().splitlines()
        last = json.loads(lines[-1])
        if "done" in last:
            return [last["done"]], "nothing"
        before = json.loads(lines[-2])["done"]
        return [before, *last["after"]], last["begin"]


# --- What is there ------------------------------------------------------------------------------


def files_in(directory):
    found = {}
    for entry in os.scandir(directory):
        if entry.name.startswith(("noise", "tmp")):
            continue
        with open(entry.path, "rb") as file:
            found[entry.name] = hashlib.sha256(file.read()).hexdigest()
    return found


def observe(mount, worker):
    """All workspaces of a worker, as a state with digests for contents."""
    seen = {}
    for name in os.listdir(mount):
        if name != worker and not name.startswith(worker + "-"):
            continue
        listed = subprocess.run(["ckpt", "list", "-w", f"{mount}/{name}", "--format", "json"], check=True,
                                capture_output=True, timeout=120)
        snapshots = {}
        for row in json.loads(listed.stdout):
            snapshots[row["name"]] = {
                "id": row["id"], "message": row["message"], "metadata": row["metadata"],
                "pinned": row["pinned"], "files": files_in(f"{mount}/.snapshots/{name}/{row['name']}"),
            }
        if set(os.listdir(f"{mount}/.snapshots/{name}")) != set(snapshots):
            raise ValueError(f"{name}: ckpt list and the directory of its snapshots differ")
        seen[name] = {"files": files_in(f"{mount}/{name}"), "snapshots": snapshots}
    return seen


def _difference(what, expected, found):
    return [] if expected == found else [f"{what}: expected {expected}, found {found}"]


def _compare_files(what, expected, found):
    problems = _difference(f"{what}: names", sorted(expected), sorted(found))
    for name in expected.keys() & found.keys():
        if digest(expected[name]) != found[name]:
            problems.append(f"{what}/{name}: not {expected[name]}")
    return problems


def _compare_snapshot(what, expected, found):
    problems = _compare_files(what, expected["files"], found["files"])
    for key in ("message", "metadata", "pinned"):
        problems += _difference(f"{what} {key}", expected[key], found[key])
    if expected["id"]:
        problems += _difference(f"{what} id", expected["id"], found["id"])
    return problems


def _name_kept(expected, found):
    """Gives kept states, whose names are not known, those of kept states that are there."""
    fresh = sorted(name for name in found if name.startswith("pre-rollback-") and name not in expected)
    for name in [name for name in expected if name.startswith("?")]:
        if fresh:
            expected[fresh.pop()] = expected.pop(name)


def compare(state, seen):
    """What differs, and the state with what was not known of it before."""
    state = copy.deepcopy(state)
    problems = []
    wanted = state["workspaces"]
    dying = set(state["dying"])
    problems += _difference("workspaces", sorted(wanted), sorted(set(seen) - dying))
    for name in wanted.keys() & seen.keys():
        problems += _compare_files(name, wanted[name]["files"], seen[name]["files"])
        expected, found = wanted[name]["snapshots"], seen[name]["snapshots"]
        _name_kept(expected, found)
        problems += _difference(f"{name}: snapshots", sorted(expected), sorted(found))
        for snapshot in expected.keys() & found.keys():
            problems += _compare_snapshot(f"{name}/{snapshot}", expected[snapshot], found[snapshot])
            expected[snapshot]["id"] = found[snapshot]["id"]
    state["dying"] = sorted(dying & seen.keys())
    return problems, state
