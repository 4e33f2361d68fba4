#!/bin/bash
# A store on btrfs: the backend is chosen automatically, there is no image, and every verb works the same.
# shellcheck source=tests/lib/harness.sh
. "$(dirname "${BASH_SOURCE[0]}")/../lib/harness.sh"

disk=$scratch/disk
store=$disk/store
mnt=$scratch/mnt
truncate -s 600M "$scratch/disk.img"
mkfs.btrfs -q "$scratch/disk.img" >/dev/null 2>&1
mkdir "$disk" "$mnt"
mount -o loop "$scratch/disk.img" "$disk" || skip_test "cannot mount btrfs"
mounts+=("$disk")
mounts+=("$mnt")

backend() { ckpt status --mount "$mnt" --format json | jq -r "$1"; }

test_case "size= is about images only"
run ckptfs -o size=256M "$store" "$mnt"
check_eq "32 1" "$status $(wc -l <<<"$errors")" "exit status and lines: $errors"
check_match "size" "$errors" "why"
check_not "nothing is made" test -e "$store/catalog.db"
rm -rf "$store"

test_case "auto picks btrfs-base, and says how"
check "mount" ckptfs "$store" "$mnt"
check_eq btrfs-base "$(backend .backend.type)" "type"
check_match "auto.*btrfs" "$(backend .backend.selection)" "selection"
check_not "no image" test -e "$store/volumes.img"
check_eq "" "$(losetup -n -O NAME -j "$store/volumes.img")" "no loop device"

test_case "every verb"
mkdir "$mnt/w" "$mnt/v"
echo one >"$mnt/w/file"
mknod "$mnt/w/fifo" p
one=$(manifest "$mnt/w")
check "checkpoint" mkdir "$mnt/.snapshots/w/one"
echo two >"$mnt/w/file"
rm "$mnt/w/fifo"
two=$(manifest "$mnt/w")
check "checkpoint" mkdir "$mnt/w/.snapshots/two"
check_eq "$one" "$(manifest "$mnt/.snapshots/w/one")" "the first"
check "rollback" mv -T "$mnt/.snapshots/w/one" "$mnt/w"
check_eq "$one" "$(manifest "$mnt/w")" "rolled back"
check "rollback in place" mv -T "$mnt/w/.snapshots/two" "$mnt/w/.snapshots/.live"
check_eq "$two" "$(manifest "$mnt/w")" "rolled back in place"
echo three >"$mnt/w/file"
check_eq 0 "$(rename_flags 2 "$mnt/.snapshots/w/one" "$mnt/w")" "exchange"
check_eq "$one" "$(manifest "$mnt/w")" "exchanged"
check_eq three "$(cat "$mnt/.snapshots/w/one/file")" "what was live before"
check "fork" mv -T "$mnt/.snapshots/w/two" "$mnt/fork"
check_eq "$two" "$(manifest "$mnt/fork")" "forked"
check "promote" mv -T "$mnt/.snapshots/w/two" "$mnt/v"
check_eq "$two" "$(manifest "$mnt/v")" "promoted"
check "rename" mv "$mnt/.snapshots/w/two" "$mnt/.snapshots/w/zwei"
check "delete" rmdir "$mnt/.snapshots/w/zwei"
check_not "deleted" test -e "$mnt/.snapshots/w/zwei"
check_match "M.*file" "$(ckpt diff -w "$mnt/w" -f one)" "diff"
mkdir "$mnt/.snapshots/w/busy"
check "fsck" ckpt fsck --mount "$mnt"
check "statfs" test "$(df --output=size -m "$mnt/w" | tail -n 1)" -gt 400

test_case "kill -9 leaves no mount, and nothing is lost"
state=$(manifest "$mnt")
kill_daemon "$store"
check_eq "$disk" "$(findmnt -rn -t btrfs -o TARGET | grep -F "$scratch")" "mounts of btrfs"
check "mount" ckptfs "$store" "$mnt"
check_eq false "$(backend .clean_start)" "clean_start"
check_eq "$state" "$(manifest "$mnt")" "what is there"
check "unmount" unmount_store "$store" "$mnt"

test_case "the law: moved to another filesystem, it is refused"
check "with another backend asked for" test "$(
    ckptfs -o backend=btrfs-loop "$store" "$mnt" 2>/dev/null
    echo $?
)" -eq 32
mkdir "$scratch/elsewhere"
cp "$store/catalog.db" "$scratch/elsewhere/"
run ckptfs "$scratch/elsewhere" "$mnt"
check_eq "32 1" "$status $(wc -l <<<"$errors")" "exit status and lines: $errors"
check_match "btrfs-base.*concerned: fork, v, w" "$errors" "why"
check_eq catalog.db "$(ls "$scratch/elsewhere")" "nothing is made there"
check "the disk can be unmounted: nothing holds it" umount "$disk"
