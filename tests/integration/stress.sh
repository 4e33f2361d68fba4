#!/bin/bash
# Many processes race all operations against each other, including unmounts: no call hangs, no call fails with
# an error that the manual does not list, no file is torn, and in the end catalog, volumes, loop devices and
# the daemon's descriptors are correct.
#
# CKPTFS_STRESS_SECONDS: duration (20). CKPTFS_STRESS_SEED: repeats a run, as far as processes can be
# repeated. CKPTFS_STRESS_OPTIONS: more mount options.
# shellcheck source-path=SCRIPTDIR source=../lib/harness.sh
. "$(dirname "${BASH_SOURCE[0]}")/../lib/harness.sh"

program=$bin/ckptfs_stress
[[ -x $program ]] || skip_test "ckptfs_stress is not built"
seconds=${CKPTFS_STRESS_SECONDS:-20}
options=${CKPTFS_STRESS_OPTIONS:-}
store=$scratch/store m=$scratch/below/mnt

# While nothing is mounted, what comes too late must not land in the directory below.
mkdir "$scratch/below"
mount -t tmpfs -o size=1M none "$scratch/below" || skip_test "cannot mount tmpfs"
mounts+=("$scratch/below")
mkdir "$m"
mount -o remount,ro "$scratch/below"

# Prints how many descriptors the daemon has, when those that go away by themselves have gone.
descriptors() {
    local pid count last=-1
    pid=$(daemon_pid "$store")
    for _ in {1..50}; do
        count=$(find "/proc/$pid/fd" -mindepth 1 2>/dev/null | wc -l)
        [[ $count != "$last" ]] || break
        last=$count
        sleep 0.1
    done
    echo "$count"
}

# check_descriptors EXPECTED WHAT: waits for it; the daemon lets go of things on its own time.
check_descriptors() {
    local count i
    for ((i = 0; i < 20; i++)); do
        count=$(descriptors)
        ((count > $1)) || break
    done
    checks=$((checks + 1))
    ((count <= $1)) && return
    fail "$2: the daemon has $count descriptors, and had $1"
    find "/proc/$(daemon_pid "$store")/fd" -mindepth 1 -printf '%l\n' | sort | uniq -c | sort -rn | head -n 20
}

# Empties the kernel's caches, without which the daemon rightly keeps what the kernel knows.
drop_caches() { echo 2 >/proc/sys/vm/drop_caches; }

mount_store "$store" "$m" "size=4G${options:+,$options}" || exit
test_case "descriptors of an idle daemon"
mkdir "$m/a" && : >"$m/a/file" && mkdir "$m/.snapshots/a/s0" && cat "$m/.snapshots/a/s0/file"
rmdir "$m/.snapshots/a/s0"
idle=$(descriptors)

# Deletes all snapshots, and all workspaces; then makes one, which stays empty. (The tree of an old one
# could keep a descriptor of a file that was removed while it took the place of another.)
clear_all() {
    local workspace snapshot
    for workspace in "$m"/*/; do
        [[ -d $workspace ]] || continue
        workspace=$(basename "$workspace")
        for snapshot in "$m/.snapshots/$workspace"/*/; do
            [[ -d $snapshot ]] || continue
            setfattr -n user.ckptfs.pinned -v 0 "${snapshot%/}"
            check "rmdir $snapshot" rmdir "$snapshot"
        done
        find "$m/$workspace" -mindepth 1 -delete
        checks=$((checks + 1))
        rmdir "$m/$workspace" && continue
        fail "rmdir $workspace, in which there should be nothing:"
        find "$m/$workspace" "$m/.snapshots/$workspace" -ls
        (cd "$m" && ckpt list -w "$workspace")
    done
    mkdir "$m/a"
}

race() {
    local name=$1
    shift
    checks=$((checks + 1))
    "$program" "$store" "$m" ${CKPTFS_STRESS_SEED:+--seed "$CKPTFS_STRESS_SEED"} \
        --mount-options "$options" "$@" >"$scratch/$name.log" 2>&1 && return
    fail "$name:"
    head -n 400 "$scratch/$name.log" | cut -c 1-1000
    # One that hangs would hold up whatever comes. Aborted first: a thread of the daemon that waits in the
    # kernel for a lock which some request holds would outlive the daemon, and both would wait for ever.
    if grep -q ^HUNG "$scratch/$name.log"; then
        umount -f "$m"
        kill_daemon "$store"
    fi
}

test_case "races, with rollbacks in place: $((seconds / 2)) s"
race in-place --seconds "$((seconds / 2))" --no-remount --in-place
run ckpt fsck --mount "$m"
check_eq 0 "$status" "ckpt fsck: $output $errors"

test_case "nothing is left when all has been deleted"
clear_all
check_eq a "$(ls "$m")" "workspaces"
drop_caches
# Four scouts (backend/base/scouts.h) are kept, with two descriptors each.
check_descriptors $((idle + 2 + 4 * 2)) "afterwards"

test_case "races, with all forms of rollback and unmounting: $((seconds - seconds / 2)) s"
race remounts --seconds "$((seconds - seconds / 2))"
run ckpt fsck --mount "$m"
check_eq 0 "$status" "ckpt fsck: $output $errors"
if [[ -n ${CKPTFS_STRESS_SECONDS:-} ]]; then cat "$scratch"/*.log; fi

test_case "a new mount"
unmount_store "$store" "$m"
mount_store "$store" "$m" "$options" || exit
run ckpt fsck --mount "$m"
check_eq 0 "$status" "ckpt fsck: $output $errors"
check_eq true "$(cd "$m" && ckpt status --format json | jq .clean_start)" "it had ended cleanly"
check_eq '[]' "$(cd "$m" && ckpt status --format json | jq -c .warnings)" "warnings"

test_case "from outside"
unmount_store "$store" "$m"
check_eq '' "$(losetup -j "$store/volumes.img" 2>&1)" "loop devices"
open_image "$store" "$scratch/image" || exit
volumes=$(find "$scratch/image/volumes" -mindepth 1 -maxdepth 1 -printf '%f\n' | sort)
close_image "$scratch/image"
rows=$(query "$store" "SELECT volume FROM workspace UNION ALL SELECT volume FROM snapshot" | sort)
check_eq "$rows" "$volumes" "rows of the catalog, and volumes"
check_eq 0 "$(query "$store" "SELECT count(*) FROM tombstone")" "tombstones"
