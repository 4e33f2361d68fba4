#!/bin/bash
# The unit tests on device-mapper, where it is: in this machine's kernel, or in the guest's. Those of the
# store are the same that run on btrfs elsewhere; of the crash tests, which make and copy some hundred
# stores, the two operations with the most steps run here, and all with CKPTFS_DM_TESTS='*'.
# shellcheck source=tests/lib/harness.sh
. "$(dirname "${BASH_SOURCE[0]}")/../lib/harness.sh"
vm=$(dirname "${BASH_SOURCE[0]}")/run
tests=${CKPTFS_DM_TESTS:-DmTest.*:*DmSnapshot*:LoopStoreTest.*:*CrashTest.Leaves*/checkpoint:*CrashTest.Leaves*/rollback}

test_case "unit tests on device-mapper"
where=("$vm" --seconds 800)
[[ ! -c /dev/mapper/control ]] || where=()
run "${where[@]}" env CKPTFS_TEST_BACKEND=dm-snapshot dm_tests --gtest_filter="$tests" --gtest_brief=1
((status != SKIPPED)) || skip_test "${output#SKIPPED: }"
printf '%s\n%s\n' "$output" "$errors" | grep -v '\] \[info\]'
check_eq 0 "$status" "exit status"
check_match 'PASSED  \] ([1-9][0-9]*) test' "$output" "tests that ran"
check_not "a test was skipped" grep -q SKIPPED <<<"$output"
