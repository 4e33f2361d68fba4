#!/bin/bash
# Files that are open or mapped for writing across a forced rollback: every call on them works as before, on
# the kept state, which becomes read-only when the last of them is closed. Once with passthrough, once with
# data that goes through the daemon.
# shellcheck disable=SC2012,SC2015,SC2086
# shellcheck source-path=SCRIPTDIR source=../lib/harness.sh
. "$(dirname "${BASH_SOURCE[0]}")/../lib/harness.sh"

store='' m=$scratch/mnt log=$scratch/log

# serve STORE OPTIONS [PREFIX...]
serve() {
    store=$1
    serve_store "$store" "$m" "$log" "${@:2}"
}
stop_serving() {
    cd / || exit 1
    unmount_store "$store" "$m"
}

cat >"$scratch/calls.py" <<'PYTHON'
# calls.py WORKSPACE SNAPSHOTS: makes every call on handles that a forced rollback detached.
import ctypes, errno, fcntl, mmap, os, subprocess, sys

workspace, snapshots = sys.argv[1:]
failures = 0

def expect(right, what):
    global failures
    if not right:
        failures += 1
        print("FAILED:", what)

def roll_back(*options):
    done = subprocess.run(["ckpt", "rollback", "-w", workspace, "-s", "s", *options],
                          capture_output=True, text=True)
    expect(done.returncode == 0, "rollback: " + done.stderr)

def read(path):
    with open(path, "rb") as file:
        return file.read()

def kept():
    return sorted(name for name in os.listdir(snapshots) if name.startswith("pre-rollback"))[-1]

os.chdir(workspace)
for name in ("data", "appended", "mapped", "attributes", "gone", "source"):
    with open(name, "wb") as file:
        file.write(name.encode() * 1000)
os.mkdir(os.path.join(snapshots, "s"))
fds = {name: os.open(name, os.O_RDWR) for name in ("data", "mapped", "attributes", "gone")}
fds["appended"] = os.open("appended", os.O_WRONLY | os.O_APPEND)
reader = os.open("data", os.O_RDONLY)
area = mmap.mmap(fds["mapped"], 4096)
area[0:6] = b"BEFORE"
os.pwrite(fds["data"], b"BEFORE", 0)
os.unlink("gone")
fcntl.flock(fds["data"], fcntl.LOCK_EX | fcntl.LOCK_NB)

roll_back("--force")
old = os.path.join(snapshots, kept())

expect(read("data") == b"data" * 1000, "the restored tree has not what was written")
expect(read("mapped") == b"mapped" * 1000, "nor what was stored")
expect(os.path.exists("gone"), "what was unlinked is restored")
expect(read(old + "/data")[:6] == b"BEFORE", "the kept state has what was written")
expect(read(old + "/mapped")[:6] == b"BEFORE", "and what was stored")

here, there, snapshot = os.stat("data"), os.fstat(fds["data"]), os.stat(old + "/data")
expect((here.st_dev, here.st_ino) != (there.st_dev, there.st_ino), "two different files")
expect(here.st_ino != os.fstat(reader).st_ino, "for a reader too")
expect(there.st_ino == snapshot.st_ino, "it is the kept state's file")

for turn in (1, 2):  # the second with a later rollback in between
    text = b"turn%d" % turn
    fd = fds["data"]
    expect(os.pwrite(fd, text, 100) == 5 and os.pread(fd, 5, 100) == text, "pwrite, pread")
    expect(read(old + "/data")[100:105] == text, "is seen in the kept state at once")
    os.ftruncate(fd, 5000 + turn)
    expect(os.fstat(fd).st_size == os.stat(old + "/data").st_size == 5000 + turn, "ftruncate")
    os.posix_fallocate(fd, 0, 10000 + turn)
    expect(os.fstat(fd).st_size == os.stat(old + "/data").st_size == 10000 + turn, "fallocate")
    os.fsync(fd)
    os.fdatasync(fd)
    expect(os.write(fds["appended"], text) == 5 and read(old + "/appended").endswith(text),
           "append")
    fd = fds["attributes"]
    os.fchmod(fd, 0o640 + turn)
    expect(os.stat(old + "/attributes").st_mode & 0o777 == 0o640 + turn, "fchmod")
    os.fchown(fd, 1000 + turn, 1000)
    expect(os.stat(old + "/attributes").st_uid == 1000 + turn, "fchown")
    os.utime(fd, ns=(turn, turn))
    expect(os.stat(old + "/attributes").st_mtime_ns == turn, "futimens")
    os.setxattr(fd, "user.turn", text)
    expect(os.getxattr(old + "/attributes", "user.turn") == text, "fsetxattr")
    os.removexattr(fd, "user.turn")
    source = os.open("source", os.O_RDONLY)
    expect(os.copy_file_range(source, fds["data"], 6, 0, 200) == 6, "copy_file_range to it")
    os.close(source)
    expect(os.pread(fds["data"], 6, 200) == b"source", "what it copied")
    target = os.open("target", os.O_RDWR | os.O_CREAT | os.O_TRUNC)
    expect(os.copy_file_range(fds["data"], target, 5, 100, 0) == 5, "copy_file_range from it")
    expect(os.pread(target, 5, 0) == text, "what that copied")
    os.close(target)
    area[10:15] = text
    area.flush()
    expect(os.pread(fds["mapped"], 5, 10) == text, "a store through a mapping")
    expect(read(old + "/mapped")[10:15] == text, "is seen in the kept state")
    expect(os.fstat(fds["gone"]).st_nlink == 0, "the link count of what was unlinked")
    os.pwrite(fds["gone"], text, 0)
    expect(os.pread(fds["gone"], 5, 0) == text, "write to what was unlinked")
    expect(os.lseek(fds["data"], 0, os.SEEK_DATA) >= 0, "seek")
    pid = os.fork()
    if pid == 0:
        try:
            fcntl.flock(os.open("/proc/%d/fd/%d" % (os.getppid(), fds["data"]), os.O_RDONLY),
                        fcntl.LOCK_SH | fcntl.LOCK_NB)
            os._exit(1)
        except OSError as error:
            os._exit(0 if error.errno in (errno.EACCES, errno.EAGAIN) else 2)
    expect(os.waitpid(pid, 0)[1] == 0, "its lock is held still")
    try:
        os.close(os.open("/proc/self/fd/%d" % fds["data"], os.O_RDWR))
        expect(False, "a new open for writing through /proc")
    except OSError as error:
        expect(error.errno == errno.ESTALE, "a new open for writing: " + str(error))
    again = os.open("/proc/self/fd/%d" % fds["data"], os.O_RDONLY)
    expect(os.pread(again, 5, 100) == text, "a new open for reading through /proc")
    os.close(again)
    try:
        os.link("/proc/self/fd/%d" % fds["data"], "linked", follow_symlinks=True)
        expect(False, "a link in the restored tree")
    except OSError as error:
        expect(error.errno == errno.EXDEV, "a link in the restored tree: " + str(error))
    expect(read("data") == b"data" * 1000, "the restored tree is as it was")
    expect(read("mapped") == b"mapped" * 1000, "of what is mapped too")
    if turn == 1:
        os.unlink("target")
        second = os.open("data", os.O_RDWR)
        os.pwrite(second, b"SECOND", 0)
        roll_back("--force")
        younger = os.path.join(snapshots, kept())
        expect(younger != old, "a second state is kept")
        os.pwrite(second, b"LATER", 10)
        expect(read(younger + "/data")[:6] == b"SECOND", "its own writer's")
        expect(read(younger + "/data")[10:15] == b"LATER", "and what that writes later")
        expect(read(old + "/data")[:6] == b"BEFORE", "not the first one's")

with open(sys.argv[0] + ".kept", "w") as file:
    file.write(os.path.basename(old) + "\n" + os.path.basename(younger) + "\n")
# Left mapped, and closed.
libc = ctypes.CDLL(None, use_errno=True)
libc.mmap.restype = ctypes.c_void_p
address = libc.mmap(None, ctypes.c_size_t(4096), 3, 1, fds["mapped"], ctypes.c_long(0))
area.close()
for fd in list(fds.values()) + [reader, second]:
    os.close(fd)
print("ready", flush=True)
for line in sys.stdin:
    if line.startswith("store"):
        ctypes.memmove(address + 20, b"AT THE END", 10)
    print("done", flush=True)
    if line.startswith("end"):
        break
sys.exit(1 if failures else 0)
PYTHON

calls() {
    cd "$m" || exit 1
    mkdir W
    coproc CALLS { exec python3 "$scratch/calls.py" "$m/W" "$m/.snapshots/W"; }
    local said=''
    while read -r -t 30 said <&"${CALLS[0]}" && [[ $said != ready ]]; do fail "$said"; done
    check_eq ready "$said" "it came to its end"
    local kept younger caller=$CALLS_PID
    { read -r kept && read -r younger; } <"$scratch/calls.py.kept"
    if [[ $1 == passthrough ]]; then
        # The mapping holds the backing file, and nothing of the mount: it is found all the same.
        sleep 1.5
        refused "Device or resource busy" rmdir ".snapshots/W/$kept"
        run ckpt fork -w W -s "$kept" N
        check_eq 5 "$status" "a fork of what is mapped"
        check_match "pid $caller \(python3\) mapped[.]" "$errors" "names who has it"
        check "ckpt fsck finds nothing wrong" ckpt fsck
    fi
    # The younger one has no writer left.
    check "the younger state is at rest" mv -T ".snapshots/W/$younger" Y
    echo store >&"${CALLS[1]}"
    read -r -t 30 said <&"${CALLS[0]}"
    echo end >&"${CALLS[1]}"
    wait "$caller"
    check_eq 0 $? "the calls"
    check "the older state is at rest when the last one has gone" mv -T ".snapshots/W/$kept" N
    check_eq "AT THE END" "$(tail -c +21 N/mapped | head -c 10)" "with what was stored last"
    check_eq "turn2" "$(tail -c +11 N/mapped | head -c 5)" "and before"
    check_eq "AT THE END" "$(tail -c +21 ".snapshots/W/$kept/mapped" | head -c 10)" "seen there too"
    check "fsck" ckpt fsck
}

test_case "calls on detached handles, data passing through"
serve "$scratch/store" ''
calls passthrough
stop_serving

test_case "the same without passthrough"
serve "$scratch/other" '' "$harness_directory/without-passthrough"
calls daemon
stop_serving

# --- What can be done with a state that is still being written to ---------------------------------

# hold FILE...: a process of its own that has the files open for writing; its PID is in $holder. A
# line to it is written to each file; it ends at the end of its input.
hold() {
    coproc HOLD {
        exec python3 -c '
import os, sys
fds = [os.open(name, os.O_WRONLY | os.O_APPEND) for name in sys.argv[1:]]
print("ready", flush=True)
for line in sys.stdin:
    for fd in fds:
        os.write(fd, line.encode())
    print("done", flush=True)' "$@"
    }
    holder=$HOLD_PID
    processes+=("$holder")
    read -r -t 30 _ <&"${HOLD[0]}"
}
tell() {
    echo "$1" >&"${HOLD[1]}"
    read -r -t 30 _ <&"${HOLD[0]}"
}
let_go() {
    eval "exec ${HOLD[1]}>&-"
    wait "$holder"
}
newest_kept() { ckpt list -w "$1" --format json | jq -r '[.[] | select(.kind == "pre-rollback")][-1].name'; }

test_case "a state that is still being written to"
serve "$scratch/third" ''
cd "$m" || exit 1
mkdir W && echo one >W/file && mkdir .snapshots/W/s && echo two >W/file
hold W/file
check "a forced rollback" ckpt rollback -w W -s s --force
kept=$(newest_kept W)
tell three
for command in "rmdir .snapshots/W/$kept" "mv -T .snapshots/W/$kept N" "mv -T .snapshots/W/$kept W" \
    "mv -T .snapshots/W/$kept .snapshots/W/.live"; do
    refused "Device or resource busy" $command
    check "the log names the holder" grep -q "pid $holder (python3) file" "$log"
    : >"$log"
done
check_eq EBUSY "$(rename_flags 2 ".snapshots/W/$kept" W)" "exchange"
for command in "rollback -w W" "delete -w W"; do
    run ckpt $command -s "$kept"
    check_eq 5 "$status" "exit status of ckpt $command"
    check_match "pid $holder \(python3\) file" "$errors" "ckpt $command names the holder"
done
check "its name, its message and its pin are free" ckpt pin -w W -s "$kept"
check "unpin" ckpt unpin -w W -s "$kept"
check "a rename" mv ".snapshots/W/$kept" .snapshots/W/named
check_eq "M file" "$(ckpt diff -w W -f s -t named)" "ckpt diff takes it as it is"
check_eq $'two\nthree' "$(cat .snapshots/W/named/file)" "what is in it"
tell four
check_eq $'two\nthree\nfour' "$(cat .snapshots/W/named/file)" "what is in it a moment later"
check_eq 15 "$(stat -c %s .snapshots/W/named/file)" "and its size"
check "fsck" ckpt fsck
check "a rollback to it by force takes it as it is" ckpt rollback -w W -s named --force
check_eq $'two\nthree\nfour' "$(cat W/file)" "what that restored"
tell five
check_eq $'two\nthree\nfour' "$(cat W/file)" "and what comes later does not get there"
# The live state is no longer equal to the snapshot that it came from: it must not be dropped.
let_go
check "a rollback afterwards" ckpt rollback -w W -s s
check_eq $'two\nthree\nfour' "$(cat ".snapshots/W/$(newest_kept W)/file")" "keeps the state before"
check_eq $'two\nthree\nfour\nfive' "$(cat .snapshots/W/named/file)" "which differs from its origin"
check "now it can be forked" mv -T .snapshots/W/named N
check_eq $'two\nthree\nfour\nfive' "$(cat N/file)" "with all of it"

test_case "deleted by force while it is written to"
hold W/file
check "a forced rollback" ckpt rollback -w W -s s --force
kept=$(newest_kept W)
check "ckpt delete --force" ckpt delete -w W -s "$kept" --force
tell "into nowhere"
check_eq one "$(cat W/file)" "the restored state is untouched"
let_go
check "fsck" ckpt fsck

test_case "all who hold something are named"
echo x >W/other
hold W/file W/other
first=$holder
exec 7>>W/file
mkdir -p V
for command in "mv -T .snapshots/W/s W" "mv -T .snapshots/W/s .snapshots/W/.live"; do
    : >"$log"
    refused "Device or resource busy" $command
    check "the log names the first" grep -q "pid $first (python3) file" "$log"
    check "and its other file" grep -q "pid $first (python3) other" "$log"
    check "and the second" grep -q "pid $$ (.*) file" "$log"
done
run ckpt rollback -w W -s s
check_eq 5 "$status" "the exit status"
check_match "pid $first \(python3\)( has)? file" "$errors" "ckpt names the first"
check_match "pid $first \(python3\)( has)? other" "$errors" "and its other file"
check_match "pid $$ \(.*\)( has)? file" "$errors" "and the second"
exec 7>&-
exec 7>V/mine
: >"$log"
refused "Device or resource busy" mv -T .snapshots/W/s V
check "a promotion looks at whom it replaces" grep -q "pid $$ (.*) mine" "$log"
exec 7>&-
let_go
stop_serving

test_case "busy=detach: exchange, promotion, by name"
serve "$scratch/third" busy=detach
cd "$m" || exit 1
mkdir E P && echo one >E/file && mkdir .snapshots/E/s && echo two >E/file && echo mine >P/file
hold E/file P/file
check_eq 0 "$(rename_flags 2 .snapshots/E/s E)" "an exchange"
check "a promotion" mv -T .snapshots/E/s P
tell late
check_eq one "$(cat E/file)" "what the exchange restored"
check_eq $'two\nlate' "$(cat .snapshots/E/s/file)" "the exchanged state has what comes late"
check_eq two "$(cat P/file)" "what was promoted"
check_eq $'mine\nlate' "$(cat ".snapshots/P/$(newest_kept P)/file")" "and what that replaced"
refused "Device or resource busy" rmdir .snapshots/E/s
let_go
check "a delete afterwards" rmdir .snapshots/E/s
stop_serving

# --- Ends -----------------------------------------------------------------------------------------

# The flag of the volume that keeps a state of K, in the image of a store that is not in use.
read_only_flag() {
    local volume
    volume=$(query "$store" "select volume from snapshot where name = '$1' and workspace_id =
        (select id from workspace where name = 'K')")
    open_image "$store" "$scratch/image"
    btrfs property get "$scratch/image/volumes/$volume" ro
    close_image "$scratch/image"
}

test_case "a daemon that is killed, with writers"
mount_store "$scratch/third" "$m"
cd "$m" || exit 1
mkdir K && echo one >K/file && mkdir .snapshots/K/s && echo two >K/file
hold K/file
check "a forced rollback" ckpt rollback -w K -s s --force
kept=$(newest_kept K)
tell synced
sync -f K/file
python3 -c 'import os, sys; os.fsync(os.open(sys.argv[1], os.O_RDONLY))' ".snapshots/K/$kept/file"
cd / || exit 1
kill_daemon "$store"
let_go
umount -l "$m"
check_eq ro=false "$(read_only_flag "$kept")" "the flag before recovery"
serve "$scratch/third" ''
check_eq $'two\nsynced' "$(cat "$m/.snapshots/K/$kept/file")" "what was written late is there"
check "a fork" mv -T "$m/.snapshots/K/$kept" "$m/L"
cd "$m" || exit 1
check "fsck" ckpt fsck
stop_serving
check_eq ro=true "$(read_only_flag "$kept")" "the flag after recovery"

test_case "sealed without a recovery"
serve "$scratch/third" ''
cd "$m" || exit 1
echo three >K/file
check "a rollback without writers" mv -T .snapshots/K/s .snapshots/K/.live
kept=$(newest_kept K)
echo four >K/file
hold K/file
check "a forced rollback" ckpt rollback -w K -s s --force
tell five
let_go
stop_serving
check_eq ro=true "$(read_only_flag "$kept")" "the flag of the first"
kept=$(query "$store" "select name from snapshot where name like 'pre-%' order by id desc limit 1")
check_eq ro=true "$(read_only_flag "$kept")" "the flag of the second"
