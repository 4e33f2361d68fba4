#!/bin/bash
# Each checkpoint under running writers shows a single moment: a state that existed, including every call that
# had returned before. tests/moment describes the proof and the cases.
#
# CKPTFS_MOMENT_LONG=1: 600 checkpoints of the mixed case in a minute, and more of each other case.
# CKPTFS_MOMENT_SEED: the order of the writers' operations; by default random, and printed.
# shellcheck source-path=SCRIPTDIR source=../lib/harness.sh
. "$(dirname "${BASH_SOURCE[0]}")/../lib/harness.sh"

[[ -x $bin/moment && -x $bin/open_loop ]] || skip_test "the programs moment and open_loop are not built"
seconds=1.2 seconds_mixed=4
[[ -z ${CKPTFS_MOMENT_LONG-} ]] || seconds=10 seconds_mixed=60
seed=${CKPTFS_MOMENT_SEED:-$RANDOM}
echo "seed $seed"

store=$scratch/store m=$scratch/mnt
mount_store "$store" "$m" size=8G || exit 1
mkdir "$m/w"
cases=$("$bin/moment" --list)
check_eq 9 "$(wc -l <<<"$cases")" "cases"
for name in $cases; do
    test_case "$name"
    duration=$seconds
    [[ $name != mixed ]] || duration=$seconds_mixed
    checks=$((checks + 1))
    "$bin/moment" --workspace "$m/w" --snapshots "$m/.snapshots/w" --case "$name" --seed "$seed" \
        --seconds "$duration" || fail "$name: not every checkpoint is a moment, or moment failed ($?)"
done

# What waits for a checkpoint to open a file does not keep others from writing to it.
test_case "two-files, which other programs open"
mkdir "$m/opened"
background "$bin/open_loop" 2 "$m/opened/two-files-0"
checks=$((checks + 1))
"$bin/moment" --workspace "$m/opened" --snapshots "$m/.snapshots/opened" --case two-files --seed "$seed" \
    --writers 1 --interval-ms 20 --seconds $((${seconds%.*} * 6)) ||
    fail "not every checkpoint is a moment, or moment failed ($?)"
kill "$!"

test_case "the catalog and the log"
run ckpt fsck --mount "$m"
check_eq "0 no problems found" "$status $output" "fsck ($errors)"
