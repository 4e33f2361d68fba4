#!/bin/bash
# Overcommitted stores on device-mapper: workspaces get "no space left", and nothing is lost, even when
# something else fills the underlying disk.
# shellcheck source-path=SCRIPTDIR source=../lib/harness.sh
. "$(dirname "${BASH_SOURCE[0]}")/../lib/harness.sh"
has_device_mapper || skip_test "this kernel has no device-mapper; tests/vm runs this"

truncate -s 240M "$scratch/disk.img"
mkfs.ext4 -q -b 4096 -m 0 "$scratch/disk.img" || skip_test "no mkfs.ext4"
mkdir "$scratch/disk"
mount -o loop "$scratch/disk.img" "$scratch/disk" || skip_test "cannot mount ext4"
mounts+=("$scratch/disk")
store=$scratch/disk/store m=$scratch/mnt
free_mib() { df --output=avail -BM "$scratch/disk" | tail -n 1 | tr -dc 0-9; }

test_case "workspaces larger than the disk"
mount_store "$store" "$m" backend=dm-snapshot,size=1G || exit 1
mkdir "$m/a" "$m/b" && echo kept >"$m/b/file" && echo kept >"$m/a/file" && mkdir "$m/.snapshots/b/s"
check "they fit" test "$(free_mib)" -gt 150

test_case "a full disk is 'no space left', in time"
run "$harness_directory/write-on" "$m/a/big"
check_match "No space left on device" "$errors" "writing on"
check "some of the disk is still free" test "$(free_mib)" -gt 2
check_eq "kept kept" "$(cat "$m/a/file" "$m/b/file" | paste -sd ' ')" "what was there"
size=$(stat -c %s "$m/a/big")
sum=$(md5sum <"$m/a/big")
check "most of the disk was used" test "$size" -gt $((80 << 20))
refused "No space left on device" mkdir "$m/.snapshots/a/s"
check "the rest can be read" ls -R "$m"
rm "$m/a/file" && check "and deleted" rmdir "$m/.snapshots/b/s"

test_case "space for others is space for workspaces"
cd / && check "unmount" unmount_store "$store" "$m"
mount_store "$store" "$m" || exit 1
check_eq "$sum" "$(md5sum <"$m/a/big")" "what was written"
rm "$m/a/big" && check "a workspace is removed" rmdir "$m/a"
is_back() { (($(free_mib) > 150)); }
await 5 "its space is back" is_back
check "others grow" dd if=/dev/urandom of="$m/b/more" bs=1M count=30 conv=fsync status=none

test_case "a workspace on xfs gets 'no space left' as well"
if modprobe xfs 2>/dev/null || grep -qw xfs /proc/filesystems; then
    mkdir "$scratch/empty"
    check "a template" ckpt template add x "$scratch/empty" --mount "$m" --filesystem xfs --size 512M
    check "a workspace" ckpt init --template x "$m/x"
    run "$harness_directory/write-on" "$m/x/big"
    check_match "No space left on device" "$errors" "writing on"
    check "some of the disk is still free" test "$(free_mib)" -gt 2
    rm "$m/x/big" && check "it is removed" rmdir "$m/x"
    check "the template is removed" ckpt template rm x --mount "$m"
else
    echo "SKIPPED: this kernel has no xfs"
fi

# fill_disk: leaves nothing, as another program would.
fill_disk() {
    dd if=/dev/zero of="$scratch/disk/filler" bs=1M status=none 2>/dev/null
    check_eq 0 "$(free_mib)" "free space"
}

test_case "somebody else fills the disk for a while"
mkdir "$m/c" "$m/b/directory" && echo other >"$m/c/file" && mkdir "$m/.snapshots/c/s"
sync "$m/b/more" "$m/b/file"
sum=$(md5sum <"$m/b/more")
exec {held}<"$m/b/directory"
fill_disk
run dd if=/dev/urandom of="$m/b/lost" bs=1M count=20 conv=fsync status=none
check_not "writing" test "$status" -eq 0
stopped() { (cd "$m" && ckpt status) | grep -q "workspace b has stopped"; }
await 10 "ckpt status tells" stopped
run bash -c 'echo >"$1"' bash "$m/b/refused"
check_match "No space left on device" "$errors" "what would change it"
check_eq "other 1" "$(cat "$m/c/file") $(find "$m/.snapshots/c/s" -name file | wc -l)" "another workspace"
rm "$scratch/disk/filler"
await 20 "it takes changes again, with nobody's help" touch "$m/b/again"
check "a directory that was held is in use again" test -d "/proc/self/fd/$held"
check "and takes files" touch "/proc/$$/fd/$held/new"
check_eq new "$(ls "$m/b/directory")" "which the name leads to"
exec {held}<&-
check_eq "kept $sum" "$(cat "$m/b/file") $(md5sum <"$m/b/more")" "what was there"
check "writing" dd if=/dev/urandom of="$m/b/after" bs=1M count=5 conv=fsync status=none
mkdir "$m/.snapshots/b/revived"
check_eq "$(md5sum <"$m/b/after")" "$(md5sum <"$m/.snapshots/b/revived/after")" "a checkpoint"
check_not "ckpt status has forgotten it" stopped
rm -f "$m/b/lost" "$m/b/after" && rmdir "$m/.snapshots/b/revived"

test_case "somebody else fills the disk"
sync "$m/b/more" "$m/b/file"
sum=$(md5sum <"$m/b/more")
fill_disk
run dd if=/dev/urandom of="$m/b/lost" bs=1M count=20 conv=fsync status=none
check_not "writing" test "$status" -eq 0
umount "$m" || umount -l "$m"
flock --timeout 20 "$store/lock" true
rm "$scratch/disk/filler"
mount_store "$store" "$m" || exit 1
check_eq kept "$(cat "$m/b/file")" "what was there"
check_eq "$sum" "$(md5sum <"$m/b/more")" "what had been synced"
check "it can be written to again" dd if=/dev/urandom of="$m/b/again" bs=1M count=5 conv=fsync status=none
mkdir "$m/.snapshots/b/after"
run timeout -s KILL 60 ckpt fsck --mount "$m"
check_eq "0 no problems found" "$status $output" "ckpt fsck ($errors)"
check "unmount" unmount_store "$store" "$m"
