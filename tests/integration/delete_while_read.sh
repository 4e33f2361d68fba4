#!/bin/bash
# btrfs does not let go of a volume that somebody reads as a stream: a snapshot deleted meanwhile is gone at once, and
# its space when the reader has ended, without a remount.
# shellcheck source-path=SCRIPTDIR source=../lib/harness.sh
. "$(dirname "${BASH_SOURCE[0]}")/../lib/harness.sh"

disk=$scratch/disk store=$scratch/disk/store m=$scratch/mnt
truncate -s 600M "$scratch/disk.img"
mkfs.btrfs -q "$scratch/disk.img" >/dev/null 2>&1
mkdir "$disk"
mount -o loop "$scratch/disk.img" "$disk"
mounts+=("$disk")
mount_store "$store" "$m" backend=btrfs-base || exit 1
cd "$m" || exit 1

mkdir W && head -c 20M /dev/urandom >W/file && mkdir .snapshots/W/s .snapshots/W/t
volume_of() { query "$store" "SELECT volume FROM snapshot WHERE name = '$1'"; }
path_of() { find "$disk" -maxdepth 3 -name "$1" -type d | head -n 1; }
path=$(path_of "$(volume_of s)")
check "its volume: $path" test -d "$path"

test_case "deleted while it is read"
mkfifo "$scratch/stream"
btrfs -q send -f "$scratch/stream" "$path" &
processes+=($!)
exec {reader}<"$scratch/stream"
head -c 1M <&"$reader" >/dev/null
check "rmdir" rmdir .snapshots/W/s
check_not "it is gone" test -e .snapshots/W/s
check "its volume is there, as it is read" test -d "$path"
check "nothing is wrong" ckpt fsck
check "others come and go meanwhile" rmdir .snapshots/W/t
sleep 1.5
check "it is still read" test -d "$path"

test_case "when the reader has ended"
exec {reader}<&-
is_gone() { [[ ! -d $path ]]; }
await 10 "the volume goes" is_gone
is_clean() { [[ $(query "$store" "SELECT count(*) FROM tombstone") == 0 ]]; }
await 10 "and what remembered it" is_clean
check "nothing is wrong" ckpt fsck
cd / || exit 1
