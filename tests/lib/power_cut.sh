# Sourced by tests/powercut/*.sh: a store on a disk whose power is cut repeatedly while programs work on it.
# After each cut the store is mounted, and the effects of all calls that had returned must be there; the
# catalog and the volumes agree; nothing is left over.
#
# The disk is a file of forgetful_disk, a FUSE filesystem, below a loop device: unflushed data is lost in part
# and out of order. Only calls that returned while there was power count as done.
#
# CKPTFS_POWER_CUTS: number of cuts (default 3; 50 in the long form). CKPTFS_SEED: repeats the same cuts
# approximately, because programs do not run twice at the same speed.
#
# Runs in its own mount namespace: a disk without power cannot be unmounted while another test's namespace has
# a copy of its mount.
#
# shellcheck shell=bash
# shellcheck source=tests/lib/mount-namespace.sh
. "$(dirname "${BASH_SOURCE[0]}")/mount-namespace.sh"
if [[ -z ${TMPDIR-} && $(df --output=avail -m /dev/shm 2>/dev/null | tail -n 1) -gt 2048 ]]; then
    export TMPDIR=/dev/shm
fi
cut_lib=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
# shellcheck source=tests/lib/harness.sh
. "$cut_lib/harness.sh"
readonly programs=$cut_lib/../powercut
for program in sqlite3 btrfs jq python3; do
    command -v "$program" >/dev/null || skip_test "there is no $program"
done

readonly disk_mib=512 workers=(w0 w1 w2)
power=$scratch/hardware/power
disk=$scratch/disk
store=$disk/store
mnt=$scratch/mnt
histories=$scratch/histories
seed=${CKPTFS_SEED:-$RANDOM}
daemon=''
mkdir "$scratch/hardware" "$disk" "$mnt" "$histories"

# make_disk FILESYSTEM: a disk with it, not mounted.
make_disk() {
    truncate -s "${disk_mib}M" "$scratch/platter"
    RANDOM=$seed
    echo "seed $seed"
    background forgetful_disk "$scratch/platter" "$seed" "$scratch/hardware"
    mounts+=("$scratch/hardware")
    await 20 "the disk is there" test -e "$power"
    "mkfs.$1" -q "$scratch/hardware/disk" >/dev/null 2>&1 || skip_test "no mkfs.$1"
    mount_disk || skip_test "cannot mount $1"
    mounts+=("$disk" "$mnt")
    umount "$disk"
}

mount_disk() { mount -o loop "$scratch/hardware/disk" "$disk"; }

# start_daemon OPTIONS: does not wait for anything.
start_daemon() {
    ckptfs -f ${1:+-o "$1"} "$store" "$mnt" 2>>"$scratch/log" &
    daemon=$!
    processes=("${processes[0]}" "$daemon")
}

is_usable() { [[ -d $mnt/.snapshots ]] || ! kill -0 "$daemon" 2>/dev/null; }

# mount_all OPTIONS
mount_all() {
    mount_disk || {
        fail "the disk does not mount: $(dmesg | tail -n 5)"
        exit 1
    }
    start_daemon "$1"
    await 60 "the store is mounted" is_usable
    [[ -d $mnt/.snapshots ]] || {
        fail "the store does not mount: $(tail -n 5 "$scratch/log")"
        exit 1
    }
}

# Unmounting ends the daemon, which releases the image's loop device.
unmount_all() {
    unmount "$mnt" || fail "cannot unmount the store"
    await_end "$daemon" || fail "the daemon does not end"
    daemon=''
    look_for_leftovers
    unmount_disk
}

# A process that has just ended may hold the filesystem for a moment, which a mount would find busy.
unmount_disk() {
    unmount "$disk" || fail "cannot unmount the disk"
    await 60 "the loop device is gone" is_detached
}
is_detached() { [[ -z $(losetup -nO NAME -j "$scratch/hardware/disk") ]]; }

is_off() { [[ $(<"$power") == off* ]]; }

# cut_power PID...: cuts the power and kills everything that could know what was in memory.
cut_power() {
    local pid tries
    # Mostly between a write and its flush. If nothing is written any more, at once.
    ((RANDOM % 4 == 0)) || echo "off $((1 + RANDOM % 200))" >"$power"
    for ((tries = 0; tries < 20; tries++)); do
        ! is_off || break
        sleep 0.1
    done
    echo off >"$power"
    cut=$(<"$power")
    # A process that gets an error has time to mistake it for something else. The daemon of a usable store
    # reports errors as well, and does not die of them.
    sleep 0.2
    [[ $# -eq 0 ]] || check "the daemon lives without its disk" kill -0 "$daemon"
    for pid in "$@" "$daemon"; do kill_child "$pid" KILL; done
    # As the next mount does: one of its threads may wait for a lock whose holder waits for its answer.
    ! is_mounted "$mnt" || umount -f "$mnt" 2>/dev/null
    for pid in "$@" "$daemon"; do
        # Suppresses bash's message about the process that it killed.
        wait "$pid" 2>/dev/null
    done
    daemon=''
    if is_mounted "$mnt"; then umount -l "$mnt"; fi
    unmount_disk
    echo on >"$power"
}

# --- Invariants ----------------------------------------------------------------------------------

# Checks on the mount: the calls that had returned, and what fsck says.
look_at_mount() {
    local what=$1
    run python3 "$programs/look.py" "$mnt" "$histories"
    check_eq 0 "$status" "$what: $errors"
    check_eq '' "$(grep FAULT <<<"$output")" "$what"
    found=$(grep -v FAULT <<<"$output")
    # A wrong state would be reported again and again.
    [[ $output != *FAULT* && $status -eq 0 ]] || exit 1
    run ckpt fsck --mount "$mnt"
    check_eq "0 no problems found" "$status $output" "$what: fsck ($errors)"
    run ckpt status --mount "$mnt"
    check_eq 0 "$status" "$what: ckpt status: $output $errors"
}

# Checks from outside, with the daemon gone: one volume and one sidecar for each row, and nothing else.
look_for_leftovers() {
    local rows snapshots volumes_at=$store
    check_eq ok "$(sqlite3 "$store/catalog.db" 'PRAGMA integrity_check; PRAGMA foreign_key_check')" "the catalog"
    check_eq 0 "$(sqlite3 "$store/catalog.db" 'SELECT count(*) FROM tombstone')" "tombstones"
    check_eq '' "$(find "$store" -mindepth 1 -maxdepth 1 ! -name catalog.db ! -name volumes.img ! -name reserve \
        ! -name volumes ! -name meta -printf '%f ')" "files in the store"
    rows=$(sqlite3 "$store/catalog.db" 'SELECT volume FROM workspace UNION ALL SELECT volume FROM snapshot' | sort)
    snapshots=$(sqlite3 "$store/catalog.db" 'SELECT volume FROM snapshot' | sort)
    if [[ -e $store/volumes.img ]]; then
        volumes_at=$scratch/image
        mkdir -p "$volumes_at"
        mount -o loop,ro "$store/volumes.img" "$volumes_at" || {
            fail "cannot mount the image"
            return
        }
    fi
    check_eq "$rows" "$(btrfs subvolume list "$volumes_at" | sed 's|.*volumes/||' | sort)" "subvolumes"
    check_eq "$snapshots" "$(btrfs subvolume list -r "$volumes_at" | sed 's|.*volumes/||' | sort)" \
        "read-only subvolumes"
    check_eq "$rows" "$(find "$volumes_at/volumes" -mindepth 1 -maxdepth 1 -printf '%f\n' | sort)" "volumes"
    check_eq "$rows" "$(find "$volumes_at/meta" -mindepth 1 ! -name store.json -printf '%f\n' |
        sed 's/\.json$//' | sort)" "sidecars"
    [[ $volumes_at == "$store" ]] || umount "$volumes_at"
}

# --- Work ----------------------------------------------------------------------------------------

# start_workers COUNT: sets $working, their PIDs.
start_workers() {
    local worker
    working=()
    for worker in "${workers[@]}"; do
        PATH=$bin:$PATH python3 "$programs/worker.py" "$mnt" "$histories/$worker" "$RANDOM" "$power" \
            ${1:+"$1"} >>"$scratch/said" 2>&1 &
        working+=($!)
    done
    processes+=("${working[@]}")
}

# random_seconds LEAST MOST
random_seconds() { awk -v seed="$RANDOM" -v least="$1" -v most="$2" 'BEGIN { srand(seed); printf "%.3f", least + (most - least) * rand() }'; }

# Whether each worker has something to do already.
all_work() {
    local worker
    for worker in "${workers[@]}"; do grep -qs '"begin"' "$histories/$worker" || return; done
}

count_operations() { cat "$histories"/* | grep -c '^{"done"'; }

# power_cuts OPTIONS: the whole test, on the disk that make_disk has made.
power_cuts() {
    local options=$1 cuts=${CKPTFS_POWER_CUTS:-3} number line operations=0
    : >"$scratch/said"
    for ((number = 1; number <= cuts; number++)); do
        test_case "cut $number of $cuts"
        # Some cuts come while the store recovers from the previous one.
        if ((number % 4 == 0)); then
            mount_disk || fail "the disk does not mount"
            start_daemon "$options"
            sleep "$(random_seconds 0.02 0.6)"
            cut_power
            echo "    while it recovers: $cut"
            continue
        fi
        mount_all "$options"
        look_at_mount "before cut $number"
        # A store that was stopped cleanly since, and one that was not.
        if ((number % 2 == 0)); then
            unmount_all
            mount_all "$options"
        fi
        start_workers ''
        await 60 "the workers work" all_work
        sleep "$(random_seconds 0.5 5)"
        cut_power "${working[@]}"
        operations=$((operations + $(count_operations)))
        check_eq '' "$(grep -v '^$' "$scratch/said")" "what workers said"
        echo "    $cut; $operations operations so far"
    done

    test_case "after the last one"
    mount_all "$options"
    look_at_mount "after the last cut"
    while read -r line; do echo "    $line"; done <<<"$found"
    unmount_all
    mount_all "$options"
    start_workers 20
    wait "${working[@]}"
    check_eq '' "$(grep -v '^$' "$scratch/said")" "what workers said"
    look_at_mount "after work without a cut"
    unmount_all
}
