#!/bin/bash
# A store in a guest whose power is cut at random moments while it works: the effects of all calls that had
# returned are there afterwards, and nothing is left over.
#
# CKPTFS_POWER_CUTS: number of cuts (default 1; 50 in the long form). CKPTFS_DM_BACKENDS: the backends. Those
# on btrfs are in tests/powercut, where a cut costs seconds; here, in the long form, some run with a whole
# machine.
# shellcheck source=tests/lib/harness.sh
. "$(dirname "${BASH_SOURCE[0]}")/../lib/harness.sh"
vm=$(dirname "${BASH_SOURCE[0]}")/run
cuts=${CKPTFS_POWER_CUTS:-1}
# All that had returned, in the rounds so far.
said=$scratch/said

# round BACKEND N OPTION...: sets $output.
round() {
    local backend=$1 number=$2
    shift 2
    # shellcheck disable=SC2016 # for the guest
    run "$vm" --disk "$scratch/$backend.img" "$@" bash -c '
        export CKPTFS_TEST_BACKEND=$1
        printf "%s" "$2" >/tmp/said
        bash /ckptfs/tests/vm/power-cut-round /tmp/said' bash "$backend" "$(<"$said")"$'\n'
    ((status != SKIPPED)) || skip_test "${output#SKIPPED: }"
    check_eq '' "$(grep -E 'FAULT' <<<"$output")" "what round $number found"
    if [[ $status -eq 137 && $output != *verified* ]]; then
        echo "round $number: cut before it had looked at everything"
        return
    fi
    check_match 'verified [0-9]+ snapshots' "$output" "round $number ($errors)"
    grep -E '^(checkpoint|fork|deleting|deleted) ' <<<"$output" >>"$said"
    echo "round $number: $(grep verified <<<"$output"), then $(grep -cE '^(checkpoint|fork|deleted) ' <<<"$output") operations"
}

backends=(dm-snapshot dm-thin)
((cuts == 1)) || backends+=(btrfs-loop)
[[ -z ${CKPTFS_DM_BACKENDS-} ]] || read -ra backends <<<"$CKPTFS_DM_BACKENDS"
for backend in "${backends[@]}"; do
    test_case "power cuts: $backend"
    : >"$said"
    for ((cut = 1; cut <= cuts; cut++)); do
        # Now and then while it starts again, or while what is there is looked at. Before the last one there
        # is time to do something.
        from=(--kill-from working) least=0
        if ((cut == cuts)); then
            least=5
        elif ((RANDOM % 5 == 0)); then
            from=()
        fi
        seconds=$(awk -v seed="$RANDOM" -v least="$least" 'BEGIN { srand(seed); printf "%.2f", least + 8 * rand() }')
        round "$backend" "$cut" --seconds 120 --kill-after "$seconds" "${from[@]}"
        check_eq 137 "$status" "exit status of round $cut ($errors)"
    done

    test_case "after the last one: $backend"
    check "something has happened" grep -q '^checkpoint ' "$said"
    round "$backend" last --seconds 120 --kill-after 1 --kill-from working
    echo "$(grep -c '^checkpoint' "$said") checkpoints, $(grep -c '^deleted' "$said") deletions, $(grep -c '^fork' "$said") forks"
    rm -f "$scratch/$backend.img"
done
