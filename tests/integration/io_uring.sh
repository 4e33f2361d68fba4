#!/bin/bash
# Requests over io_uring: requests that wait, and answers from another thread, neither hold up the ring of a
# processor nor lose entries of it.
# shellcheck source-path=SCRIPTDIR source=../lib/harness.sh
. "$(dirname "${BASH_SOURCE[0]}")/../lib/harness.sh"
# shellcheck source-path=SCRIPTDIR source=../lib/uring_switch.sh
. "$harness_directory/uring_switch.sh"

[[ -w $switch ]] || skip_test "this kernel has no FUSE over io_uring"
store=$scratch/store m=$scratch/mnt log=$scratch/log

serve_store "$store" "$m" "$log" io_uring=on
mkdir "$m/w"
check_match 'requests come over io_uring' "$(<"$log")" "the log"

test_case "the switch may be put back as soon as the mount is there"
echo N >"$switch"
mount_store "$scratch/back" "$scratch/back.mnt" io_uring=on
echo N >"$switch"
ticks() {
    local task sum=0
    for task in /proc/"$(daemon_pid "$scratch/back")"/task/*; do
        [[ $(<"$task/comm") != "$1"* ]] || sum=$((sum + $(awk '{print $14 + $15}' "$task/stat")))
    done
    echo "$sum"
}
mkdir "$scratch/back.mnt/w"
python3 -c 'import os, sys
for i in range(20000):
    try: os.stat(f"{sys.argv[1]}/none-{i}")
    except FileNotFoundError: pass' "$scratch/back.mnt/w"
check "the rings' threads have worked: $(ticks fuse-ring) ticks" test "$(ticks fuse-ring)" -gt "$(ticks fuse_worker)"
unmount_store "$scratch/back" "$scratch/back.mnt"

test_case "answers of ckpt come from threads that end"
for _ in {1..60}; do
    check "ckpt fsck" timeout 20 ckpt fsck --mount "$m"
done

test_case "more files open for writing than a small ring has entries"
# fastest_checkpoint MOUNT: of 5 with 200 files open for writing, in ms.
fastest_checkpoint() {
    mkdir -p "$1/w"
    python3 - "$1" <<'PYTHON' | sort -n | head -n 1
import os, sys, time
mount = sys.argv[1]
held = [open(f"{mount}/w/{i}", "w") for i in range(200)]
for i in range(5):
    begin = time.monotonic()
    os.mkdir(f"{mount}/.snapshots/w/{i}")
    print(int((time.monotonic() - begin) * 1000))
PYTHON
}
by_ring=$(fastest_checkpoint "$m")
serve_store "$scratch/dev_fuse" "$scratch/dev_fuse.mnt" "$scratch/dev_fuse.log" io_uring=off
by_device=$(fastest_checkpoint "$scratch/dev_fuse.mnt")
check "unmount" unmount_store "$scratch/dev_fuse" "$scratch/dev_fuse.mnt"
echo "a checkpoint with 200 of them: $by_ring ms, through /dev/fuse $by_device ms"
# Waiting in vain for a write to end takes 50 ms.
check "the time of a checkpoint" test "$by_ring" -lt $((2 * by_device + 20))

test_case "changes and checkpoints at once"
(
    begin_subshell
    cd "$m/w" || exit
    for i in {1..400}; do
        echo "$i" >"new-$i"
        mv "new-$i" "moved-$i" || fail "a change"
    done
    end_subshell
) &
changes=$!
for i in {1..40}; do
    check "a checkpoint" mkdir "$m/.snapshots/w/at-once-$i"
done
wait "$changes"
join_subshell
check_eq 400 "$(find "$m/w" -name 'moved-*' | wc -l)" "files"

test_case "a sync does not hold up others of its processor"
timeout 60 taskset -c 0 python3 - "$m" <<'PYTHON' || fail "a sync held up a lookup"
import os, sys, threading, time
mount = sys.argv[1]
done = threading.Event()
def sync():
    with open(f"{mount}/w/synced", "wb") as file:
        for _ in range(20):
            file.write(os.urandom(1 << 20))
            file.flush()
            os.fsync(file.fileno())
    done.set()
thread = threading.Thread(target=sync)
thread.start()
lookups = 0
while not done.is_set():
    try:
        os.stat(f"{mount}/w/none-{lookups}")
    except FileNotFoundError:
        lookups += 1
thread.join()
print(lookups, "lookups meanwhile")
sys.exit(lookups < 100)
PYTHON
checks=$((checks + 1))

test_case "a killed reader of the control file dies at once"
# life_after_kill MOUNT: of a ckpt that waits for its answer, in ms.
life_after_kill() {
    local pid begin
    ckpt checkpoint -w "$1/w" -s slow >"$scratch/slow" 2>&1 &
    pid=$!
    sleep 1
    begin=${EPOCHREALTIME/./}
    kill -KILL "$pid"
    wait "$pid" 2>/dev/null
    echo $(((${EPOCHREALTIME/./} - begin) / 1000))
}
for how in on off; do
    CKPTFS_FAILPOINT=checkpoint.after-sidecar~6000 serve_store "$scratch/slow.$how" "$scratch/slow.$how.mnt" \
        "$scratch/slow.log" "io_uring=$how"
    mkdir "$scratch/slow.$how.mnt/w"
    lived=$(life_after_kill "$scratch/slow.$how.mnt")
    echo "io_uring=$how: killed, it lived for $lived ms"
    check "it dies long before the answer comes" test "$lived" -lt 2500
    check "the mount is not in use" umount "$scratch/slow.$how.mnt"
done

test_case "the switch is followed"
unmount_store "$store" "$m"
echo N >"$switch"
: >"$log"
serve_store "$store" "$m" "$log" ''
ls "$m" >"$scratch/ls"
check_match 'requests come through /dev/fuse' "$(<"$log")" "io_uring=auto without it"
