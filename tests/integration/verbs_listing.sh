#!/bin/bash
# `ls -l` of a list of snapshots shows what the catalog contains and accesses no volume.
# Names here are plain, and `a && b || fail` is meant as it stands.
# shellcheck disable=SC2010,SC2012,SC2015,SC2086
# shellcheck source-path=SCRIPTDIR source=../lib/harness.sh
. "$(dirname "${BASH_SOURCE[0]}")/../lib/harness.sh"
command -v strace >/dev/null || skip_test "there is no strace"

store=$scratch/store m=$scratch/mnt count=200
mount_store "$store" "$m" || exit 1
mkdir "$m/W" && echo x >"$m/W/file" && setfattr -n user.own -v y "$m/W" && setfacl -m u:4323:rwx "$m/W"
for ((i = 0; i < count; i++)); do mkdir "$m/.snapshots/W/s$i" || break; done
# A daemon that has looked at no snapshot yet.
unmount_store "$store" "$m" && mount_store "$store" "$m" || exit 1
daemon=$(daemon_pid "$store")
stat "$m/W" "$m/.snapshots/W" >/dev/null

# trace_during COMMAND...: runs it while the daemon's calls are traced; prints those by which a file
# or a directory of a volume is reached.
trace_during() {
    local tracer
    rm -f "$scratch/trace"
    strace -f -qq -e trace=open,openat,openat2,open_by_handle_at,name_to_handle_at,ioctl,getdents64 \
        -o "$scratch/trace" -p "$daemon" 2>"$scratch/strace-says" &
    tracer=$!
    processes+=("$tracer")
    while ! grep -q 'TracerPid:.*[1-9]' "/proc/$daemon/status"; do
        kill -0 "$tracer" 2>/dev/null || return
        sleep 0.05
    done
    # Every thread, not only the first.
    for _ in {1..100}; do
        grep -L "TracerPid:.*[1-9]" /proc/"$daemon"/task/*/status | grep -q . || break
        sleep 0.05
    done
    "$@" >"$scratch/out"
    kill -INT "$tracer"
    wait "$tracer" 2>/dev/null
    # On device-mapper a thread looks after the volumes in use, by their devices and not their files.
    grep -E 'open|handle|ioctl|getdents' "$scratch/trace" |
        grep -vE 'ioctl\([0-9]+, (FUSE|DM_)|"/sys/fs/ext4/|resumed|/dev/fuse|pipe-max-size|overcommit_memory'
}

fds() { find "/proc/$daemon/fd" -mindepth 1 -printf '%l\n' 2>/dev/null | sort; }

test_case "ls -l"
before=$(fds)
calls=$(trace_during ls -lA "$m/.snapshots/W")
if grep -q 'not permitted' "$scratch/strace-says"; then
    echo "note: no process may be traced here"
else
    check_eq '' "$(head -n 5 <<<"$calls")" "calls that reach into volumes"
fi
check_eq $((count + 1)) "$(wc -l <"$scratch/out")" "lines"
check_eq "$count" "$(grep -c '^drwxrwxr-x+ .* s[0-9]*$' "$scratch/out")" "modes, with the mark of an ACL"
check_eq "$before" "$(fds)" "descriptors of the daemon"
calls=$(trace_during ls -ltr "$m/W/.snapshots")
check_eq '' "$(head -n 5 <<<"$calls")" "calls, for the list inside"
check_eq "s0 s$((count - 1))" "$(awk '{print $NF}' "$scratch/out" | sed -n '2p;$p' | paste -sd ' ')" "oldest and newest"
calls=$(trace_during find "$m/.snapshots/W" -maxdepth 1 -printf '%i %T@\n')
check_eq '' "$(head -n 5 <<<"$calls")" "calls, for find"
check_eq "$before" "$(fds)" "descriptors of the daemon"

test_case "what does reach into one is seen by this test"
calls=$(trace_during cat "$m/.snapshots/W/s7/file")
[[ -s $scratch/trace || ! -s $scratch/strace-says ]] && check_match 'open' "$calls" "calls, for cat"

test_case "big listings are whole"
check_eq "$count" "$(find "$m/.snapshots/W" -mindepth 1 -maxdepth 1 | sort -u | wc -l)" "names"
# While others come and go, each of those that stay is listed once.
(for ((i = 0; i < 20; i++)); do mkdir "$m/.snapshots/W/x$i" && rmdir "$m/.snapshots/W/x$i"; done) &
for _ in {1..10}; do
    names=$(ls -U "$m/.snapshots/W" | grep '^s')
    check_eq "$count $count" "$(wc -l <<<"$names") $(sort -u <<<"$names" | wc -l)" "names while the list changes"
done
wait $!

test_case "a listing ends although snapshots and workspaces come and go"
# list_while DIRECTORY PYTHON-STATEMENTS: lists it while these are done, for each entry, with `i` counting;
# prints whether that came to an end.
list_while() {
    (cd "$m" && python3 -c "
import ctypes, os, sys
libc = ctypes.CDLL(None)
libc.syscall.restype = ctypes.c_long
fd = os.open('$1', os.O_RDONLY)
buffer = ctypes.create_string_buffer(120)
for i in range(300):
    if libc.syscall(217, fd, buffer, ctypes.c_long(120)) <= 0:
        print('ends')
        break
    $2
")
}
if [[ $(uname -m) == x86_64 ]]; then # getdents64 has another number elsewhere
    check_eq ends "$(list_while .snapshots/W "os.mkdir(f'.snapshots/W/new{i}'); os.mkdir(f'.snapshots/W/newer{i}'); i and os.rmdir(f'.snapshots/W/new{i - 1}')")" "of snapshots"
    check_eq ends "$(list_while . "[os.mkdir(f'new{i}-{j}') for j in range(8)]")" "of workspaces"
fi
