#!/bin/bash
# fio reads back the data that it wrote: by each way of writing, from memory and from disk, after a remount,
# in snapshots, and in a copy of the disk taken after fsync returned.
# shellcheck source-path=SCRIPTDIR source=../lib/harness.sh
. "$(dirname "${BASH_SOURCE[0]}")/../lib/harness.sh"

command -v fio >/dev/null || skip_test "there is no fio"
store=$scratch/store mnt=$scratch/mnt
# All at once, two processes each. The same numbers in each run: what verifies only has to know where
# the blocks begin.
all_ways=(
    --size=3M --verify=crc32c --verify_fatal=1 --numjobs=2 --minimal
    --name=sequential --rw=write --bs=64k --ioengine=psync
    --name=random --rw=randwrite --bsrange=4k-64k --bs_unaligned=0 --ioengine=psync --fsync=64
    --name=small --rw=randwrite --bs=4k --ioengine=sync --fdatasync=100 --verify_backlog=256
    --name=direct --rw=randwrite --bs=4k --ioengine=libaio --iodepth=8 --direct=1
    --name=synchronous --rw=write --bs=256k --ioengine=psync --sync=dsync
    --name=mapped --rw=randwrite --bs=4k --ioengine=mmap --fsync=500
)
files_of_all_ways=12

# fio_in DIRECTORY [ARGUMENT...]: prints nothing if all is well.
fio_in() {
    local directory=$1
    shift
    fio --directory="$directory" "$@" "${all_ways[@]}" >"$scratch/fio.log" 2>&1 ||
        grep -E '^(verify|fio):' "$scratch/fio.log" | head -n 5
}

# Checkpoints every 100 ms while fio runs; their number is in $made.
write_with_checkpoints() {
    local name=$1 i pid
    made=0
    fio_in "$mnt/$name" --do_verify=1 >"$scratch/fio.result" &
    pid=$!
    processes+=("$pid")
    for ((i = 1; i <= 300; i++)); do
        kill -0 "$pid" 2>/dev/null || break
        check "checkpoint $i" mkdir "$mnt/.snapshots/$name/during-$i"
        made=$i
        sleep 0.1
    done
    wait "$pid"
    check_eq '' "$(<"$scratch/fio.result")" "what fio wrote"
}

sums() { (cd "$1" && sha256sum -- *); }

write_and_verify() {
    local name=$1 during
    test_case "$name: written and verified, with checkpoints meanwhile"
    mkdir "$mnt/$name"
    write_with_checkpoints "$name"
    check "checkpoints were made" test "$made" -ge 3
    before=$(sums "$mnt/$name")
    check_eq "$files_of_all_ways" "$(wc -l <<<"$before")" "files"
    during=$(sums "$mnt/.snapshots/$name/during-$made")
    mkdir "$mnt/.snapshots/$name/after"

    test_case "$name: from the disk, and what snapshots have when the files change"
    echo 3 >/proc/sys/vm/drop_caches
    check_eq '' "$(fio_in "$mnt/$name" --verify_only=1)" "what fio reads"
    check_eq '' "$(fio_in "$mnt/$name" --do_verify=0 --randseed=5)" "other data is written"
    check_not "it differs" test "$before" = "$(sums "$mnt/$name")"
    check_eq "$before" "$(sums "$mnt/.snapshots/$name/after")" "the snapshot"
    check_eq "$during" "$(sums "$mnt/.snapshots/$name/during-$made")" "one that was made meanwhile"
}

# A copy of the disk as a power cut now would leave it is mounted at $scratch/cut, without the store,
# as the kernel mounts no two filesystems of one identity.
cut_power() {
    cp --sparse=always "$store/volumes.img" "$scratch/cut.img"
    check "unmount" unmount_store "$store" "$mnt"
    volume=$(query "$store" "SELECT lower(volume) FROM workspace WHERE name = 'd'")
    mkdir -p "$scratch/cut"
    check "mount the copy" mount -o loop "$scratch/cut.img" "$scratch/cut"
}
restore_power() {
    umount "$scratch/cut"
    rm "$scratch/cut.img"
    mount_d "$@"
}

# fsync_reaches_the_disk [PREFIX...]: of `mount_d`.
fsync_reaches_the_disk() {
    local engine i expected
    mkdir "$mnt/d"
    for engine in psync mmap; do
        fio --name="$engine" --directory="$mnt/d" --size=2M --rw=write --bs=64k --verify=crc32c \
            --do_verify=0 --ioengine="$engine" --end_fsync=1 --minimal >"$scratch/fio.log"
    done
    dd if=/dev/urandom of="$mnt/d/dsync" bs=64k count=8 oflag=dsync status=none
    expected=$(sums "$mnt/d")
    # What is written last, and by nobody to the disk, is not there: or all this proves nothing. (The
    # filesystem may do it just then by itself, every half minute.)
    for i in 1 2 3; do
        dd if=/dev/urandom of="$mnt/d/unsynced" bs=64k count=8 status=none
        cut_power
        check_eq "$expected" "$(sums "$scratch/cut/volumes/$volume" | grep -v ' unsynced$')" "synced"
        [[ -s $scratch/cut/volumes/$volume/unsynced ]] || break
        restore_power "$@"
    done
    check "what was not synced is not on the disk" test ! -s "$scratch/cut/volumes/$volume/unsynced"
    restore_power "$@"
    rm -r "$mnt/d"/* && rmdir "$mnt/d"
}
mounts+=("$mnt" "$scratch/cut")

# mount_d [PREFIX...]: mounts the store, perhaps with another program before the daemon.
mount_d() { check "mount" "$@" "$bin/ckptfs" "$store" "$mnt"; }

mount_store "$store" "$mnt" size=1G || exit
write_and_verify passthrough

test_case "after a new mount"
check "unmount" unmount_store "$store" "$mnt"
mount_d
check_eq "$before" "$(sums "$mnt/.snapshots/passthrough/after")" "the snapshot"
check "roll back" mv -T "$mnt/.snapshots/passthrough/after" "$mnt/passthrough"
check_eq '' "$(fio_in "$mnt/passthrough" --verify_only=1)" "fio verifies what was rolled back"

test_case "fsync reaches the disk"
fsync_reaches_the_disk
check "unmount" unmount_store "$store" "$mnt"

without_passthrough=$harness_directory/without-passthrough
test_case "fsync reaches the disk through the daemon"
mount_d "$without_passthrough"
fsync_reaches_the_disk "$without_passthrough"
write_and_verify daemon
