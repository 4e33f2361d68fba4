#!/bin/bash
# A rollback is atomic for readers: each path walk from the root finds everything in the previous or in the
# restored state, and after the call has returned nothing is stale: no size, time, page or listing. Handles
# and mappings keep what they opened, and watches continue.
#
# CKPTFS_READERS_SECONDS: duration for each way to roll back (4).
# shellcheck source-path=SCRIPTDIR source=../lib/harness.sh
. "$(dirname "${BASH_SOURCE[0]}")/../lib/harness.sh"

[[ -x $bin/rollback_readers ]] || skip_test "the program rollback_readers is not built"
seconds=${CKPTFS_READERS_SECONDS:-4}

# Without access times: to have been read is a change, and each state before would be kept.
store=$scratch/store m=$scratch/mnt
mount_store "$store" "$m" size=2G,noatime || exit 1
for way in live name ckpt; do
    test_case "$way"
    checks=$((checks + 1))
    "$bin/rollback_readers" --mount "$m" --workspace "by-$way" --way "$way" --seconds "$seconds" ||
        fail "readers saw what they must not, or rollback_readers failed ($?)"
    check_eq $'a\nb' "$(ls "$m/.snapshots/by-$way")" "no state before is kept if nothing changed"
done

test_case "the catalog"
run ckpt fsck --mount "$m"
check_eq "0 no problems found" "$status $output" "fsck ($errors)"
