#!/bin/bash
# The unit tests that need device-mapper, where it is: in this machine's kernel, or in the guest's.
# shellcheck source=tests/lib/harness.sh
. "$(dirname "${BASH_SOURCE[0]}")/../lib/harness.sh"
vm=$(dirname "${BASH_SOURCE[0]}")/run

test_case "unit tests on device-mapper"
where=("$vm" --seconds 300)
[[ ! -c /dev/mapper/control ]] || where=()
run "${where[@]}" dm_tests --gtest_filter='DmTest.*' --gtest_brief=1
((status != SKIPPED)) || skip_test "${output#SKIPPED: }"
printf '%s\n%s\n' "$output" "$errors"
check_eq 0 "$status" "exit status"
check_match 'PASSED  \] ([1-9][0-9]*) test' "$output" "tests that ran"
check_not "a test was skipped" grep -q SKIPPED <<<"$output"
