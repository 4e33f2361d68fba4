#!/bin/bash
# A small disk that is filled until nothing new is let in: what takes space is refused with one line that says which
# disk is short, everything else goes on, and after deletions the store takes new things again in the same mount.
# Then storage that fails: the store says so, and has everything that was synced when it is mounted again.
# shellcheck source-path=SCRIPTDIR source=../lib/harness.sh
. "$(dirname "${BASH_SOURCE[0]}")/../lib/harness.sh"

m=$scratch/mnt log=$scratch/log
disk=$scratch/disk
mkdir "$disk"

# make_disk TYPE SIZE: a disk of that size, mounted at $disk.
make_disk() {
    rm -f "$scratch/disk.img"
    truncate -s "$2" "$scratch/disk.img"
    if [[ $1 == tmpfs ]]; then
        mount -t tmpfs -o size="$2" none "$disk" || skip_test "cannot mount tmpfs"
        mounts+=("$disk")
        return
    elif [[ $1 == ext4 ]]; then
        mkfs.ext4 -q -b 4096 -m 0 "$scratch/disk.img" || skip_test "no mkfs.ext4"
    else
        mkfs.btrfs -q "$scratch/disk.img" >/dev/null 2>&1 || skip_test "no mkfs.btrfs"
    fi
    mount -o loop "$scratch/disk.img" "$disk" || skip_test "cannot mount $1"
    mounts+=("$disk")
}
serve() { serve_store "$store" "$m" "$log" "${1-}"; }
stop() { check "unmount" unmount_store "$store" "$m"; }
take_disk_away() { check "the disk is free" unmount "$disk"; }
status_of() { ckpt status --mount "$m" --format json | jq -r "$1"; }
random() { dd if=/dev/urandom of="$1" bs=1M count="$2" conv=fsync status=none; }
free_bytes() { df --output=avail -B1 "$disk" | tail -n 1 | tr -d " "; }

# fill_disk: all of the disk is taken at once by something else, faster than anybody could watch.
fill_disk() {
    local left
    left=$(free_bytes)
    fallocate -l $((left - (left >> 6))) "$disk/filler-most"
    # To the last byte.
    dd if=/dev/zero of="$disk/filler-rest" bs=1M status=none 2>/dev/null
    dd if=/dev/zero of="$disk/filler-last" bs=4K status=none 2>/dev/null
    check_eq 0 "$(free_bytes)" "free space on the disk"
}

# fill PLACE: writes and takes checkpoints until one is refused. Sets $made, $warned and $sums, and what the refused
# one said.
fill() {
    made=0 warned=0 sums=()
    while ((made < 100)); do
        random "$m/w/file" 6 2>/dev/null
        run ckpt checkpoint -w "$m/w" -s "s$made" --format json
        ((status == 0)) || return
        sums+=("$(md5sum <"$m/w/file")")
        if [[ -n $errors ]]; then
            warned=$((warned + 1))
            check_match "^ckpt: ${1^} has [0-9]+ MiB left" "$errors" "a checkpoint done with a warning"
            check_eq "ckpt: $(jq -r '.warnings[]' <<<"$output")" "$errors" "the same as JSON"
        fi
        made=$((made + 1))
    done
}

# no_space PLACE REMEDY COMMAND...: of ckpt; refused, in one line.
no_space() {
    local place=$1 remedy=$2
    shift 2
    run "$@"
    check_eq "6 1" "$status $(wc -l <<<"$errors")" "$*: $errors"
    check_match "$place has [0-9]+ MiB left, and [0-9]+ MiB are kept free\. $remedy\.$" "$errors" "$*"
}

# exercise PLACE REMEDY: what runs short in the store that is mounted, and what to do.
exercise() {
    local place=$1 remedy=$2 i pid
    rm -rf "$scratch/tree" && mkdir "$scratch/tree" && echo imported >"$scratch/tree/file"
    mkdir "$m/w" && echo first >"$m/w/note" && mkdir "$m/.snapshots/w/first"
    fill "$place"
    echo "    $made checkpoints, $warned of them with a warning"
    check "there was room for some" test "$made" -ge 8
    check "space was low before it was short" test "$warned" -ge 1
    check_match "^ckpt: checkpoint workspace w: " "$errors" "what was tried"
    no_space "$place" "$remedy" ckpt checkpoint -w "$m/w"
    no_space "$place" "$remedy" ckpt fork -w "$m/w" -s first other
    no_space "$place" "$remedy" ckpt init "$m/new"
    no_space "$place" "$remedy" ckpt init --mount "$m" --name imported "$scratch/tree"
    refused "No space left on device" mkdir "$m/.snapshots/w/more"
    refused "No space left on device" mkdir "$m/new"
    refused "No space left on device" mv -T "$m/.snapshots/w/first" "$m/other"
    check_eq imported "$(<"$scratch/tree/file")" "the tree that was not imported"

    # Programs go on, to the last block.
    dd if=/dev/urandom of="$m/w/last" bs=1M status=none 2>/dev/null
    dd if=/dev/urandom of="$m/w/very-last" bs=4K status=none 2>/dev/null
    refused "No space left on device" dd if=/dev/urandom of="$m/w/none" bs=64K count=16 conv=fsync status=none

    # What needs no space, or next to none.
    check_eq ok "$(status_of .state)" "the state of the store"
    check "which is no failure" ckpt status --mount "$m"
    check "ckpt status" grep -qE "^${place^} has [0-9]+ MiB left, too little for anything new\. $remedy\.$" \
        <<<"$(status_of '.warnings[]')"
    for ((i = 0; i < made; i++)); do
        check_eq "${sums[i]}" "$(md5sum <"$m/.snapshots/w/s$i/file")" "snapshot s$i"
    done
    check_eq $((made + 1)) "$(ckpt list -w "$m/w" --format json | jq length)" "the list"
    check "the size of a snapshot" ckpt show -w "$m/w" -s s1
    check "the changes between two" ckpt diff -w "$m/w" -f s0 -t s1
    check "the changes since one" ckpt diff -w "$m/w" -f s0
    check "a rollback" ckpt rollback -w "$m/w" -s s2
    check_eq "${sums[2]}" "$(md5sum <"$m/w/file")" "what it gives"
    check "and by rename" mv -T "$m/.snapshots/w/s3" "$m/w"
    check_eq "${sums[3]}" "$(md5sum <"$m/w/file")" "what that gives"
    for ((i = 0; i < 12; i++)); do
        check "a rollback and back" mv -T "$m/.snapshots/w/s$((4 + i % 2))" "$m/.snapshots/w/.live"
    done
    check "a message" setfattr -n user.ckptfs.message -v text "$m/.snapshots/w/s1"

    pid=$(daemon_pid "$store")
    check "ckpt delete" ckpt delete -w "$m/w" -s s0
    check "rmdir" rmdir "$m/.snapshots/w/s1"
    check_not "they are gone" stat "$m/.snapshots/w/s0" "$m/.snapshots/w/s1"
    for ((i = 4; i < made; i++)); do rmdir "$m/.snapshots/w/s$i" || fail "delete s$i"; done
    await 10 "there is room for a checkpoint again" mkdir -p "$m/.snapshots/w/again"
    check "and for a workspace" ckpt init "$m/new"
    check "and for an import" ckpt init --mount "$m" --name imported "$scratch/tree"
    check "and for a fork" ckpt fork -w "$m/w" -s again other
    is_forgotten() { [[ $(status_of '.warnings | tostring') == '[]' ]]; }
    await 10 "ckpt status has forgotten it" is_forgotten
    run ckpt checkpoint -w "$m/w" -s last
    check_eq "0 " "$status $errors" "a checkpoint without a warning"
    check_eq "$pid" "$(daemon_pid "$store")" "the daemon"
    check_eq "no problems found" "$(ckpt fsck --mount "$m" 2>&1)" "fsck"
}

test_case "a full image"
store=$scratch/store
serve backend=btrfs-loop,size=256M
exercise "the store's image" "Delete snapshots, or mount with a larger size="
stop

test_case "a full disk below an image"
make_disk ext4 400M
store=$disk/store
serve backend=btrfs-loop,size=1G
exercise "the disk of the store's image" "Free space on that disk, or delete snapshots"
stop
take_disk_away

test_case "a full btrfs of its own"
make_disk btrfs 300M
store=$disk/store
serve backend=btrfs-base
# What an import that was cut short an hour ago would leave.
garbage=$(</proc/sys/kernel/random/uuid)
echo "{\"format\":1,\"volume\":\"$garbage\",\"role\":\"scratch\",\"state\":\"prepared\",\"generation\":0}" \
    >"$store/meta/$garbage.json"
touch -d "1 hour ago" "$store/meta/$garbage.json"
btrfs subvolume create "$store/volumes/$garbage" >/dev/null
random "$store/volumes/$garbage/file" 40
exercise "the store's filesystem" "Delete snapshots, or free space on that filesystem"
check_not "garbage goes before anything is refused" test -e "$store/volumes/$garbage"
stop
take_disk_away

test_case "free space that cannot be read"
store=$scratch/store
CKPTFS_FAILPOINT=space.read=5 serve
run ckpt checkpoint -w "$m/w" -s unseen
check_eq "0 w/unseen" "$status $output" "a checkpoint all the same"
check_match "^ckpt: The free space cannot be read" "$errors" "its warning"
check_match "The free space cannot be read" "$(status_of '.warnings[]')" "ckpt status"
stop

# failing WHY REMEDY: every command that would change something fails so, and the rest tells the state.
failing() {
    local why=$1 remedy=$2 command
    run ckpt status --mount "$m"
    check_eq 1 "$status" "exit status of ckpt status"
    check_match "state +read-only" "$output" "the state for people"
    check_match "WARNING +${why^}.*\. $remedy.*\." "$output" "why, and what to do"
    check_not "a larger image is no remedy" grep -q "size=" <<<"$output"
    run ckpt status --mount "$m" --format json
    check_eq 1 "$status" "exit status with JSON"
    check_eq "read-only" "$(jq -r .state <<<"$output")" "the state"
    check_match "^$why" "$(jq -r .reason <<<"$output")" "the reason"
    check_match "^$remedy" "$(jq -r .remedy <<<"$output")" "what to do"
    for command in "checkpoint -w $m/w" "rollback -w $m/w -s one" "delete -w $m/w -s one" \
        "fork -w $m/w -s one other" "pin -w $m/w -s one" "init $m/new" "forget --yes $m/w" \
        "config -w $m/w limit.snapshots 5" "cleanup -w $m/w --keep-last 1"; do
        # shellcheck disable=SC2086 # words
        run ckpt $command
        check_eq "1 1" "$status $(wc -l <<<"$errors")" "ckpt $command: $errors"
        check_match ": $why.*\. $remedy.*\.$" "$errors" "ckpt $command"
    done
    refused "Read-only file system" mkdir "$m/.snapshots/w/more"
    refused "Read-only file system" rmdir "$m/.snapshots/w/one"
    check "the list" ckpt list -w "$m/w"
}

# well: the store is mounted again, and has what had been synced.
well() {
    run ckpt status --mount "$m"
    check_eq 0 "$status" "ckpt status: $output"
    check_eq "ok null null" "$(status_of '"\(.state) \(.reason) \(.remedy)"')" "the state"
    check_eq "kept $sum" "$(cat "$m/w/note") $(md5sum <"$m/w/synced")" "what had been synced"
    check_eq "kept" "$(cat "$m/.snapshots/w/one/note")" "the snapshot"
    check "a checkpoint" mkdir "$m/.snapshots/w/after"
    check_eq "no problems found" "$(ckpt fsck --mount "$m" 2>&1)" "fsck"
}

prepare() {
    mkdir "$m/w" && echo kept >"$m/w/note" && mkdir "$m/.snapshots/w/one"
    random "$m/w/synced" 8
    sum=$(md5sum <"$m/w/synced")
}

well_after_a_mount() {
    stop
    serve
    well
    stop
    take_disk_away
}

# fill_after MIB: takes all space from a store that has so much in memory only.
fill_after() {
    prepare
    dd if=/dev/urandom of="$m/w/unsynced" bs=1M count="$1" status=none
    fill_disk
}

is_stopped() { [[ $(status_of .state) == read-only ]]; }
has_lost() { [[ $(status_of .state) == lost-writes ]]; }

test_case "a disk below that is full from one moment to the next: what was not on disk is lost, and no more"
make_disk ext4 600M
store=$disk/store
serve backend=btrfs-loop,size=400M
fill_after 60
check_not "what is not on disk" sync "$m/w/unsynced"
check "a snapshot is deleted" rmdir "$m/.snapshots/w/one"
rm "$disk"/filler*
await 10 "ckpt status tells" has_lost
await 10 "a checkpoint again" mkdir -p "$m/.snapshots/w/one"
check "the store goes on" test "$(status_of .state)" != read-only
well_after_a_mount

test_case "the same on tmpfs, where the blocks of metadata are not allocated in advance"
make_disk tmpfs 600M
store=$disk/store
serve backend=btrfs-loop,size=400M
fill_after 60
check_not "what is not on disk" sync "$m/w/unsynced"
await 60 "the filesystem has turned read-only" is_stopped
stopped_by_disk=("the filesystem in the store's image has turned read-only, as the disk below it was full"
    "Free space on that disk, then unmount and mount again")
failing "${stopped_by_disk[@]}"
rm "$disk"/filler*
failing "${stopped_by_disk[@]}"
well_after_a_mount

failed_disk="See the kernel's log \(dmesg\) and to the disk, then unmount and mount again"

test_case "a disk that fails below an image"
make_disk ext4 600M
store=$disk/store
serve backend=btrfs-loop,size=400M
prepare
mount -o remount,abort "$disk" || fail "abort the filesystem of the disk"
check_not "a checkpoint" mkdir "$m/.snapshots/w/more"
await 60 "the filesystem has turned read-only" is_stopped
failing "the filesystem in the store's image has turned read-only, most likely after an error of its disk" \
    "$failed_disk"
stop
take_disk_away
e2fsck -fy "$scratch/disk.img" >/dev/null 2>&1
mount -o loop "$scratch/disk.img" "$disk"
serve
well
stop
take_disk_away

test_case "a disk that fails below a store on btrfs"
make_disk ext4 300M
truncate -s 400M "$disk/btrfs.img" && mkfs.btrfs -q "$disk/btrfs.img" >/dev/null 2>&1
mkdir "$scratch/btrfs"
mount -o loop "$disk/btrfs.img" "$scratch/btrfs"
mounts+=("$scratch/btrfs")
store=$scratch/btrfs/store
serve backend=btrfs-base
fill_after 40
check_not "what is not on disk" sync "$m/w/unsynced"
await 60 "the filesystem has turned read-only" is_stopped
failing "the filesystem of the store has turned read-only, most likely after an error of its disk" "$failed_disk"
rm "$disk"/filler*
stop
check "unmount the disk" unmount "$scratch/btrfs"
mount -o loop "$disk/btrfs.img" "$scratch/btrfs"
serve
well
stop
check "unmount the disk" unmount "$scratch/btrfs"
take_disk_away

test_case "an image larger than its disk: writes are lost, and the store goes on"
make_disk ext4 400M
store=$disk/store
serve backend=btrfs-loop,size=1G
fill_after 30
run sync "$m/w/unsynced"
check_match "No space left on device|Input/output error" "$errors" "fsync"
rm "$disk"/filler*
await 10 "ckpt status tells" has_lost
run ckpt status --mount "$m"
check_eq 1 "$status" "exit status"
check_match "has lost some of what programs wrote, as the disk below it was full" "$output" "the reason"
check "checkpoints go on" ckpt checkpoint -w "$m/w" -s beside
well_after_a_mount
