#!/bin/bash
# The machine's clock jumps by ten years and back while a store is mounted: snapshots keep the order in which
# they were made, nothing is deleted for its age, and the daemon's periodic work continues. Runs in a guest,
# because the clock is shared by the whole machine.
# shellcheck source=tests/lib/harness.sh
. "$(dirname "${BASH_SOURCE[0]}")/../lib/harness.sh"

test_case "clock jumps"
run "$(dirname "${BASH_SOURCE[0]}")/run" --seconds 800 bash /ckptfs/tests/vm/clock-jumps
((status != SKIPPED)) || skip_test "${output#SKIPPED: }"
echo "$output"
check_eq 0 "$status" "exit status ($errors)"
check_match ' checks, 0 failed' "$output" "the guest's checks"
