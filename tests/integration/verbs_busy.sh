#!/bin/bash
# Rollback while files of the workspace are open for writing: refused, naming the process and the file, unless
# it is told to leave such handles with the kept state.
# Names here are plain, and `a && b || fail` is meant as it stands.
# shellcheck disable=SC2010,SC2012,SC2015,SC2086
# shellcheck source-path=SCRIPTDIR source=../lib/harness.sh
. "$(dirname "${BASH_SOURCE[0]}")/../lib/harness.sh"

store=$scratch/store m=$scratch/mnt log=$scratch/log

serve() { serve_store "$store" "$m" "$log" "$1"; }
serve ''
cd "$m" || exit 1
mkdir -p W/sub && echo one >W/file && echo one >W/sub/other && mkdir .snapshots/W/s && echo two >W/file

test_case "a file that is open for writing"
exec 5>>W/file
for where in W .snapshots/W/.live; do
    refused "Device or resource busy" mv -T .snapshots/W/s $where
done
refused "Device or resource busy" mv -T W/.snapshots/s W/.snapshots/.live
check_eq EBUSY "$(rename_flags 2 .snapshots/W/s W)" "exchange"
check_eq two "$(cat W/file)" "nothing happened"
check_eq s "$(ls -A .snapshots/W)" "nothing was kept"
check "the log names process and file" grep -q "pid $$ (.*W/file\|pid $$ .*file" "$log"
run ckpt rollback -w W -s s
check_eq 5 "$status" "exit status of ckpt rollback"
check_match "$$" "$errors" "ckpt names the process"
check_match "file" "$errors" "ckpt names the file"
check_eq 1 "$(wc -l <<<"$errors")" "in one line"
exec 5>&-
check "once it is closed" mv -T .snapshots/W/s .snapshots/W/.live
check_eq one "$(cat W/file)" "content"

test_case "a file that got its name after it was opened"
background python3 -c "
import os, time
fd = os.open('W/sub', os.O_TMPFILE | os.O_WRONLY)
# With a directory's descriptor, or it is link(2), which follows no symlink.
os.link(f'/proc/self/fd/{fd}', 'W/sub/named', src_dir_fd=os.open('/', os.O_RDONLY))
time.sleep(60)"
holder=$!
for ((i = 0; i < 200; ++i)); do
    [[ -e W/sub/named ]] && break
    sleep 0.02
done
run ckpt rollback -w W -s s
check_match "pid $holder .*sub/named" "$errors" "it is named"
kill "$holder"
wait "$holder" 2>/dev/null
rm W/sub/named

test_case "a file that is mapped, and closed"
cat >"$scratch/map.py" <<'PYTHON'
import ctypes, os, sys, time
# Not by the module mmap: it keeps a descriptor.
libc = ctypes.CDLL(None, use_errno=True)
libc.mmap.restype = ctypes.c_void_p
prot_read_write, map_shared = 3, 1
fd = os.open(sys.argv[1], os.O_RDWR)
address = libc.mmap(None, ctypes.c_size_t(4096), prot_read_write, map_shared, fd, ctypes.c_long(0))
assert address not in (None, ctypes.c_void_p(-1).value)
os.close(fd)
open(sys.argv[2], "w").close()
time.sleep(60)
PYTHON
background python3 "$scratch/map.py" W/file "$scratch/mapped"
mapper=$!
while [[ ! -e $scratch/mapped ]]; do sleep 0.05; done
run ckpt rollback -w W -s s
check_eq 5 "$status" "the exit status"
check_match "pid $mapper \\(python3\\) file[.]" "$errors" "who has it"
kill "$mapper" && wait "$mapper" 2>/dev/null
check "when it is gone" ckpt rollback -w W -s s

test_case "a file of the same number in another store's mount is another file"
other_store=$scratch/other
mount_store "$other_store" "$scratch/other.mnt" || exit 1
mkdir "$scratch/other.mnt/W"
truncate -s 1 W/numbered
number=$(stat -c %i W/numbered)
for ((i = 0; i < 1000; ++i)); do
    : >"$scratch/other.mnt/W/file-$i"
    [[ $(stat -c %i "$scratch/other.mnt/W/file-$i") != "$number" ]] || break
done
check_eq "$number" "$(stat -c %i "$scratch/other.mnt/W/file-$i")" "such a file"
background sleep 100 7>>"$scratch/other.mnt/W/file-$i"
stranger=$!
background setsid sleep 100 7>>W/numbered
run ckpt rollback -w W -s s
check_match "pid $! .sleep. numbered[.]" "$errors" "who has it"
check_not "the other one is named ($stranger)" grep -q "pid $stranger" <<<"$errors"
kill "$!"
wait "$!" 2>/dev/null
loop=$(losetup --find --show W/numbered)
run ckpt rollback -w W -s s
check_match "$loop" "$errors" "who has it"
check_not "the other one is named ($stranger)" grep -q "pid $stranger" <<<"$errors"
losetup -d "$loop"
kill "$stranger"
wait "$stranger" 2>/dev/null
unmount_store "$other_store" "$scratch/other.mnt"
rm W/numbered

test_case "a loop device, whose program has ended"
truncate -s 8M W/sub/disk.img
loop=$(losetup --find --show W/sub/disk.img)
# One that has a file of the same name elsewhere.
truncate -s 8M "$scratch/disk.img"
other=$(losetup --find --show "$scratch/disk.img")
run ckpt rollback -w W -s s
check_eq "5 1" "$status $(wc -l <<<"$errors")" "the exit status, and lines of '$errors'"
check_match ": $loop \(a loop device: losetup -d detaches it\) sub/disk.img[.] " "$errors" "what has it"
check "the log says so" grep -q "$loop (a loop device.*sub/disk.img" "$log"
# By another path than the one that the daemon knows.
losetup -d "$loop"
mkdir "$scratch/bound" && mount --bind "$m/W/sub" "$scratch/bound"
mounts+=("$scratch/bound")
loop=$(losetup --find --show "$scratch/bound/disk.img")
mv W/sub/disk.img W/renamed.img
run ckpt rollback -w W -s s
check_match ": $loop \(a loop device.*\) renamed.img[.] " "$errors" "what has it"
check "let go on" ckpt rollback -w W -s s --force
kept=$(ls -t .snapshots/W | head -n 1)
run ckpt rollback -w W -s "$kept"
check_match ": $loop \(a loop device.*\) renamed.img[.] " "$errors" "of a state that is kept, too"
losetup -d "$loop" "$other"
umount "$scratch/bound"
rm "$scratch/disk.img"
check "when it is detached" ckpt rollback -w W -s s

test_case "closed a moment ago"
for i in {1..20}; do
    echo "$i" >W/file && echo "$i" >W/sub/other
    mv -T .snapshots/W/s .snapshots/W/.live || fail "rollback $i"
done
check_eq one "$(cat W/file)" "content"

test_case "what is not in the way"
exec 5<W/file
check "a file that is open for reading" mv -T .snapshots/W/s .snapshots/W/.live
exec 5<&-
exec 5<.snapshots/W/s/file
check "a file of the snapshot" mv -T .snapshots/W/s .snapshots/W/.live
exec 5<&-
mkdir V && exec 5>V/file
check "a file of another workspace" mv -T .snapshots/W/s W
refused "Device or resource busy" mv -T .snapshots/W/s V
exec 5>&-
exec 5>>W/file
check "a checkpoint" mkdir .snapshots/W/while-open
check "a fork" mv -T .snapshots/W/s N
check "a delete" rmdir .snapshots/W/while-open
exec 5>&-

test_case "ckpt rollback --force"
echo before >W/file
exec 5>>W/file
echo early >&5
check "rollback" ckpt rollback -w W -s s --force
check_eq one "$(cat W/file)" "the restored state"
echo late >&5
check_eq one "$(cat W/file)" "a late write does not reach it"
echo new >>W/file
check_eq $'one\nnew' "$(cat W/file)" "new writers do"
kept=$(ls -t .snapshots/W | head -n 1)
check_match '^pre-rollback-' "$kept" "the state before"
check_eq $'before\nearly' "$(head -n 2 ".snapshots/W/$kept/file")" "what it holds"
exec 5>&-
check "afterwards" mv -T .snapshots/W/s .snapshots/W/.live
cd / && umount "$m" && await_end "$(daemon_pid "$store" 2>/dev/null || echo 0)"

test_case "busy=detach"
await_stores
serve busy=detach
cd "$m" || exit 1
exec 5>>W/file
check "rollback" mv -T .snapshots/W/s .snapshots/W/.live
echo late >&5
check_eq one "$(cat W/file)" "the restored state"
exec 5>&-
cd /
