#!/bin/bash
# -o ro is for rescue: on a disk that is read-only or full, after a killed daemon, with a damaged catalog.
# Nothing is written, and everything that was there is visible.
# shellcheck source=tests/lib/harness.sh
. "$(dirname "${BASH_SOURCE[0]}")/../lib/harness.sh"

mnt=$scratch/mnt
other=$scratch/other
disk=$scratch/disk
mkdir "$mnt" "$other" "$disk"

status_of() { ckpt status --mount "$mnt" --format json | jq -r "$1"; }
attach_disk() { mount "${@:2}" "$scratch/$1.img" "$disk" && mounts+=("$disk"); }
# A lock that is there says only whose it was last.
store_files() { find "$disk/store" -mindepth 1 \( -name lock -printf '%P\n' -o -printf '%P %s %T@\n' \) | sort; }
no_loop_on_store() { [[ -z $(losetup -n -O NAME -j "$disk/store/volumes.img") ]]; }

# fill_store OPTIONS: a store on the disk, with a checkpoint that its catalog.db has, and one that is in the
# log beside that.
fill_store() {
    check "mount" mount_store "$disk/store" "$mnt" "$1"
    mkdir "$mnt/w"
    echo one >"$mnt/w/file"
    mkdir "$mnt/.snapshots/w/early"
    unmount_store "$disk/store" "$mnt"
    check "mount" mount_store "$disk/store" "$mnt"
    echo two >"$mnt/w/file"
    mkdir "$mnt/.snapshots/w/late"
    echo three >"$mnt/w/file"
}

# stop clean|killed: ends the daemon, and leaves the disk without a user.
stop() {
    if [[ $1 == clean ]]; then
        unmount_store "$disk/store" "$mnt"
        check_not "a lock is left" test -e "$disk/store/lock"
    else
        kill_daemon "$disk/store"
        umount "$mnt"
        await 5 "the image is detached" no_loop_on_store
        check "a lock is left" test -e "$disk/store/lock"
        check "something is in the log" test -s "$disk/store/catalog.db-wal"
    fi
}

# reads CLEAN: -o ro shows all of it.
reads() {
    run mount_store "$disk/store" "$mnt" ro
    check_eq "0 " "$status $errors" "mount -o ro"
    check_eq "one two three" "$(cat "$mnt"/.snapshots/w/{early,late}/file "$mnt/w/file" | xargs)" "what is in it"
    check_eq "$1 true" "$(status_of '"\(.clean_start) \(.read_only)"')" "what ckpt status says"
    refused "Read-only file system" touch "$mnt/w/x"
    refused "Read-only file system" mkdir "$mnt/.snapshots/w/x"
    run ckpt diff -w "$mnt/w" -f early -t late
    check_match "file" "$output" "ckpt diff ($errors)"
    # After a kill it tells of sidecars that are out of date.
    [[ $1 == false ]] || check "ckpt fsck" ckpt fsck --mount "$mnt"
    local start=$SECONDS
    run ckptfs -o ro "$disk/store" "$other"
    check_match "lock the store: .*mount" "$errors" "a second mount"
    check "it is refused at once" test $((SECONDS - start)) -lt 5
    umount "$mnt"
    # There may be no lock to wait for.
    local i
    for ((i = 0; i < 500; i++)); do
        flock --nonblock "$disk/store" true && break
        sleep 0.02
    done
}

for backend in btrfs-loop btrfs-base; do
    for how in clean killed; do
        test_case "$backend, $how, on a disk that is read-only"
        truncate -s 400M "$scratch/disk.img"
        if [[ $backend == btrfs-loop ]]; then
            mkfs.ext4 -q -N 2000 "$scratch/disk.img" # few, as all of them get used
        else
            mkfs.btrfs -q "$scratch/disk.img" >/dev/null 2>&1
        fi
        attach_disk disk -o loop
        options=backend=$backend
        [[ $backend != btrfs-loop ]] || options+=,size=200M
        fill_store "$options"
        stop "$how"
        umount "$disk"
        cp --sparse=always "$scratch/disk.img" "$scratch/before.img"
        attach_disk disk -o ro,loop
        check_eq 1 "$(losetup -n -O RO -j "$scratch/disk.img" | xargs)" "the device is read-only"
        run mount_store "$disk/store" "$mnt"
        check_eq "32 1" "$status $(wc -l <<<"$errors")" "without -o ro: $errors"
        check_match "[Rr]ead-only.*-o ro" "$errors" "what to do"
        reads "$([[ $how == clean ]] && echo true || echo false)"
        check "the disk is free" umount "$disk"
        check "nothing was written to the disk" cmp "$scratch/disk.img" "$scratch/before.img"
        rm "$scratch/before.img"

        test_case "$backend, $how, on a disk that is full"
        attach_disk disk -o loop
        dd if=/dev/zero of="$disk/filler" bs=1M status=none 2>/dev/null
        dd if=/dev/zero of="$disk/filler2" bs=4k status=none 2>/dev/null
        for ((i = 0; i < 200000; i++)); do : >"$disk/f$i" || break; done 2>/dev/null
        before=$(store_files)
        reads "$([[ $how == clean ]] && echo true || echo false)"
        check_eq "$before" "$(store_files)" "what is in the store"
        umount "$disk"
        rm "$scratch/disk.img"
    done
done

store=$scratch/store
test_case "a checkpoint that was killed before the catalog had it"
check "mount" mount_store "$store" "$mnt" backend=btrfs-loop,size=200M
mkdir "$mnt/w"
echo one >"$mnt/w/file"
unmount_store "$store" "$mnt"
CKPTFS_FAILPOINT=checkpoint.before-commit mount_store "$store" "$mnt"
mkdir "$mnt/.snapshots/w/s" 2>/dev/null
umount "$mnt"
await_stores
cp -a --sparse=always "$store" "$scratch/killed"
check "mount" mount_store "$store" "$mnt" ro
check_eq one "$(cat "$mnt/.snapshots/w/s/file")" "it is there"
umount "$mnt"
await_stores
check "nothing was written" cmp "$store/catalog.db" "$scratch/killed/catalog.db"
check "nothing was written" cmp "$store/volumes.img" "$scratch/killed/volumes.img"
check "the next mount finds that it was unclean" mount_store "$store" "$mnt"
check_eq false "$(status_of .clean_start)" "clean_start"
check_eq one "$(cat "$mnt/.snapshots/w/s/file")" "it is there"

test_case "a log of btrfs that would have to be written back"
echo synced >"$mnt/w/synced"
sync "$mnt/w/synced"
cp -a --sparse=always "$store" "$scratch/cut" # as power would leave it
unmount_store "$store" "$mnt"
before=$(sha256sum <"$scratch/cut/volumes.img")
check "mount" mount_store "$scratch/cut" "$mnt" ro
check_eq one "$(cat "$mnt/.snapshots/w/s/file")" "what is in it"
check_match "volumes.img is read-only after an unclean stop.*Mount it once so that it can be written" \
    "$(status_of '.warnings[]')" "what ckpt status says"
umount "$mnt"
await_stores
check_eq "$before" "$(sha256sum <"$scratch/cut/volumes.img")" "the image"
check "mount" mount_store "$scratch/cut" "$mnt"
check_eq synced "$(cat "$mnt/w/synced")" "what the log held"
check_eq "" "$(status_of '.warnings[]' | grep read-only)" "warnings"
unmount_store "$scratch/cut" "$mnt"

test_case "a catalog that is damaged, or gone"
for damage in "truncate -s 5000" "rm"; do
    $damage "$store/catalog.db"
    before=$(cd "$store" && sha256sum -- *)
    check "mount" ckptfs -o ro "$store" "$mnt"
    check_eq one "$(cat "$mnt/.snapshots/w/s/file")" "what is in it"
    check_match "rebuilt from the sidecars" "$(status_of '.warnings[]')" "what ckpt status says"
    umount "$mnt"
    await_stores
    check_eq "$before" "$(cd "$store" && sha256sum -- *)" "the store"
done
check "mount" ckptfs "$store" "$mnt"
check_eq one "$(cat "$mnt/.snapshots/w/s/file")" "what is in it"
unmount_store "$store" "$mnt"
