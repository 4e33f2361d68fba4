#!/bin/bash
# The daemon's memory is bounded, whatever users request and do not read; no work is done for clients that
# have gone; and one user's requests do not block the others.
# shellcheck source=tests/lib/harness.sh
. "$(dirname "${BASH_SOURCE[0]}")/../lib/harness.sh"

store=$scratch/store m=$scratch/mnt
greedy=$harness_directory/greedy.py
limit_mib=256
users=(4001 4002 4003)
chmod 755 "$scratch"
serve_store "$store" "$m" "$scratch/log" size=3G || exit 1
daemon=$(daemon_pid "$store")

# greedy_one USER HOW [N]: in the background, as a process that its PID ends.
greedy_one() {
    background setpriv --reuid "$1" --regid "$1" --clear-groups "$greedy" "$m/u$1" "${@:2}" >>"$scratch/ready" 2>>"$scratch/complaints"
}
as() { setpriv --reuid "$1" --regid "$1" --clear-groups "${@:2}"; }
# Of the daemon and of its helpers, in MiB: at most so far, and now.
memory() {
    local pid total=0 kib
    for pid in "$daemon" $(pgrep -P "$daemon"); do
        kib=$(awk -v key="$1:" '$1 == key { print $2 }' "/proc/$pid/status" 2>/dev/null)
        total=$((total + ${kib:-0}))
    done
    echo $((total >> 10))
}
# Processor time of the daemon, in hundredths of a second.
time_used() { awk '{ sub(/.*\) /, ""); print $12 + $13 }' "/proc/$daemon/stat"; }

test_case "what there is"
for user in "${users[@]}" 4100; do
    mkdir "$m/u$user"
    chown "$user:$user" "$m/u$user"
    as "$user" mkdir "$m/.snapshots/u$user/empty"
done
for user in "${users[@]}"; do
    w=$m/u$user
    check "deep directories" as "$user" "$greedy" "$w" make-deep 1200
    check "a wide directory" as "$user" "$greedy" "$w" make-wide 5000
    check "many attributes" as "$user" "$greedy" "$w" make-xattrs 1
    check "snapshots with long texts" as "$user" "$greedy" "$w" make-texts "${CKPTFS_MEMORY_SNAPSHOTS:-150}"
done
as 4100 touch "$m/u4100/file"
echo "    $(memory VmRSS) MiB in use, at most $(memory VmHWM)"

test_case "a request costs time by its length"
before=$(time_used)
as 4001 "$greedy" "$m/u4001" cost 80000 >"$scratch/said"
check_match "more levels or values than any request needs" "$(<"$scratch/said")" "a request with more values than any needs"
spent=$(($(time_used) - before))
check "little time for a request of 240 KB (${spent}0 ms)" test "$spent" -lt 100

test_case "a comparison that nobody waits for ends"
: >"$scratch/ready"
greedy_one 4001 diffs 8
await 30 "it has asked" grep -q ready "$scratch/ready"
{
    kill -KILL "$!"
    wait "$!"
} 2>/dev/null
sleep 1
before=$(time_used)
sleep 1
spent=$(($(time_used) - before))
check "no time is spent on it a second later (${spent}0 ms)" test "$spent" -lt 30

test_case "all at once"
: >"$scratch/ready"
declare -a greedy_ones=()
for user in "${users[@]}"; do
    for how in "diffs 8" "lists 8" "usage 4" "large-requests 8" "many-values 8" "unstarted 100" "directories 200" "names 3000"; do
        # shellcheck disable=SC2086 # two words
        greedy_one "$user" $how
        greedy_ones+=($!)
    done
done
all_hold() { (($(grep -c ready "$scratch/ready") == ${#greedy_ones[@]})); }
await 60 "all hold what they can get: $(tail -n 3 "$scratch/complaints")" all_hold
# Until it has done all that can be done for who reads nothing.
peak=0
for _ in {1..40}; do
    before=$(time_used)
    now=$(memory VmRSS)
    ((now <= peak)) || peak=$now
    sleep 0.5
    (($(time_used) - before > 5)) || break
done
most=$(memory VmHWM)
echo "    $now MiB in use, $peak when looked at, $most at most"
check "no more than $limit_mib MiB at most ($most)" test "$most" -le "$limit_mib"

test_case "others are served meanwhile"
run as 4100 ckpt diff -w "$m/u4100" --from empty
check_eq "+ file" "$output" "a comparison by another user ($errors)"
check "a checkpoint by another user" as 4100 ckpt checkpoint -w "$m/u4100" -s now
check "a list by another user" as 4100 ckpt list -w "$m/u4100"
check "root sees what there is" ckpt status --mount "$m"

test_case "afterwards"
{
    kill -KILL "${greedy_ones[@]}"
    wait "${greedy_ones[@]}"
} 2>/dev/null
sleep 2
before=$(time_used)
sleep 1
spent=$(($(time_used) - before))
check "the daemon is idle (${spent}0 ms)" test "$spent" -lt 30
echo "    $(memory VmRSS) MiB in use"

test_case "one reader who reads gets all"
run as 4002 ckpt diff -w "$m/u4002" --from empty
check_eq 0 "$status" "a comparison ($errors)"
check_eq 5000 "$(grep -c '^+ wide/' <<<"$output")" "files in the wide directory"
check_match "changes are left out: their paths are longer than 64 KiB" "$errors" "what is too long to be told"
