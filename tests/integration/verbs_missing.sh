#!/bin/bash
# A snapshot whose volume is gone: listed, EIO on use, deleted only with --force.
# Names here are plain, and `a && b || fail` is meant as it stands.
# shellcheck disable=SC2010,SC2012,SC2015,SC2086
# shellcheck source-path=SCRIPTDIR source=../lib/harness.sh
. "$(dirname "${BASH_SOURCE[0]}")/../lib/harness.sh"

store=$scratch/store m=$scratch/mnt
mount_store "$store" "$m" || exit 1
mkdir "$m/W" && echo one >"$m/W/file"
for s in s1 lost also-lost; do mkdir "$m/.snapshots/W/$s" && echo "after $s" >"$m/W/file"; done
volumes=$(getfattr --absolute-names --only-values -n user.ckptfs.id "$m/.snapshots/W/lost" && echo &&
    getfattr --absolute-names --only-values -n user.ckptfs.id "$m/.snapshots/W/also-lost")
unmount_store "$store" "$m"
mkdir "$scratch/image" && mounts+=("$scratch/image")
mount -o loop "$store/volumes.img" "$scratch/image" || skip_test "the image cannot be mounted by hand"
for volume in $volumes; do
    check "the volume is deleted by hand" btrfs subvolume delete "$scratch/image/volumes/$volume"
done
umount "$scratch/image"
mount_store "$store" "$m" && cd "$m" || exit 1

test_case "it is shown"
check_eq $'also-lost\nlost\ns1' "$(ls -A .snapshots/W)" "names"
check "ls -l" ls -l .snapshots/W
for s in .snapshots/W/lost W/.snapshots/lost; do
    check "stat" stat $s
    check_eq missing "$(getfattr --only-values -n user.ckptfs.state $s)" "state"
    check "its other attributes" getfattr -n user.ckptfs.message $s
    check "its names" getfattr -m - $s
    refused "Input/output error" getfattr -n user.ckptfs.exclusive_bytes $s
done
check_eq ok "$(getfattr --only-values -n user.ckptfs.state .snapshots/W/s1)" "state of another"
check_eq true "$(ckpt list -w W --format json | jq '.[] | select(.name == "lost") | .missing')" "ckpt list"

test_case "EIO on use"
for s in .snapshots/W/lost W/.snapshots/lost; do
    refused "Input/output error" ls $s
    refused "Input/output error" cat $s/file
    refused "Input/output error" rmdir $s
done
refused "Input/output error" mv -T .snapshots/W/lost W
refused "Input/output error" mv -T .snapshots/W/lost .snapshots/W/.live
refused "Input/output error" mv -T .snapshots/W/lost N
check_eq EIO "$(rename_flags 2 .snapshots/W/lost W)" "exchange"
check_eq $'.snapshots\nW' "$(ls -A)" "no workspace was made"
run ckpt rollback -w W -s lost
check_eq 1 "$status" "exit status of ckpt rollback"
check_match "data is missing" "$errors" "what ckpt says"
check_eq $'also-lost\nlost\ns1' "$(ls -A .snapshots/W)" "none was kept for it"
check_eq "after also-lost" "$(cat W/file)" "the workspace"

test_case "the others go on"
check "a checkpoint" mkdir .snapshots/W/new
check "a rollback" mv -T .snapshots/W/s1 W
check_eq one "$(cat W/file)" "content"
check "a rename of a missing one" mv .snapshots/W/lost .snapshots/W/renamed

test_case "deleted by force only"
check_not "ckpt delete" ckpt delete -w W -s renamed
check "ckpt delete --force" ckpt delete -w W -s renamed --force
check_not "it is gone" test -e .snapshots/W/renamed
check "the other one" test -e .snapshots/W/also-lost
cd / && unmount_store "$store" "$m" && mount_store "$store" "$m" && cd "$m" || exit 1
check_not "it stays gone" test -e .snapshots/W/renamed
check_eq missing "$(getfattr --only-values -n user.ckptfs.state .snapshots/W/also-lost)" "the other one stays missing"
cd /
