#!/bin/bash
# The clock of a machine jumps by ten years and back while a store is mounted: the order of snapshots is that in
# which they were made, nothing is deleted for its age, and what the daemon does in its own time goes on. In a
# guest, as a clock is everybody's.
# shellcheck source=tests/lib/harness.sh
. "$(dirname "${BASH_SOURCE[0]}")/../lib/harness.sh"

test_case "clock jumps"
run "$(dirname "${BASH_SOURCE[0]}")/run" --seconds 800 bash /ckptfs/tests/vm/clock-jumps
((status != SKIPPED)) || skip_test "${output#SKIPPED: }"
echo "$output"
check_eq 0 "$status" "exit status ($errors)"
check_match ' checks, 0 failed' "$output" "the guest's checks"
