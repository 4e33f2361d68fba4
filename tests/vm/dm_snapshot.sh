#!/bin/bash
# The suites that every backend has to pass, on dm-snapshot: in this machine's kernel where it has
# device-mapper, or in the guest's. That is slow, so only those run that look at the backend most;
# CKPTFS_DM_SCRIPTS names others (all verbs_*, unlinked_open, undo_limit, standing and more work there).
# shellcheck source=tests/lib/harness.sh
. "$(dirname "${BASH_SOURCE[0]}")/../lib/harness.sh"
vm=$(dirname "${BASH_SOURCE[0]}")/run
scripts=${CKPTFS_DM_SCRIPTS:-templates verbs_rollback dm_full_disk}

where=("$vm" --seconds 800)
tests=/ckptfs/tests
if [[ -c /dev/mapper/control ]]; then
    where=()
    tests=$(dirname "$harness_directory")
fi

# shellcheck disable=SC2016,SC2086 # for the guest; words
run "${where[@]}" bash -c '
    export CKPTFS_TEST_BACKEND=dm-snapshot CKPTFS_BIN_DIR=${CKPTFS_BIN_DIR:-/ckptfs/bin}
    failed=0
    for script in "${@:2}"; do
        start=$SECONDS
        bash "$1/integration/$script.sh" >/tmp/ckptfs-dm.log 2>&1
        ended=$?
        echo "$script: exit status $ended after $((SECONDS - start)) s"
        if ((ended != 0)); then
            tail -n 40 /tmp/ckptfs-dm.log
            failed=1
        fi
    done
    echo "left over: $(dmsetup ls | grep -c CKPTFS)"
    exit $failed' bash "$tests" $scripts
((status != SKIPPED)) || skip_test "${output#SKIPPED: }"
echo "$output"
test_case "scripts on dm-snapshot"
check_eq 0 "$status" "exit status ($errors)"
check_match 'left over: 0$' "$output" "devices"
