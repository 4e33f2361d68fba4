"""This machine: what it is, for the report, and the knobs that a measurement turns."""
import datetime
import os
import platform
import shutil
import subprocess

URING_SWITCH = "/sys/module/fuse/parameters/enable_uring"


def first_line(command):
    """The first line of what a command prints, or "" where there is no such command."""
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=20)
    except (OSError, subprocess.TimeoutExpired):
        return ""
    return (done.stdout or done.stderr).strip().partition("\n")[0].strip()


def _value_in(path, key):
    with open(path, encoding="utf-8", errors="replace") as file:
        for line in file:
            name, _, value = line.partition(":")
            if name.strip() == key:
                return value.strip()
    return ""


def _commit(checkout):
    commit = first_line(["git", "-C", checkout, "rev-parse", "--short=12", "HEAD"])
    if not commit or commit.startswith("fatal"):
        return "unknown"
    changed = first_line(["git", "-C", checkout, "status", "--porcelain", "--untracked-files=no"])
    return commit + (" and changes not committed" if changed else "")


def describe(checkout, scratch, binaries):
    """What a reader needs to know to judge the figures, in the order in which it is printed."""
    memory_kib = int(_value_in("/proc/meminfo", "MemTotal").split()[0])
    now = datetime.datetime.now(datetime.timezone.utc)
    return {
        "date": now.strftime("%Y-%m-%d %H:%M UTC"),
        "kernel": f"{platform.release()} {platform.machine()}",
        "cpu": _value_in("/proc/cpuinfo", "model name") or platform.machine(),
        "cores": len(os.sched_getaffinity(0)),
        "memory": f"{memory_kib / 1048576:.1f} GiB",
        "load before": f"{os.getloadavg()[0]:.1f}",
        "scratch": scratch,
        "disk below": first_line(["findmnt", "-n", "-o", "FSTYPE,SOURCE,OPTIONS", "-T", scratch]),
        "ckptfs": first_line([os.path.join(binaries, "ckptfs"), "--version"]),
        "commit": _commit(checkout),
        "btrfs-progs": first_line(["btrfs", "--version"]).removeprefix("btrfs-progs "),
        "fio": first_line(["fio", "--version"]) if shutil.which("fio") else "not installed",
        "git": first_line(["git", "--version"]).removeprefix("git version "),
    }


def drop_caches():
    """Empties the page cache and forgets unused names and inodes, of all filesystems."""
    os.sync()
    with open("/proc/sys/vm/drop_caches", "w", encoding="ascii") as file:
        file.write("3")


def uring_state():
    """The kernel's switch for FUSE over io_uring: "Y", "N", or None where it has none."""
    try:
        with open(URING_SWITCH, encoding="ascii") as file:
            return file.read().strip()
    except OSError:
        return None


def set_uring_state(state):
    """Sets that switch; only mounts made from then on follow it."""
    if state is None or uring_state() == state:
        return
    with open(URING_SWITCH, "w", encoding="ascii") as file:
        file.write(state)


def process_status(pid):
    """VmRSS, VmHWM in bytes and the number of open descriptors of a process."""
    status = {}
    with open(f"/proc/{pid}/status", encoding="ascii", errors="replace") as file:
        for line in file:
            name, _, value = line.partition(":")
            if name in ("VmRSS", "VmHWM"):
                status[name] = int(value.split()[0]) * 1024
    status["open fds"] = len(os.listdir(f"/proc/{pid}/fd"))
    return status


def cpu_seconds(pid):
    """User and system time that a process has taken so far; 0 if it is gone."""
    try:
        with open(f"/proc/{pid}/stat", encoding="ascii", errors="replace") as file:
            fields = file.read().rpartition(")")[2].split()
    except (FileNotFoundError, ProcessLookupError):
        return 0.0
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def children(pid):
    """The processes that a process has started and that still run."""
    found = []
    try:
        for thread in os.listdir(f"/proc/{pid}/task"):
            with open(f"/proc/{pid}/task/{thread}/children", encoding="ascii") as file:
                found += [int(word) for word in file.read().split()]
    except (FileNotFoundError, ProcessLookupError):
        pass
    return found
