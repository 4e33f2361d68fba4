#!/bin/bash
# Random operations on files, each checked against a model in memory (see tests/fsx): on native btrfs, which
# shows that the expectations are btrfs's own, and in workspaces, with checkpoints and rollbacks in between.
#
# CKPTFS_FSX_OPERATIONS: number of operations of each of two jobs; 1000000 for the long form.
# CKPTFS_FSX_SEED: determines the operations; by default random, and printed.
# CKPTFS_FSX_CASES: which of native, io_uring, dev_fuse and daemon.
# shellcheck source-path=SCRIPTDIR source=../lib/harness.sh
. "$(dirname "${BASH_SOURCE[0]}")/../lib/harness.sh"
# shellcheck source-path=SCRIPTDIR source=../lib/uring_switch.sh
. "$harness_directory/uring_switch.sh"

program=$bin/ckptfs_fsx
[[ -x $program ]] || skip_test "ckptfs_fsx is not built"
operations=${CKPTFS_FSX_OPERATIONS:-6000}
seed=${CKPTFS_FSX_SEED:-$RANDOM}
cases=${CKPTFS_FSX_CASES:-native io_uring dev_fuse daemon}
echo "seed $seed"

wanted() { [[ " $cases " == *" $1 "* ]]; }

# random_operations NAME [ARGUMENT...]
random_operations() {
    local name=$1
    shift
    checks=$((checks + 1))
    "$program" --seed "$seed" --operations "$operations" --jobs 2 "$@" || fail "fsx, $name ($?)"
}

# in_workspaces NAME MOUNT-OPTIONS LOG-LINE ARGUMENTS [PREFIX...]
in_workspaces() {
    local name=$1 options=$2 line=$3 arguments=$4
    local store=$scratch/$name mnt=$scratch/$name.mnt
    shift 4
    mkdir "$store"  # else it is made small
    serve_store "$store" "$mnt" "$scratch/$name.log" "$options" "$@"
    # shellcheck disable=SC2086 # words
    random_operations "$name" --directory "$mnt" --snapshots "$mnt/.snapshots" $arguments
    run timeout -s KILL 60 ckpt fsck --mount "$mnt"
    check_eq "0 no problems found" "$status $output" "ckpt fsck ($errors)"
    check "unmount" unmount_store "$store" "$mnt"
    check "the log has '$line'" grep -q "$line" "$scratch/$name.log"
    check_eq '' "$(grep -E 'error|critical' "$scratch/$name.log")" "errors in the log"
}

if wanted native; then
    test_case "native btrfs"
    truncate -s 6G "$scratch/native.img"
    mkfs.btrfs -q "$scratch/native.img" >/dev/null || skip_test "no mkfs.btrfs"
    mkdir "$scratch/native"
    mount -o loop "$scratch/native.img" "$scratch/native" || skip_test "cannot mount btrfs"
    mounts+=("$scratch/native")
    random_operations native --directory "$scratch/native" --no-checkpoints
    test_case "a byte that is not as it should be is found"
    run "$program" --directory "$scratch/native" --operations 5000 --plant 500
    check_eq 1 "$status" "the exit status ($errors)"
    check_match "^FAILED: seed 1, job 0 of 1, operation [0-9]+ " "$output" "the report"
    umount "$scratch/native"
fi

if wanted io_uring && [[ -n $switch_before ]]; then
    test_case "requests over io_uring"
    in_workspaces io_uring size=6G,io_uring=on "requests come over io_uring" ""
fi

if wanted dev_fuse; then
    test_case "requests through /dev/fuse"
    in_workspaces dev_fuse size=6G,io_uring=off "is mounted" ""
fi

if wanted daemon; then
    test_case "without passthrough"
    in_workspaces daemon size=6G "no passthrough" --through-daemon "$harness_directory/without-passthrough"
fi
