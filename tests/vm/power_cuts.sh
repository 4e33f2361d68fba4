#!/bin/bash
# A store on device-mapper in a guest whose power is cut at random moments while it works: whatever had
# returned before is there afterwards, and nothing is left over.
#
# CKPTFS_POWER_CUTS: how many (default 2; 50 in the long form). CKPTFS_TEST_BACKEND: of which backend.
# shellcheck source=tests/lib/harness.sh
. "$(dirname "${BASH_SOURCE[0]}")/../lib/harness.sh"
vm=$(dirname "${BASH_SOURCE[0]}")/run
cuts=${CKPTFS_POWER_CUTS:-2}

said=$scratch/said
touch "$said"
# round N OPTION...: sets $output.
round() {
    local number=$1
    shift
    # shellcheck disable=SC2016 # for the guest
    run "$vm" --disk "$scratch/disk.img" "$@" bash -c '
        export CKPTFS_TEST_BACKEND=$1
        printf "%s" "$2" >/tmp/said
        bash /ckptfs/tests/vm/power-cut-round /tmp/said' bash "${CKPTFS_TEST_BACKEND:-dm-snapshot}" "$(<"$said")"$'\n'
    ((status != SKIPPED)) || skip_test "${output#SKIPPED: }"
    check_eq '' "$(grep -E 'FAULT' <<<"$output")" "what round $number found"
    check_match 'verified [0-9]+ snapshots' "$output" "round $number ($errors)"
    grep -E '^(checkpoint|fork|deleting|deleted) ' <<<"$output" >>"$said"
    echo "round $number: $(grep verified <<<"$output"), then $(grep -cE '^(checkpoint|fork|deleted) ' <<<"$output") operations"
}

test_case "power cuts"
for ((cut = 1; cut <= cuts; cut++)); do
    seconds=$(awk -v seed="$RANDOM" 'BEGIN { srand(seed); printf "%.2f", 6 + 10 * rand() }')
    round "$cut" --seconds 120 --kill-after "$seconds"
    check_eq 137 "$status" "exit status of round $cut ($errors)"
done

test_case "after the last one"
check "something has happened" grep -q '^fork ' "$said"
round last --seconds 120 --kill-after 20
echo "$(grep -c '^checkpoint' "$said") checkpoints, $(grep -c '^deleted' "$said") deletions, $(grep -c '^fork' "$said") forks"
