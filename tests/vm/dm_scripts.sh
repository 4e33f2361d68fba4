#!/bin/bash
# The test scripts that every backend must pass, on the device-mapper backends: in this machine's kernel if it
# has device-mapper, or in the guest's. That is slow, so only those that exercise the backend most run;
# CKPTFS_DM_SCRIPTS selects others, or `all` (the long form), and CKPTFS_DM_BACKENDS the backends.
# shellcheck source=tests/lib/harness.sh
. "$(dirname "${BASH_SOURCE[0]}")/../lib/harness.sh"
vm=$(dirname "${BASH_SOURCE[0]}")/run
declare -A scripts=([dm-snapshot]="templates gc_templates dm_full_disk"
    [dm-thin]="verbs_rollback dm_thin")

seconds=1100
[[ -z ${CKPTFS_DM_SCRIPTS-} ]] || seconds=10800
if [[ ${CKPTFS_DM_SCRIPTS-} == all ]]; then
    CKPTFS_DM_SCRIPTS='templates gc_templates dm_full_disk dm_thin handles open_writers standing undo_limit unlinked_open'
    # And what one user may do to others.
    for script in "$(dirname "$harness_directory")"/integration/{verbs_*,hung_process,write_stop_share,neighbour,attack_memory,hostile_store,hostile_catalog,rights,user_namespaces,stopped_daemon}.sh; do
        [[ ! -e $script ]] || CKPTFS_DM_SCRIPTS+=" $(basename "$script" .sh)"
    done
fi

where=("$vm" --seconds "$seconds")
tests=/ckptfs/tests
if has_device_mapper; then
    where=()
    tests=$(dirname "$harness_directory")
fi

work=()
for backend in ${CKPTFS_DM_BACKENDS:-dm-snapshot dm-thin}; do
    for script in ${CKPTFS_DM_SCRIPTS:-${scripts[$backend]}}; do work+=("$backend/$script"); done
done
# shellcheck disable=SC2016 # for the guest
run "${where[@]}" bash -c '
    export CKPTFS_BIN_DIR=${CKPTFS_BIN_DIR:-/ckptfs/bin}
    failed=0
    for work in "${@:2}"; do
        start=$SECONDS
        CKPTFS_TEST_BACKEND=${work%/*} bash "$1/integration/${work#*/}.sh" >/tmp/ckptfs-dm.log 2>&1
        ended=$?
        echo "$work: exit status $ended after $((SECONDS - start)) s"
        grep "^SKIPPED: " /tmp/ckptfs-dm.log
        if ((ended != 0 && ended != 77)); then
            tail -n 40 /tmp/ckptfs-dm.log
            failed=1
        fi
    done
    echo "left over: $(dmsetup ls | grep -c CKPTFS)"
    exit $failed' bash "$tests" "${work[@]}"
((status != SKIPPED)) || skip_test "${output#SKIPPED: }"
echo "$output"
test_case "scripts on device-mapper"
check_eq 0 "$status" "exit status ($errors)"
check_match 'left over: 0$' "$output" "devices"
