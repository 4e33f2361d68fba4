#!/bin/bash
# What a checkpoint records about the files that were open for writing, and `ckpt show` prints.
# shellcheck source-path=SCRIPTDIR source=../lib/harness.sh
. "$(dirname "${BASH_SOURCE[0]}")/../lib/harness.sh"

store=$scratch/store m=$scratch/mnt
mount_store "$store" "$m" || exit 1
cd "$m" && mkdir W W/sub V || exit 1

# writers SNAPSHOT: "path pid command" of each, from the JSON; total SNAPSHOT: how many it counts.
writers() {
    ckpt show -w W -s "$1" --format json |
        jq -r '.open_for_writing[] | "\(.path) \(.pid) \(.command)"'
}
total() { ckpt show -w W -s "$1" --format json | jq -r .open_for_writing_total; }

# A program that opens files in a way of its own, says so by making the file $1.ready, and sleeps.
# hold NAME PYTHON-STATEMENTS: its PID is in $!.
hold() {
    background python3 -c "
import os, sys, time
$2
open('$scratch/$1.ready', 'w').close()
time.sleep(60)"
    while [[ ! -e $scratch/$1.ready ]]; do sleep 0.02; done
    rm "$scratch/$1.ready"
}
end() { kill "$@" && wait "$@" 2>/dev/null; }

test_case "nobody has anything open"
echo one >W/file
mkdir .snapshots/W/none
check_eq "0" "$(total none)" "the count"
check_eq "" "$(writers none)" "the list"
check_match "open for writing 0" "$(ckpt show -w W -s none)" "the table"

test_case "open for writing, and not for reading, and in this workspace"
hold one "a = os.open('W/sub/log', os.O_WRONLY | os.O_CREAT)
b = os.open('W/file', os.O_RDWR)
c = os.open('W/sub/other', os.O_RDONLY | os.O_CREAT)
d = os.open('V/elsewhere', os.O_WRONLY | os.O_CREAT)
e = os.dup(a); f = os.open('W/file', os.O_WRONLY)"
one=$!
exec 5>>W/file
mkdir .snapshots/W/some
exec 5>&-
check_eq "file $$ $(cat /proc/$$/comm)
file $one python3
sub/log $one python3" "$(writers some | sort -k 1,1 -k 3)" "the list"
check_eq 3 "$(total some)" "the count"
run ckpt show -w W -s some
check_match "open for writing 3" "$output" "the table counts"
check_match "sub/log +pid $one \(python3\)" "$output" "the table names"

test_case "the path is that of the moment, the list is kept"
mv W/sub W/renamed && mkdir .snapshots/W/moved && rm W/renamed/log
check_match "renamed/log $one" "$(writers moved)" "a later checkpoint"
check_match "sub/log $one" "$(writers some)" "the earlier one"
end "$one"
check_match "sub/log $one python3" "$(writers some)" "when the process has gone"
mkdir .snapshots/W/gone
check_eq 0 "$(total gone)" "a checkpoint after that"

test_case "closed a moment ago"
for i in {1..20}; do
    echo "$i" >W/file
    mkdir ".snapshots/W/closed-$i"
    check_eq "" "$(writers "closed-$i")" "checkpoint $i"
    rmdir ".snapshots/W/closed-$i"
done

test_case "handed on to another process"
hold heir "import subprocess
fd = os.open('W/handed', os.O_WRONLY | os.O_CREAT)
child = subprocess.Popen(['sleep', '60'], pass_fds=[fd])
open('$scratch/child', 'w').write(str(child.pid))
os.close(fd)"
heir=$!
child=$(<"$scratch/child")
processes+=("$child")
for name in first second; do
    mkdir ".snapshots/W/$name"
    check_eq "handed $child sleep" "$(writers "$name")" "$name"
done
end "$heir"
mkdir .snapshots/W/orphan
check_eq "handed $child sleep" "$(writers orphan)" "when the opener has gone"
kill "$child"
await_end "$child"

test_case "mapped, and closed"
cat >"$scratch/map.py" <<'PYTHON'
import ctypes, os
# Not by the module mmap: it keeps a descriptor.
libc = ctypes.CDLL(None, use_errno=True)
libc.mmap.restype = ctypes.c_void_p
fd = os.open("W/mapped", os.O_RDWR | os.O_CREAT)
os.ftruncate(fd, 4096)
address = libc.mmap(None, ctypes.c_size_t(4096), 3, 1, fd, ctypes.c_long(0))
assert address not in (None, ctypes.c_void_p(-1).value)
os.close(fd)
PYTHON
hold map "exec(open('$scratch/map.py').read())"
mapper=$!
mkdir .snapshots/W/mapped
check_eq "mapped $mapper python3" "$(writers mapped)" "who has it mapped"
end "$mapper"

test_case "a name of any bytes, and a process that nobody can see"
hold odd "fd = os.open(b'W/a\xffb\n', os.O_WRONLY | os.O_CREAT)"
odd=$!
mkdir .snapshots/W/odd
check_eq '{"bytes":[97,255,98,10]}' \
    "$(ckpt show -w W -s odd --format json | jq -c '.open_for_writing[0].path')" "in JSON"
check_match '"a\\377b\\n" +pid' "$(ckpt show -w W -s odd)" "in the table"
end "$odd"
# A descriptor on its way through a socket is in no process.
hold flying "import array, socket
ends = socket.socketpair()
fd = os.open('W/flying', os.O_WRONLY | os.O_CREAT)
socket.send_fds(ends[0], [b'x'], [fd])
os.close(fd)"
flying=$!
mkdir .snapshots/W/flying
check_eq '[{"command":"","path":"flying","pid":0}]' \
    "$(ckpt show -w W -s flying --format json | jq -cS .open_for_writing)" "in JSON"
check_match "flying +by a process that could not be seen" "$(ckpt show -w W -s flying)" "in the table"
end "$flying"

test_case "more than can be recorded"
hold many "import resource
resource.setrlimit(resource.RLIMIT_NOFILE, (4096, 4096))
os.mkdir('W/many')
fds = [os.open(f'W/many/{i}', os.O_WRONLY | os.O_CREAT) for i in range(1200)]"
many=$!
mkdir .snapshots/W/many
check_eq "1000 1200" "$(writers many | wc -l) $(total many)" "recorded, and counted"
check_match "and 200 more" "$(ckpt show -w W -s many | tail -n 1)" "the table"
check_eq 1000 "$(query "$store" "SELECT count(*) FROM open_writer WHERE snapshot_id =
    (SELECT id FROM snapshot WHERE name = 'many')")" "rows"
end "$many"

test_case "they go with the snapshot, and stay over a new mount"
rmdir .snapshots/W/many
check_eq 0 "$(query "$store" "SELECT count(*) FROM open_writer WHERE snapshot_id NOT IN
    (SELECT id FROM snapshot)")" "rows of no snapshot"
exec 5>>W/file
check "a rollback with a writer" ckpt rollback -w W -s none --force
exec 5>&-
kept=$(ckpt list -w W --format json | jq -r '.[] | select(.kind == "pre-rollback") | .name')
check_eq "null" "$(total "$kept")" "of a state that a rollback kept"
check_match "open for writing not recorded" "$(ckpt show -w W -s "$kept")" "the table"
before=$(ckpt show -w W -s some --format json)
cd / && unmount_store "$store" "$m" && mount_store "$store" "$m" && cd "$m" || exit 1
check_eq "$before" "$(ckpt show -w W -s some --format json)" "after a new mount"
cd / || exit 1
