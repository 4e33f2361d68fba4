"""What has to be undone when the run ends, in whatever way it ends.

Everything that the bench mounts, attaches, starts or makes is registered here before it comes to
be, and is undone in the opposite order. A signal ends the run like an exception, so that there is
one way out.
"""
import contextlib
import os
import signal
import subprocess
import sys
import time


class Interrupted(SystemExit):
    """SIGINT, SIGTERM or SIGHUP: not an Exception, so that no workload takes it for its own."""


def _interrupt(number, _frame):
    raise Interrupted(128 + number)


@contextlib.contextmanager
def undo_at_end():
    """Gives an ExitStack whose callbacks run at the end, undisturbed by further signals."""
    signals = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
    for number in signals:
        signal.signal(number, _interrupt)
    stack = contextlib.ExitStack()
    try:
        yield stack
    finally:
        for number in signals:
            signal.signal(number, signal.SIG_IGN)
        stack.close()


def unmount(mountpoint, patience_s=20.0):
    """Unmounts; waits for what is about to end in there; does it lazily at last."""
    deadline = time.monotonic() + patience_s
    while os.path.ismount(mountpoint) or _is_dead_mount(mountpoint):
        done = subprocess.run(["umount", mountpoint], capture_output=True, text=True)
        if done.returncode == 0:
            continue  # there may be another mount below
        if time.monotonic() > deadline:
            print(f"bench: {mountpoint}: {done.stderr.strip()}; unmounting it lazily",
                  file=sys.stderr)
            subprocess.run(["umount", "-l", mountpoint], check=False)
            return
        time.sleep(0.02)


def _is_dead_mount(path):
    """Whether a FUSE daemon has left a mount there that nobody serves."""
    try:
        os.lstat(path)
    except FileNotFoundError:
        return False
    except OSError:
        return True
    return False


def process_is_alive(pid):
    """Whether there is such a process, other than as a zombie."""
    try:
        with open(f"/proc/{pid}/stat", encoding="ascii", errors="replace") as file:
            return file.read().rpartition(")")[2].split()[0] != "Z"
    except (FileNotFoundError, ProcessLookupError):
        return False


def await_end(pid, patience_s=30.0):
    """Waits until the process has ended; kills it when that takes too long."""
    deadline = time.monotonic() + patience_s
    while process_is_alive(pid):
        if time.monotonic() > deadline:
            print(f"bench: process {pid} does not end; killing it", file=sys.stderr)
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
            deadline += patience_s
        time.sleep(0.005)
