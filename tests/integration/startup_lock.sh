#!/bin/bash
# One daemon per store; how the last one ended is known; dead mounts are removed.
# shellcheck source=tests/lib/harness.sh
. "$(dirname "${BASH_SOURCE[0]}")/../lib/harness.sh"

store=$scratch/store
mnt=$scratch/mnt
other=$scratch/other
mkdir "$other"

clean_start() { ckpt status --mount "$mnt" --format json | jq .clean_start; }
is_detached() { [[ -z $(losetup -n -O NAME -j "$store/volumes.img") ]]; }

# kill_and_look: SIGKILL leaves a lock and a dead mount point, and nothing else.
kill_and_look() {
    kill_daemon "$store"
    await 5 "no loop device is left" is_detached
    check "the lock is left" test -s "$store/lock"
    run ls "$mnt"
    # The second while the kernel is about to notice.
    check_match 'endpoint is not connected|connection abort' "$errors" "a dead mount"
    check_eq "" "$(findmnt -rn -t btrfs -o SOURCE | grep -F "$scratch")" "private mounts"
}

test_case "the lock holds the PID, and goes with a clean stop"
check "mount" mount_store "$store" "$mnt"
pid=$(daemon_pid "$store")
check_match "ckptfs" "$(tr '\0' ' ' <"/proc/$pid/cmdline")" "the process in the lock"
check_eq true "$(clean_start)" "clean_start of a new store"
mkdir "$mnt/w"
check "unmount" unmount_store "$store" "$mnt"
check_not "the lock is left" test -e "$store/lock"
check "the daemon has ended" await_end "$pid"
await 5 "no loop device is left" is_detached

test_case "a second daemon is refused at once, with the PID of the first"
check "mount" mount_store "$store" "$mnt"
pid=$(daemon_pid "$store")
start=$EPOCHREALTIME
run mount_store "$store" "$other"
took=$(((${EPOCHREALTIME/./} - ${start/./}) / 1000))
check_eq 32 "$status" "exit status"
check_eq 1 "$(wc -l <<<"$errors")" "lines of '$errors'"
check_match "process $pid " "$errors" "the message"
check "at once ($took ms)" test "$took" -lt 2000
# By another path to the same directory.
ln -s store "$scratch/link"
start=$EPOCHREALTIME
run mount_store "$scratch/link" "$other"
took=$(((${EPOCHREALTIME/./} - ${start/./}) / 1000))
check_match "process $pid " "$errors" "the message, by a symlink"
check "at once by a symlink ($took ms)" test "$took" -lt 2000
# On top of the mount itself.
start=$EPOCHREALTIME
run mount_store "$store" "$mnt"
took=$(((${EPOCHREALTIME/./} - ${start/./}) / 1000))
check "refused on its own mount point ($errors)" test "$status" -ne 0
check "at once on its own mount point ($took ms)" test "$took" -lt 2000
# A first one whose mount has been made lazy still serves.
check "the first serves on" mkdir "$mnt/w/d"
check_eq "$pid" "$(daemon_pid "$store")" "the lock"

test_case "kill -9 is reported by the next mount, and over with the next clean stop"
kill_and_look
ckptfs -f "$store" "$mnt" 2>"$scratch/log" &
processes+=($!)
for ((i = 0; i < 500; i++)); do
    mountpoint -q "$mnt" && [[ -d $mnt/w ]] && break
    sleep 0.02
done
check_eq false "$(clean_start)" "clean_start"
check_match "did not end cleanly" "$(<"$scratch/log")" "the log"
check_match "did not end cleanly" \
    "$(ckpt status --mount "$mnt" --format json | jq -r '.warnings[]')" "warnings in ckpt status"
check_match "not clean" "$(ckpt status --mount "$mnt")" "ckpt status for people"
check "what was there is there" test -d "$mnt/w/d"
unmount_store "$store" "$mnt"
check_not "the lock is left" test -e "$store/lock"
check "mount" mount_store "$store" "$mnt"
check_eq true "$(clean_start)" "clean_start after a clean stop"

test_case "a dead mount point is cleared, however deep"
kill_and_look
check "mount over the dead one" mount_store "$store" "$mnt"
check_eq 1 "$(findmnt -rn -o TARGET | grep -cFx "$mnt")" "mounts there"
kill_daemon "$store"
check "mount with a slash at the end" mount_store "$store" "$mnt/"
check_eq 1 "$(findmnt -rn -o TARGET | grep -cFx "$mnt")" "mounts there"
kill_daemon "$store"
check "mount by a relative path" env -C "$scratch" ckptfs "$store" mnt
check_eq 1 "$(findmnt -rn -o TARGET | grep -cFx "$mnt")" "mounts there"
unmount_store "$store" "$mnt"

test_case "a lock left by a process whose number somebody else has now"
echo $$ >"$store/lock"
check "mount" mount_store "$store" "$mnt"
check_eq false "$(clean_start)" "clean_start"
unmount_store "$store" "$mnt"

test_case "a lock that holds nonsense"
for text in "" nonsense 999999999999999999999 "-1"; do
    printf '%s' "$text" >"$store/lock"
    check "mount" mount_store "$store" "$mnt"
    check_eq false "$(clean_start)" "clean_start"
    unmount_store "$store" "$mnt"
done

test_case "umount and mount at once, again and again"
for ((round = 1; round <= 20; round++)); do
    check "mount $round" mount_store "$store" "$mnt"
    check "write $round" mkdir "$mnt/w/round-$round"
    check "umount $round" umount "$mnt"
done
check "mount" mount_store "$store" "$mnt"
check_eq 20 "$(find "$mnt/w" -maxdepth 1 -name 'round-*' | wc -l)" "directories made"
check_eq true "$(clean_start)" "clean_start"
unmount_store "$store" "$mnt"

test_case "SIGTERM, SIGINT and SIGHUP stop cleanly"
for signal in TERM INT HUP; do
    check "mount" mount_store "$store" "$mnt"
    pid=$(daemon_pid "$store")
    kill -s "$signal" "$pid"
    check "SIG$signal ends it" await_end "$pid"
    check_not "the lock is left after SIG$signal" test -e "$store/lock"
    check_not "the mount is left after SIG$signal" mountpoint -q "$mnt"
    await 5 "no loop device is left" is_detached
done
check "mount" mount_store "$store" "$mnt"
check_eq true "$(clean_start)" "clean_start"
unmount_store "$store" "$mnt"

test_case "a killed daemon that cannot end keeps nobody waiting but the next mount"
check "mount" mount_store "$store" "$mnt"
pid=$(daemon_pid "$store")
for fd in "/proc/$pid/fd/"*; do
    [[ -d $fd && $(stat -Lf -c %T "$fd") == btrfs ]] && inner=$fd && break
done
exec {frozen}<"$inner"
thaw() { fsfreeze --unfreeze "/proc/self/fd/$frozen"; }
trap 'thaw 2>/dev/null; cleanup' EXIT
check "freeze the filesystem in the store" fsfreeze --freeze "/proc/self/fd/$frozen"
touch "$mnt/w/late" 2>/dev/null {frozen}<&- &
waiting=$!
processes+=("$waiting")
# Perhaps one that is not there yet.
a_thread_waits() { grep -q '^State:.D' "/proc/$pid/task/"*/status; }
await 10 "a thread of the daemon waits for it" a_thread_waits
kill -KILL "$pid"
ckptfs "$store" "$mnt" {frozen}<&- &
mounting=$!
await 10 "who waited for an answer goes on" eval "! kill -0 $waiting"
check "the daemon has not ended" test -n "$(find "/proc/$pid/task" -mindepth 1 -maxdepth 1)"
check "nor is it mounted again" kill -0 "$mounting"
check "thaw" thaw
exec {frozen}<&-
trap cleanup EXIT
check "mount" wait "$mounting"
check "what was there is there" test -d "$mnt/w/d"
check_eq false "$(clean_start)" "clean_start"
unmount_store "$store" "$mnt"
