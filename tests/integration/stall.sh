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
# A loose bound, for machines that do much else at the same time: nobody waits for the disk to take all that is
# dirty.
stall() {
    mkdir "$m/$1" && "$bin/moment_stall" --workspace "$m/$1" --snapshots "$m/.snapshots/$1" --dirty-mib "$2" \
        --stall-max-ms 3000
}
for mib in "${amounts[@]}"; do
    test_case "$mib MiB dirty"
    checks=$((checks + 1))
    stall "w$mib" "$mib" && continue
    # The disk below has stalls of its own, of half a minute while it discards what other tests have deleted.
    echo "    once more"
    stall "again$mib" "$mib" || fail "a call waited for too long, or failed ($?)"
done
