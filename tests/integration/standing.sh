#!/bin/bash
# Directory handles, watches and relative paths across a rollback, and the rules for the old root after a
# rollback by name, as documented in man/ckptfs.7. (Shells: verbs_in_place.sh.)
# shellcheck source-path=SCRIPTDIR source=../lib/harness.sh
. "$(dirname "${BASH_SOURCE[0]}")/../lib/harness.sh"

store=$scratch/store m=$scratch/mnt
mount_store "$store" "$m" || exit 1
mkdir -p "$m/W/kept/below" "$m/W/sub" && echo one >"$m/W/kept/file" && echo s >"$m/W/sub/s" || exit 1
mkdir "$m/.snapshots/W/one"

# standing BODY: runs Python statements, with what they need, in the mount. Each `expect(a, b, what)`
# that does not hold is a line of output; so is an exception.
standing() {
    checks=$((checks + 1))
    run python3 - "$m" "$1" <<'PYTHON'
import errno, os, subprocess, sys, traceback
m, body = sys.argv[1:]
W = m + "/W"
LIVE = m + "/.snapshots/W/.live"
def expect(expected, got, what):
    if expected != got:
        print(f"{what}: expected {expected!r}, got {got!r}")
def failure(call, *arguments, **keywords):
    try:
        return call(*arguments, **keywords)
    except OSError as error:
        return errno.errorcode[error.errno]
def gone(call, *arguments, **keywords):
    got = failure(call, *arguments, **keywords)
    if got not in ("ENOENT", "ESTALE"):
        print(f"{call.__name__}{arguments}: expected ENOENT or ESTALE, got {got!r}")
def back(name, to=LIVE):
    os.rename(m + "/.snapshots/W/" + name, to)
def directory(path):
    return os.open(path, os.O_RDONLY | os.O_DIRECTORY)
def read(path, at=None):
    fd = os.open(path, os.O_RDONLY, dir_fd=at)
    try:
        return os.read(fd, 1000).decode()
    finally:
        os.close(fd)
def write(path, text):
    with open(path, "w") as file:
        file.write(text)
try:
    exec(body)
except BaseException:
    traceback.print_exc(file=sys.stdout)
PYTHON
    [[ -z $output$errors && $status == 0 ]] || fail "$output $errors"
}

test_case "directory handles in place"
standing '
root, kept = directory(W), directory(W + "/kept")
write(W + "/kept/file", "two"); write(W + "/kept/later", "x"); os.chmod(W + "/kept", 0o700)
back("one")
expect("one\n", read("file", kept), "openat")
expect("one\n", read("kept/file", root), "openat from the root")
expect(["below", "file"], sorted(os.listdir(kept)), "a listing through a handle")
expect("ENOENT", failure(os.stat, "later", dir_fd=kept), "what came later")
expect(0o755, os.fstat(kept).st_mode & 0o777, "the mode of the handle")
expect(os.stat(W + "/kept").st_ino, os.fstat(kept).st_ino, "the number")
os.mkdir("made", dir_fd=kept)
expect(True, os.path.isdir(W + "/kept/made"), "mkdirat")
os.rename("made", "moved", src_dir_fd=kept, dst_dir_fd=root)
os.rmdir(W + "/moved")
expect(W + "/kept", os.readlink(f"/proc/self/fd/{kept}"), "the path in /proc")
'

test_case "the working directory and .. in place"
standing '
os.chdir(W + "/kept/below")
write("../file", "two")
back("one")
expect(W + "/kept/below", os.getcwd(), "getcwd")
expect("one\n", read("../file"), "..")
expect("s\n", read("../../sub/s"), "../..")
os.chdir("..")
expect(W + "/kept", os.getcwd(), "getcwd one up")
expect(W, subprocess.run(["/bin/pwd"], cwd=W, capture_output=True, text=True).stdout.strip(), "a child")
'

test_case "a directory of the same name and another history"
standing '
os.mkdir(W + "/again"); write(W + "/again/old", "old"); os.mkdir(m + "/.snapshots/W/again-old")
subprocess.run(["rm", "-r", W + "/again"], check=True)
os.mkdir(W + "/other"); os.mkdir(W + "/again"); write(W + "/again/new", "new")
handle = directory(W + "/again"); other = directory(W + "/other")
os.chdir(W + "/again")
back("again-old")
expect("old", read(W + "/again/old"), "by its name")
for what in (handle, None, other):
    for name in ("old", "new"):
        gone(os.open, name, os.O_RDONLY, dir_fd=what)
        gone(os.open, name + "-made", os.O_CREAT | os.O_WRONLY, dir_fd=what)
    gone(os.mkdir, "made", dir_fd=what)
expect(["old"], os.listdir(W + "/again"), "nothing got into the restored one")
expect(True, failure(os.listdir, handle) in ([], "ENOENT", "ESTALE"), "nothing is listed")
os.chdir(W + "/again")
expect("old", read("old"), "cd heals it")
'
mv -T "$m/.snapshots/W/one" "$m/.snapshots/W/.live"

test_case "a directory that was removed is whole when it is back, whoever still stands in what it was"
for removal in 'subprocess.run(["rm", "-r", W + "/gone"], check=True)' \
    'os.mkdir(W + "/empty"); os.remove(W + "/gone/file"); os.rename(W + "/empty", W + "/gone")'; do
    standing '
os.mkdir(W + "/gone"); write(W + "/gone/file", "file"); os.mkdir(m + "/.snapshots/W/with-it")
handle = directory(W + "/gone"); os.chdir(W + "/gone")
'"$removal"'
gone(os.mkdir, "made", dir_fd=handle)
back("with-it")
expect(["file"], os.listdir(W + "/gone"), "what is in it")
write(W + "/gone/new", "new")
expect("new", read(W + "/gone/new"), "what was made in it")
os.chdir(W + "/gone")
expect(["file", "new"], sorted(os.listdir(".")), "cd leads to it")
os.chdir("/"); os.rmdir(m + "/.snapshots/W/with-it")
subprocess.run(["rm", "-r", W + "/gone"], check=True)
'
done

test_case "a watch goes on, and is told of no end"
cat >"$scratch/watch.py" <<'PYTHON'
import ctypes, os, struct
libc = ctypes.CDLL(None, use_errno=True)
fd = libc.inotify_init1(os.O_NONBLOCK)
def watch(path):
    return libc.inotify_add_watch(fd, os.fsencode(path), 0x100 | 0x2 | 0x400 | 0x800)
def events():
    found = []
    try:
        data = os.read(fd, 65536)
    except BlockingIOError:
        return found
    while data:
        wd, mask, cookie, size = struct.unpack("iIII", data[:16])
        found.append((wd, mask & 0x00ffffff, data[16:16 + size].rstrip(b"\0").decode()))
        data = data[16 + size:]
    return found
PYTHON
export PYTHONPATH=$scratch
standing '
import watch
root, kept = watch.watch(W), watch.watch(W + "/kept")
back("one")
expect([], watch.events(), "events of a rollback")
write(W + "/kept/new", "x")
expect([(kept, 0x100, "new"), (kept, 0x2, "new")], watch.events(), "events in a directory")
os.mkdir(W + "/made")
expect([(root, 0x40000100 & 0xffffff, "made")], watch.events(), "events in the root")
os.rmdir(W + "/made"); os.remove(W + "/kept/new")
'

test_case "by name: path walks are right at once"
standing '
for i in range(20):
    write(W + "/kept/file", "two"); os.mkdir(W + "/later")
    back("one", W)
    expect("one\n", read(W + "/kept/file"), f"content {i}")
    expect(["kept", "sub"], sorted(os.listdir(W)), f"listing {i}")
    expect(4, os.stat(W + "/kept/file").st_size, f"size {i}")
    expect("ENOENT", failure(os.stat, W + "/later"), f"what came later {i}")
'

test_case "by name: the old root is dead, what is below it is not"
standing '
root, kept = directory(W), directory(W + "/kept")
os.chdir(W)
back("one", W)
gone(os.mkdir, "made"); gone(os.open, "made", os.O_CREAT | os.O_WRONLY); gone(os.mkdir, "made", dir_fd=root)
expect([], os.listdir(root), "a listing of the old root")
expect("ENOENT", failure(os.getcwd), "getcwd in the old root")
expect(["kept", "sub"], sorted(os.listdir(W)), "nothing was made in the restored one")
os.chdir(W)
expect(W, os.getcwd(), "cd heals it")
expect("one\n", read("file", kept), "a handle on a directory below")
os.fchdir(kept)
expect("one\n", read("file"), "a working directory below")
os.mkdir("made"); expect(True, os.path.isdir(W + "/kept/made"), "mkdir below"); os.rmdir("made")
'
