#!/bin/bash
# The unit tests on device-mapper, in this machine's kernel if it has it, or in the guest's. Those of the
# store are the same that run on btrfs elsewhere. Of the crash tests, which make and copy some hundred stores,
# the one with the most steps runs on each backend; on dm-snapshot CKPTFS_DM_CRASHES selects others (in the
# long form also the one for checkpoints). All run with CKPTFS_DM_TESTS='*' (CKPTFS_DM_BACKENDS: the
# backends).
# shellcheck source=tests/lib/harness.sh
. "$(dirname "${BASH_SOURCE[0]}")/../lib/harness.sh"
vm=$(dirname "${BASH_SOURCE[0]}")/run
store_tests="LoopStoreTest.*"
read -ra crashes <<<"${CKPTFS_DM_CRASHES:-rollback}"
crash_tests=$(printf ':*/CrashTest.Leaves*/%s' "${crashes[@]}")
declare -A tests=(
    [dm-snapshot]="DmTest.*:*/DmSnapshot:$store_tests$crash_tests"
    [dm-thin]="DmThinPoolTest.*:*/DmThin:$store_tests:*/BackendCrashTest.*/checkpoint")

where=("$vm" --seconds 800)
! has_device_mapper || where=()
work=()
for backend in ${CKPTFS_DM_BACKENDS:-dm-snapshot dm-thin}; do
    work+=("$backend" "${CKPTFS_DM_TESTS:-${tests[$backend]}}")
done
test_case "unit tests on device-mapper"
# shellcheck disable=SC2016 # for the guest
run "${where[@]}" bash -c '
    failed=0
    while (($# > 0)); do
        CKPTFS_TEST_BACKEND=$1 dm_tests --gtest_filter="$2" --gtest_brief=1 || failed=1
        shift 2
    done
    exit $failed' bash "${work[@]}"
((status != SKIPPED)) || skip_test "${output#SKIPPED: }"
printf '%s\n%s\n' "$output" "$errors" | grep -v '\] \[info\]'
check_eq 0 "$status" "exit status"
check_eq $((${#work[@]} / 2)) "$(grep -cE 'PASSED  \] [1-9][0-9]* test' <<<"$output")" "backends whose tests ran"
check_not "a test was skipped" grep -q SKIPPED <<<"$output"
