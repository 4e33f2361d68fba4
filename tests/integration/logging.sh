#!/bin/bash
# The log: to stderr in the foreground, to the journal or syslog as a daemon; one line per operation, with its
# duration; errors with the remedy; no file content.
# shellcheck source=tests/lib/mount-namespace.sh
. "$(dirname "${BASH_SOURCE[0]}")/../lib/mount-namespace.sh"
# shellcheck source=tests/lib/harness.sh
. "$(dirname "${BASH_SOURCE[0]}")/../lib/harness.sh"
[[ -n ${CKPTFS_TEST_NAMESPACE-} ]] || skip_test "no mount namespace can be made"

store=$scratch/store
mnt=$scratch/mnt
log=$scratch/log
mkdir "$mnt"
mounts+=("$mnt")
secret=vErY-sEcReT

# verbs: one of each, on the mount.
verbs() {
    mkdir "$mnt/w"
    echo "$secret" >"$mnt/w/$secret-file"
    mkdir "$mnt/.snapshots/w/one"
    ckpt checkpoint -w "$mnt/w" -s two -m "$secret" --metadata "{\"key\": \"$secret\"}" >/dev/null
    setfattr -n user.ckptfs.message -v "$secret" "$mnt/.snapshots/w/one"
    setfattr -n user.ckptfs.pinned -v 1 "$mnt/.snapshots/w/one"
    mv "$mnt/.snapshots/w/two" "$mnt/.snapshots/w/zwei"
    mv -T "$mnt/.snapshots/w/one" "$mnt/w"
    mv -T "$mnt/.snapshots/w/one" "$mnt/fork"
    rmdir "$mnt/.snapshots/w/zwei"
    mv -T "$mnt/fork" "$mnt/spoon"
    rm "$mnt/spoon/$secret-file"
    rmdir "$mnt/spoon"
    rmdir "$mnt/.snapshots/w/one" 2>/dev/null # pinned
}

# check_lines TEXT: one line for each of the verbs, with a duration.
check_lines() {
    local text=$1 line
    local took='\([0-9.]+ ms\)'
    for line in "create workspace w" "checkpoint w/one" "checkpoint w/two" "set the message of w/one" \
        "pin w/one" "rename w/two to zwei" "roll back w to w/one" "fork w/one as fork" \
        "delete w/zwei" "rename workspace fork to spoon" "remove workspace spoon"; do
        check_eq 1 "$(grep -cE "(^|[^a-z])$line $took" <<<"$text")" "lines '$line (... ms)'"
    done
    check_match "delete w/one failed: .*pinned.*$took" "$text" "a failed one"
    check_match "is mounted on $mnt" "$text" "the mount"
    check_match "unmounted" "$text" "the end"
    check_eq "" "$(grep -F "$secret" <<<"$text")" "what is nobody's business"
}

test_case "in the foreground: stderr"
ckptfs -f -o size=256M "$store" "$mnt" >"$scratch/stdout" 2>"$log" &
processes+=($!)
daemon=$!
for ((i = 0; i < 500; i++)); do
    mountpoint -q "$mnt" && break
    sleep 0.02
done
verbs
umount "$mnt"
wait "$daemon"
check_eq 0 "$?" "exit status"
check_lines "$(<"$log")"
check_eq "" "$(<"$scratch/stdout")" "stdout"
check_eq 0 "$(grep -vcE '^ckptfs: (info|warning|error): ' "$log")" "lines of another form"
check_match "^ckptfs: warning: delete" "$(grep 'failed' "$log")" "a failure is a warning"

test_case "in the foreground: nothing at info for ordinary files"
ckptfs -f "$store" "$mnt" 2>"$log" &
processes+=($!)
daemon=$!
for ((i = 0; i < 500; i++)); do
    mountpoint -q "$mnt" && break
    sleep 0.02
done
lines=$(wc -l <"$log")
for ((i = 0; i < 100; i++)); do echo "$i" >"$mnt/w/$i"; done
find "$mnt" -type f -exec cat {} + >/dev/null
ls -lR "$mnt/.snapshots" >/dev/null
cat "$mnt/w/missing" 2>/dev/null
rmdir "$mnt/w" 2>/dev/null
check "lines for hundreds of requests" test "$(wc -l <"$log")" -le $((lines + 1))
umount "$mnt"
wait "$daemon"

# receiver PATH OUTPUT: a datagram socket whose packets go to a file, one a line.
receiver() {
    python3 - "$1" "$2" <<'PYTHON' &
import os, socket, sys
path, output = sys.argv[1:]
os.makedirs(os.path.dirname(path), exist_ok=True)
receiver = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
receiver.bind(path)
os.chmod(path, 0o666)
with open(output, "ab", buffering=0) as file:
    while True:
        file.write(receiver.recv(1 << 16).replace(b"\0", b"\\0") + b"\n")
PYTHON
    processes+=($!)
    for ((i = 0; i < 500; i++)); do
        [[ -S $1 ]] && return
        sleep 0.02
    done
    fail "no socket at $1"
}

# daemon_log FILE: mounts as a daemon, runs the verbs, and waits for the last line.
daemon_log() {
    : >"$1"
    rm -rf "$store"
    run ckptfs -o size=256M "$store" "$mnt"
    check_eq "0  " "$status $output $errors" "a mount as a daemon says nothing"
    verbs
    unmount_store "$store" "$mnt"
    for ((i = 0; i < 250; i++)); do
        grep -q unmounted "$1" && return
        sleep 0.02
    done
}

test_case "as a daemon, without a journal: syslog"
mount -t tmpfs none /run
mounts+=(/run)
# A /dev in which /dev/log is ours. Loop devices that the kernel makes when they are asked for appear
# in the real one only.
mapfile -t nodes < <(cd /dev && stat -c '%n %Hr %Lr' fuse null zero urandom random loop-control)
mount -t tmpfs -o mode=755 none /dev
mounts+=(/dev)
for node in "${nodes[@]}"; do
    read -r name major minor <<<"$node"
    mknod "/dev/$name" c "$major" "$minor"
done
for ((i = 0; i < 256; i++)); do mknod "/dev/loop$i" b 7 "$i"; done
ln -s /proc/self/fd /dev/fd
receiver /dev/log "$scratch/syslog"
daemon_log "$scratch/syslog"
check_lines "$(<"$scratch/syslog")"
check_match "ckptfs\[[0-9]+\]: checkpoint" "$(<"$scratch/syslog")" "name and PID"
# <priority>: facility daemon (3), info (6) and warning (4).
check_match "<30>[^>]*ckptfs" "$(grep 'checkpoint w/one' "$scratch/syslog")" "info"
check_match "<28>[^>]*ckptfs" "$(grep 'delete w/one failed' "$scratch/syslog")" "warning"

test_case "as a daemon, with a journal"
receiver /run/systemd/journal/socket "$scratch/journal"
daemon_log "$scratch/journal"
check_lines "$(sed -n 's/^MESSAGE=//p' "$scratch/journal")"
check "the program's name" grep -q '^SYSLOG_IDENTIFIER=ckptfs$' "$scratch/journal"
check "priorities" grep -q '^PRIORITY=6$' "$scratch/journal"
check "priorities" grep -q '^PRIORITY=4$' "$scratch/journal"
