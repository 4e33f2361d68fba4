#!/bin/bash
# How long checkpoints block other calls, as a table. Fails if a call waits for seconds.
#
# CKPTFS_STALL_MIB: amounts of dirty data in MiB ("0 32"); "0 100 1024" for the report.
# shellcheck source-path=SCRIPTDIR source=../lib/harness.sh
. "$(dirname "${BASH_SOURCE[0]}")/../lib/harness.sh"

[[ -x $bin/moment_stall ]] || skip_test "the program moment_stall is not built"
read -ra amounts <<<"${CKPTFS_STALL_MIB:-0 32}"
store=$scratch/store m=$scratch/mnt
mount_store "$store" "$m" size=24G || exit 1
for mib in "${amounts[@]}"; do
    test_case "$mib MiB dirty"
    mkdir "$m/w$mib"
    checks=$((checks + 1))
    # A loose bound, for machines that do much else at the same time: nobody waits for the disk to
    # take all that is dirty.
    "$bin/moment_stall" --workspace "$m/w$mib" --snapshots "$m/.snapshots/w$mib" \
        --dirty-mib "$mib" --stall-max-ms 3000 || fail "a call waited for too long, or failed ($?)"
done
