#!/bin/bash
# The thin pool: its cost, what it frees, how it grows, and what is refused.
# shellcheck source-path=SCRIPTDIR source=../lib/harness.sh
. "$(dirname "${BASH_SOURCE[0]}")/../lib/harness.sh"
has_device_mapper || skip_test "this kernel has no device-mapper; tests/vm runs this"

store=$scratch/store m=$scratch/mnt
data=$store/pool/data.img metadata=$store/pool/metadata.img
held_mib() { echo $(($(stat -c %b "$1") / 2048)); }
holds_less() { (($(held_mib "$data") < $1)); }
settled() { [[ -z $(find "$store/thin" -name '*.destroyed') ]]; }
write_mib() { dd if=/dev/urandom of="$1" bs=1M count="$2" conv=fsync status=none; }

test_case "a new store"
mount_store "$store" "$m" backend=dm-thin,size=192M || exit 1
mkdir "$m/w" "$m/other" && echo kept >"$m/other/file" && echo kept >"$m/w/file"
check_eq "$((192 << 20))" "$(stat -c %s "$data")" "size of the pool"
check "it takes little" holds_less 20

test_case "snapshots share what they have in common"
write_mib "$m/w/big" 40 && sum=$(md5sum <"$m/w/big")
before=$(held_mib "$data")
for i in 1 2 3 4 5; do mkdir "$m/.snapshots/w/s$i"; done
check "five snapshots of 40 MiB" holds_less $((before + 5))
usage=$(ckpt df --snapshots --mount "$m" --format json)
check "what one refers to" test "$(jq '[.. | objects | select(.name? == "s1")][0].referenced_bytes' <<<"$usage")" -gt $((40 << 20))
check "what one has for itself" test "$(jq '[.. | objects | select(.name? == "s1")][0].exclusive_bytes' <<<"$usage")" -lt $((5 << 20))

test_case "what is removed is the disk's again"
write_mib "$m/other/removed" 40
before=$(held_mib "$data")
rm "$m/other/removed" && sync -f "$m/other"
await 20 "files that were removed" holds_less $((before - 30))
rm "$m/w/big"
for s in "$m"/.snapshots/w/*; do rmdir "$s"; done
await 20 "snapshots that were deleted" settled
await 20 "space of what they held" holds_less $((before - 65))

test_case "a full pool is 'no space left' for who writes, and nothing else"
run "$harness_directory/write-on" "$m/w/big"
check_match "No space left on device" "$errors" "writing on"
size=$(stat -c %s "$m/w/big") && sum=$(md5sum <"$m/w/big")
check "most of the pool was used" test "$size" -gt $((100 << 20))
check_eq "kept kept" "$(cat "$m/w/file" "$m/other/file" | paste -sd ' ')" "what was there"

test_case "a larger pool"
cd / && check "unmount" unmount_store "$store" "$m"
refused "cannot be made smaller" ckptfs -o size=64M "$store" "$m"
mount_store "$store" "$m" size=384M || exit 1
check_eq "$((384 << 20))" "$(stat -c %s "$data")" "size"
check_eq "$sum" "$(md5sum <"$m/w/big")" "what was written"
check "it goes on" write_mib "$m/other/more" 100
mkdir "$m/.snapshots/other/s" && rm "$m/w/big"
run ckpt fsck --mount "$m"
check_eq "0 no problems found" "$status $output" "ckpt fsck ($errors)"

test_case "metadata of another moment is refused, and put back is used"
check "unmount" unmount_store "$store" "$m"
cp --sparse=always "$store/pool/state" "$scratch/state"
cp --sparse=always "$metadata" "$scratch/metadata"
mount_store "$store" "$m" || exit 1
for i in 1 2 3; do mkdir "$m/.snapshots/w/t$i"; done
check "unmount" unmount_store "$store" "$m"
cp --sparse=always "$metadata" "$scratch/newer"
cp --sparse=always "$scratch/metadata" "$metadata"
refused "its metadata does not match the recorded state" ckptfs "$store" "$m"
check_match "[Pp]ut the files" "$errors" "what to do"
check_eq '' "$(dmsetup ls | grep CKPTFS)" "devices after that"
cp --sparse=always "$scratch/newer" "$metadata"
mount_store "$store" "$m" || exit 1
check_eq "t1 t2 t3" "$(find "$m/.snapshots/w" -mindepth 1 -maxdepth 1 -name 't*' -printf '%f\n' | sort | paste -sd ' ')" "snapshots"

test_case "metadata that needs to be checked is refused with the mend"
check "unmount" unmount_store "$store" "$m"
python3 - "$metadata" <<'PYTHON'
# Sets the flag in the superblock (drivers/md/dm-thin-metadata.c): a crc32c, inverted and mixed with
# a number of its own, over all behind it; then the flags.
import sys

def crc32c(data):
    crc = 0xFFFFFFFF
    for byte in data:
        crc ^= byte
        for _ in range(8):
            crc = crc >> 1 ^ (0x82F63B78 if crc & 1 else 0)
    return crc

with open(sys.argv[1], "r+b") as file:
    block = bytearray(file.read(4096))
    assert int.from_bytes(block[:4], "little") == crc32c(block[4:]) ^ 160774
    block[4] |= 1
    block[:4] = (crc32c(block[4:]) ^ 160774).to_bytes(4, "little")
    file.seek(0)
    file.write(block)
PYTHON
refused "which needs to be checked" ckptfs "$store" "$m"
check_match "thin_check --clear-needs-check-flag" "$errors" "what to do"
check_eq '' "$(dmsetup ls | grep CKPTFS)" "devices after that"
check "the mend" thin_check -q --clear-needs-check-flag "$metadata"
mount_store "$store" "$m" || exit 1
check_eq "kept kept" "$(cat "$m/w/file" "$m/other/file" | paste -sd ' ')" "what was there"

test_case "what a killed daemon was about to give back is given back"
rm -f "$m/other/more" && rmdir "$m/.snapshots/other/s"
kill_daemon "$store"
umount -l "$m" 2>/dev/null
mount_store "$store" "$m" || exit 1
await 20 "snapshots that were deleted" settled

test_case "what could not be given back is tried again"
check "unmount" unmount_store "$store" "$m"
CKPTFS_FAILPOINT=reclaim.before-discard=5@1 CKPTFS_FAILPOINT_TRACE=$scratch/trace mount_store "$store" "$m" || exit 1
mkdir "$m/.snapshots/other/s" && rmdir "$m/.snapshots/other/s"
await 30 "a snapshot that was deleted" settled
check_eq 2 "$(grep -c '^reclaim.before-discard$' "$scratch/trace")" "how often it was tried"

test_case "without its mark and its catalog the store is refused, and not made anew"
cp "$store/lock" "$scratch/lock"
check "unmount" unmount_store "$store" "$m"
mkdir "$scratch/away" && mv "$store/dm-thin.json" "$store/catalog.db" "$scratch/away" && cp "$scratch/lock" "$store/lock"
refused "it is not there, and volumes are" ckptfs -o backend=dm-thin,size=192M "$store" "$m"
check_match "[Pp]ut the store's files back" "$errors" "what to do"
mv "$scratch"/away/* "$store"
mount_store "$store" "$m" || exit 1
check_eq "kept kept" "$(cat "$m/w/file" "$m/other/file" | paste -sd ' ')" "what was there"

test_case "a pool on devices"
check "unmount" unmount_store "$store" "$m"
truncate -s 128M "$scratch/d" && truncate -s 8M "$scratch/m"
d=$(losetup -f --show "$scratch/d") && m2=$(losetup -f --show "$scratch/m") || exit 1
# Detached when this script ends, however it does.
exec {hold_d}<"$d" {hold_m2}<"$m2"
losetup -d "$d" "$m2"
refused "one of pool_data= and pool_metadata= is missing" ckptfs -o "backend=dm-thin,pool_data=$d" "$scratch/devices" "$m"
mkfs.ext4 -q "$d"
refused "something is on it" ckptfs -o "backend=dm-thin,size=64M,pool_data=$d,pool_metadata=$m2" "$scratch/devices" "$m"
wipefs -qa "$d"
mount_store "$scratch/devices" "$m" "backend=dm-thin,size=64M,pool_data=$d,pool_metadata=$m2" || exit 1
mkdir "$m/w" && write_mib "$m/w/big" 20 && mkdir "$m/.snapshots/w/s" && sum=$(md5sum <"$m/w/big")
check "unmount" unmount_store "$scratch/devices" "$m"
refused "its pool is on $d" ckptfs -o "pool_data=$m2" "$scratch/devices" "$m"
# As another device of that name would look.
dd if="$m2" of="$scratch/superblock" bs=4096 count=1 iflag=direct status=none
dd if=/dev/zero of="$m2" bs=4096 count=1 conv=fsync status=none
refused "$m2 does not hold its metadata" ckptfs "$scratch/devices" "$m"
check "nothing was written to it" cmp -n 4096 /dev/zero "$m2"
dd if="$scratch/superblock" of="$m2" bs=4096 count=1 conv=fsync status=none
# The first block of the data is the first that the pool gave out: that of its mark.
dd if="$d" of="$scratch/block" bs=64K count=1 iflag=direct status=none
dd if=/dev/zero of="$d" bs=64K count=1 oflag=direct status=none
refused "$d does not hold its data" ckptfs "$scratch/devices" "$m"
refused "$d does not hold its data" ckptfs -o ro "$scratch/devices" "$m"
check "nothing was written to it" cmp -n 65536 /dev/zero "$d"
dd if="$scratch/block" of="$d" bs=64K count=1 oflag=direct status=none
mount_store "$scratch/devices" "$m" || exit 1
check_eq "$sum $sum" "$(md5sum <"$m/w/big") $(md5sum <"$m/.snapshots/w/s/big")" "what was written"
check_eq "$((128 << 20))" "$(ckpt status --mount "$m" --format json | jq .fs_total_bytes)" "size of the pool"
check "unmount" unmount_store "$scratch/devices" "$m"
refused "the data of a thin pool is on it" ckptfs -o "backend=dm-thin,size=64M,pool_data=$d,pool_metadata=$m2" "$scratch/another" "$m"
exec {hold_d}<&- {hold_m2}<&-

test_case "nothing is left over"
check_eq '' "$(dmsetup ls | grep CKPTFS)" "devices"
check_eq '' "$(losetup -nO BACK-FILE | grep "$store")" "loop devices"
check "the metadata is sound" thin_check -q "$metadata"
