#!/bin/bash
# A store whose image is larger than the free space of its disk: one user who writes endlessly, and others who
# fill that disk. Every verb succeeds or fails with "no space left"; nothing is lost; deleting works; once
# there is space again everything continues, in the same mount.
# shellcheck source=tests/lib/harness.sh
. "$(dirname "${BASH_SOURCE[0]}")/../lib/harness.sh"

truncate -s 400M "$scratch/disk.img"
mkfs.ext4 -q -b 4096 -m 0 "$scratch/disk.img" || skip_test "no mkfs.ext4"
disk=$scratch/disk
mkdir "$disk"
mount -o loop "$scratch/disk.img" "$disk" || skip_test "cannot mount ext4"
mounts+=("$disk")
store=$disk/store m=$scratch/mnt

free_mib() { df --output=avail -BM "$disk" | tail -n 1 | tr -dc 0-9; }
warnings() { (cd "$m" && ckpt status --format json) | jq -r '.warnings[]'; }
sound() {
    run ckpt fsck --mount "$m"
    check_eq "0 no problems found" "$status $output" "$1: fsck ($errors)"
    check_not "$1: the store is read-only" grep -q "turned read-only" <<<"$(warnings)"
}

# fill_disk: leaves nothing of it, as another program would; in steps, as one that is no faster than disks are.
fill_disk() {
    while dd if=/dev/zero of="$disk/filler" bs=4M count=1 oflag=append conv=notrunc status=none 2>/dev/null; do
        sleep 0.02
    done
    # To the last byte, at once and again.
    for _ in {1..3}; do
        sleep 0.2
        dd if=/dev/zero of="$disk/filler" bs=4K oflag=append conv=notrunc status=none 2>/dev/null
    done
    check_eq 0 "$(free_mib)" "free space on the disk"
}

test_case "one user writes until there is no space"
mount_store "$store" "$m" backend=btrfs-loop,size=1G || exit 1
mkdir "$m/w" "$m/v" "$m/empty"
for w in w v; do
    echo kept >"$m/$w/file"
    for s in one two three; do
        echo "$s" >"$m/$w/state"
        mkdir "$m/.snapshots/$w/$s"
    done
done
check "df tells of no more than the disk has" test "$(df --output=avail -BM "$m" | tail -n 1 | tr -dc 0-9)" -le "$(free_mib)"
run dd if=/dev/urandom of="$m/w/big" bs=1M conv=fsync status=none
check_match "No space left on device" "$errors" "writing without an end"
check "most of the disk was used" test "$(stat -c %s "$m/w/big")" -gt $((150 << 20))
check "some of it is left" test "$(free_mib)" -gt 2
sum=$(md5sum <"$m/w/big")
sound "a full image"
check_match "The disk of the store's image has [0-9]+ MiB left" "$(warnings)" "ckpt status"
check_not "a larger image is no remedy" grep -q "size=" <<<"$(warnings)"
run ckpt status --mount "$m"
check_eq 0 "$status" "which is no failure of the store ($output $errors)"
check "another user's files can be removed" rm "$m/v/file"
check "... and snapshots deleted" rmdir "$m/.snapshots/v/one"
refused "No space left on device" mkdir "$m/.snapshots/v/more"
check_eq "$sum" "$(md5sum <"$m/w/big")" "what was written"

test_case "what is deleted is room for all"
rm "$m/w/big"
# Who asks for the space has btrfs commit what was deleted.
is_back() { df "$m" >/dev/null && (($(free_mib) > 150)); }
await 40 "the disk has it" is_back
# shellcheck disable=SC2317 # called by await
is_room() { mkdir -p "$m/.snapshots/v/again" && dd if=/dev/urandom of="$m/v/file" bs=1M count=40 conv=fsync status=none; }
await 20 "others write and take checkpoints" is_room
sum=$(md5sum <"$m/v/file")

# try WHAT COMMAND...: it is done, or there is no space.
done_count=0 refused_count=0
try() {
    local what=$1
    shift
    run "$@"
    checks=$((checks + 1))
    if ((status == 0)); then
        done_count=$((done_count + 1))
    elif [[ $errors == *"No space left"* || $errors == *"no space left"* || $status -eq 6 ]]; then
        refused_count=$((refused_count + 1))
    else
        fail "$what: $errors"
    fi
}

test_case "every verb while others have filled the disk"
fill_disk
for round in 1 2; do
    try "checkpoint" mkdir "$m/.snapshots/w/n$round"
    try "checkpoint by ckpt" ckpt checkpoint -w "$m/w" -s "c$round" -m text
    try "rename of a snapshot" mv "$m/.snapshots/w/two" "$m/.snapshots/w/deux"
    [[ -e $m/.snapshots/w/two ]] || try "... and back" mv -T "$m/.snapshots/w/deux" "$m/.snapshots/w/two"
    try "message" setfattr -n user.ckptfs.message -v "in round $round" "$m/.snapshots/w/one"
    try "metadata" setfattr -n user.ckptfs.metadata -v '{"a": 1}' "$m/.snapshots/w/one"
    try "pin" setfattr -n user.ckptfs.pinned -v 1 "$m/.snapshots/w/one"
    try "rollback by name" mv -T "$m/.snapshots/w/one" "$m/w"
    try "rollback in place" mv -T "$m/.snapshots/w/one" "$m/.snapshots/w/.live"
    check_match '^(0|ENOSPC)$' "$(rename_flags 2 "$m/.snapshots/w/two" "$m/w")" "exchange"
    try "fork" mv -T "$m/.snapshots/w/one" "$m/fork$round"
    try "workspace" mkdir "$m/new$round"
    try "rename of a workspace" mv "$m/empty" "$m/void"
    [[ -e $m/empty ]] || try "... and back" mv "$m/void" "$m/empty"
    try "write" dd if=/dev/urandom of="$m/w/more$round" bs=1M count=2 conv=fsync status=none
    try "comparison" ckpt diff -w "$m/v" -f two
done
echo "    $done_count done, $refused_count refused"
check "a snapshot is deleted" rmdir "$m/.snapshots/w/three"
check_not "it is gone" test -e "$m/.snapshots/w/three"
check_eq "$sum" "$(md5sum <"$m/v/file")" "what was there"
check_eq one "$(cat "$m/.snapshots/w/one/state")" "a snapshot"
check_not "the store is read-only" grep -q "turned read-only" <<<"$(warnings)"

test_case "with room again all works, in the same mount"
rm "$disk/filler"
# shellcheck disable=SC2317
is_room() { mkdir -p "$m/.snapshots/w/room"; }
await 20 "a checkpoint" is_room
# The first to look hears of the writes that were lost while there was no space.
await 20 "a rollback" ckpt rollback -w "$m/w" -s room
for verb in "mv -T $m/.snapshots/w/room $m/w" "rmdir $m/.snapshots/w/room" "mkdir $m/later" "rmdir $m/later"; do
    # shellcheck disable=SC2086 # words
    check "$verb" $verb
done
check "writing" dd if=/dev/urandom of="$m/w/later" bs=1M count=30 conv=fsync status=none
sound "with room again"
check "unmount" unmount_store "$store" "$m"
mount_store "$store" "$m" || exit 1
check_eq "$sum" "$(md5sum <"$m/v/file")" "what was there, after a new mount"
sound "after a new mount"

# From here on another program takes each block as soon as it is free.
greedy() {
    exec 9>>"$disk/filler"
    while :; do
        dd if=/dev/zero bs=4K count=4096 status=none >&9 2>/dev/null
        sleep 0.01
    done
}

test_case "deleting beside a program that takes each free block"
for n in {1..40}; do mkdir "$m/.snapshots/w/greedy$n" || break; done
fill_disk
greedy &
greedy=$!
processes+=("$greedy")
for n in {1..20}; do
    check "a snapshot is deleted" rmdir "$m/.snapshots/w/greedy$n"
    try "message" setfattr -n user.ckptfs.message -v "$(head -c 30000 /dev/zero | tr '\0' x)$n" "$m/.snapshots/w/greedy40"
done
# unmount_full: as unmount_store, whose daemon may not have had the space to write its PID into the lock.
unmount_full() {
    unmount "$m" || return
    local fd
    { exec {fd}<"$store/lock"; } 2>/dev/null || return 0
    flock --timeout 30 "$fd" && exec {fd}<&-
}
check "unmount" unmount_full
check "mount" mount_store "$store" "$m"
for n in {21..40}; do check "a snapshot is deleted" rmdir "$m/.snapshots/w/greedy$n"; done
check "unmount" unmount_full
check "mount again" mount_store "$store" "$m"
check_eq "$sum" "$(md5sum <"$m/v/file")" "what was there"
kill_child "$greedy" KILL
wait "$greedy" 2>/dev/null
rm "$disk/filler"
is_sound() { ckpt fsck --mount "$m" >/dev/null 2>&1; }
await 20 "sidecars that were late are written" is_sound
sound "beside a greedy program"

test_case "a disk that is filled at a stroke, right after a mount and after changes"
check "unmount" unmount_full
rm -r "$store"
mount_store "$store" "$m" backend=btrfs-loop,size=256M || exit 1
mkdir "$m/w"
echo kept >"$m/w/file"
for n in {1..30}; do mkdir "$m/.snapshots/w/s$n"; done
sync -f "$m/w/file"
fallocate -l "$(df --output=avail -B1 "$disk" | tail -n 1)" "$disk/filler"
head -c 400M /dev/zero >>"$disk/filler" 2>/dev/null
for n in {1..15}; do
    check "a snapshot is deleted" rmdir "$m/.snapshots/w/s$n"
    mkdir "$m/w/d$n" && touch "$m/w/d$n/empty"
done
sync -f "$m/w/file"
check "unmount" unmount_full
check "mount on the full disk" mount_store "$store" "$m"
for n in {16..30}; do check "a snapshot is deleted" rmdir "$m/.snapshots/w/s$n"; done
check_eq kept "$(cat "$m/w/file")" "a file"
rm "$disk/filler"
await 20 "sidecars that were late are written" is_sound
sound "after that"
