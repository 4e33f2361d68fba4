#!/bin/bash
# Ordinary files behave on ckptfs as on native btrfs: one program with all expectations (tests/posix) runs on
# btrfs itself, which shows that the expectations are btrfs's own, then in a workspace, then in a workspace of
# a daemon without passthrough.
#
# CKPTFS_POSIX_ENTRIES: number of files in the largest directory; 100000 in the long form.
# CKPTFS_POSIX_OPERATIONS: number of random operations on a file in a workspace; 20000 in the long form.
# shellcheck source=tests/lib/harness.sh
. "$(dirname "${BASH_SOURCE[0]}")/../lib/harness.sh"

lib=$(dirname "${BASH_SOURCE[0]}")/../lib
program=$bin/posix_tests
[[ -x $program ]] || skip_test "posix_tests is not built"

# run_tests NAME [ENVIRONMENT...] [ARGUMENT...]
run_tests() {
    local name=$1
    shift
    checks=$((checks + 1))
    if ! env "$@" >"$scratch/$name.log" 2>&1; then
        fail "posix_tests on $name:"
        # The failures, each with what was expected, and the list at the end.
        grep -A 12 -E ': Failure|FAILED' "$scratch/$name.log" | cut -c1-300 | head -n 200
    fi
    grep -E '^\[  (PASSED|SKIPPED)' "$scratch/$name.log"
}

entries=${CKPTFS_POSIX_ENTRIES:-20000}
operations=${CKPTFS_POSIX_OPERATIONS:-6000}
chmod 0755 "$scratch"  # other users go through it

test_case "native btrfs"
truncate -s 3G "$scratch/native.img"
mkfs.btrfs -q "$scratch/native.img" >/dev/null || skip_test "no mkfs.btrfs"
mkdir "$scratch/native"
mount -o loop "$scratch/native.img" "$scratch/native" || skip_test "cannot mount btrfs"
mounts+=("$scratch/native")
mkdir "$scratch/native/w" "$scratch/native/w2"
run_tests native POSIX_TEST_DIR="$scratch/native/w" POSIX_TEST_DIR2="$scratch/native/w2" \
    POSIX_TEST_OPERATIONS=5000 POSIX_TEST_ENTRIES="$entries" "$program"
umount "$scratch/native"

test_case "a workspace"
mount_store "$scratch/store" "$scratch/mnt" suid,dev,size=3G || exit
mkdir "$scratch/mnt/w" "$scratch/mnt/w2"
chmod 0755 "$scratch/mnt" "$scratch/mnt/w"
on_ckptfs=(
    POSIX_TEST_DIR="$scratch/mnt/w" POSIX_TEST_DIR2="$scratch/mnt/w2"
    POSIX_TEST_SNAPSHOTS="$scratch/mnt/.snapshots/w"
)
run_tests workspace "${on_ckptfs[@]}" POSIX_TEST_SEED=$RANDOM POSIX_TEST_OPERATIONS="$operations" \
    POSIX_TEST_ENTRIES="$entries" "$program"

test_case "device nodes and set-user-id programs do nothing unless asked for"
mkdir "$scratch/plain"
cp -p "$(type -P id)" "$scratch/mnt/w/id"
chown nobody "$scratch/mnt/w/id"
chmod 4755 "$scratch/mnt/w/id"
mknod -m 666 "$scratch/mnt/w/null" c 1 3
check_eq "$(id -u nobody)" "$("$scratch/mnt/w/id" -u)" "a set-user-id program with suid"
check "a device with dev" sh -c "echo x > '$scratch/mnt/w/null'"
unmount_store "$scratch/store" "$scratch/mnt"
mount_store "$scratch/store" "$scratch/mnt" || exit
check_eq 0 "$("$scratch/mnt/w/id" -u)" "a set-user-id program without suid"
refused "Permission denied" sh -c "echo x > '$scratch/mnt/w/null'"
rm "$scratch/mnt/w/id" "$scratch/mnt/w/null"
unmount_store "$scratch/store" "$scratch/mnt"

test_case "without passthrough"
mounts+=("$scratch/mnt")
"$lib/without-passthrough" "$bin/ckptfs" -o suid,dev "$scratch/store" "$scratch/mnt" || exit
run_tests no-passthrough "${on_ckptfs[@]}" POSIX_TEST_OPERATIONS=5000 POSIX_TEST_ENTRIES=5000 \
    POSIX_TEST_THROUGH_DAEMON=1 "$program"
unmount_store "$scratch/store" "$scratch/mnt"
