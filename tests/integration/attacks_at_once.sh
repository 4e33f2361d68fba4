#!/bin/bash
# All of tests/attacks and lib/greedy.py at once, by several users: requests that cost memory, time and
# threads, answers that are never read, writes that never end, processes that cannot be examined, storms. The
# daemon and its helpers take at most 256 MiB, others are served, and afterwards the daemon is idle.
#
# A long test: it takes a minute and a half, most of it for the setup, and keeps two processors busy.
# CKPTFS_ATTACK_SECONDS: duration of the attacks.
# CKPTFS_ATTACK_SNAPSHOTS: number of snapshots in lists that are never read to the end (150).
# CKPTFS_ATTACK_MIB: the size of the storms' files (48).
# shellcheck source-path=SCRIPTDIR source=../lib/harness.sh
. "$(dirname "${BASH_SOURCE[0]}")/../lib/harness.sh"

[[ -n ${CKPTFS_ATTACK_SECONDS-} ]] || skip_test "a long form: set CKPTFS_ATTACK_SECONDS (12)"
for program in silent_fs hung_process stuck_writes open_loop storms moment; do
    [[ -x $bin/$program ]] || skip_test "the program $program is not built"
done
seconds=$CKPTFS_ATTACK_SECONDS snapshots=${CKPTFS_ATTACK_SNAPSHOTS:-150} mib=${CKPTFS_ATTACK_MIB:-48}
readonly limit_mib=256 storms=65534 stuck=4201 hung=4202 noisy=4203 opener=4204 lists=4205 quiet=4300
greedy_users=(4101 4102 4103)
greedy=$harness_directory/greedy.py
store=$scratch/store m=$scratch/mnt silent=$scratch/silent
chmod 755 "$scratch"

as() { setpriv --reuid "$1" --regid "$1" --clear-groups --inh-caps=-all "${@:2}"; }

# attack USER NAME COMMAND...: in the background; what it says is in a file of that name.
declare -A attackers=()
attack() {
    background setpriv --reuid "$1" --regid "$1" --clear-groups --inh-caps=-all "${@:3}" \
        >"$scratch/said/$2" 2>"$scratch/said/$2.errors"
    attackers[$2]=$!
}
ulimit -Sn "$(ulimit -Hn)" # some open as much as they can
# Those that say so hold all that they can get; the others do something over and over.
is_ready() { grep -qE '^(ready|stuck|[0-9]+ [0-9]+$)' "$scratch/said/$1"; }
# end_attacks NAME...
end_attacks() {
    local name
    for name in "$@"; do kill_child "${attackers[$name]}" KILL; done
    for name in "$@"; do wait "${attackers[$name]}"; done 2>/dev/null
}

memory() { local most now rest && read -r most now rest <"$scratch/memory" && echo "$most MiB at most, $now now in $rest processes"; }
time_used() { awk '{ sub(/.*\) /, ""); print $12 + $13 }' "/proc/$daemon/stat"; }
# stays_idle: in one second of the next ten.
is_idle() {
    local before
    before=$(time_used)
    sleep 1
    spent=$(($(time_used) - before))
    ((spent < 30))
}
stays_idle() {
    local try
    for ((try = 0; try < 10; try++)); do
        ! is_idle || return 0
    done
    return 1
}

test_case "what there is"
serve_store "$store" "$m" "$scratch/log" size=20G
daemon=$(daemon_pid "$store")
background "$harness_directory/memory_of.py" "$daemon" "$scratch/memory"
await 10 "the memory is looked at" test -s "$scratch/memory"
mkdir "$silent" "$scratch/said"
mounts+=("$silent")
# Before what hangs for it: it has to end first.
background silent_fs "$silent"
await 10 "a mount of silent_fs" findmnt --mountpoint "$silent"
for user in "${greedy_users[@]}" "$storms" "$stuck" "$hung" "$noisy" "$opener" "$lists" "$quiet"; do
    mkdir "$m/u$user"
    chown "$user:$user" "$m/u$user"
    as "$user" mkdir "$m/.snapshots/u$user/empty"
done
check "many attributes" as "${greedy_users[0]}" "$greedy" "$m/u${greedy_users[0]}" make-xattrs 1
levels=4000
for user in "${greedy_users[@]}"; do
    check "a chain of $levels directories" as "$user" "$greedy" "$m/u$user" make-deep "$levels"
    check "a wide directory" as "$user" "$greedy" "$m/u$user" make-wide 2000
    check "snapshots with long texts" as "$user" "$greedy" "$m/u$user" make-texts 20
    levels=1000
done
as "$lists" storms checkpoints "$m/u$lists" --snapshots "$m/.snapshots/u$lists" --count "$snapshots" >/dev/null ||
    fail "snapshots"
check_eq $((snapshots + 1)) "$(ckpt list -w "$m/u$lists" --format json | jq length)" "snapshots"
as "$quiet" touch "$m/u$quiet/file"
echo "    $(memory)"

test_case "all at once"
for user in "${greedy_users[@]}"; do
    for how in "diffs 8" "lists 8" "usage 4" "large-requests 8" "many-values 8" "unstarted 100" "directories 200" \
        "names 3000"; do
        # shellcheck disable=SC2086 # two words
        attack "$user" "$user-${how% *}" "$greedy" "$m/u$user" $how
    done
    # Who may read it may have it listed.
    attack "$user" "$user-long-lists" "$greedy" "$m/u$lists" lists 8
    attack "$user" "$user-long-directories" "$greedy" "$m/u$lists" snapshot-directories 100
done
attack "$noisy" nonsense "$greedy" "$m/u$noisy" nonsense
attack "$noisy" costs "$greedy" "$m/u$noisy" costs 80000
for storm in "copies --count 16" "large-copies" "fragments" "fsyncs --count 32" "large-fsyncs --count 2" writes \
    "names --count 16" "mappings --count 2" "opens --count 5000" unlinked; do
    as "$storms" mkdir "$m/u$storms/${storm%% *}"
    # shellcheck disable=SC2086 # words
    attack "$storms" "storm-${storm%% *}" "$bin/storms" $storm "$m/u$storms/${storm%% *}" \
        --snapshots "$m/.snapshots/u$storms" --mib "$mib"
done
# What keeps the writes going is open as long as this script.
mkdir "$scratch/memory-of-nobody"
mounts+=("$scratch/memory-of-nobody")
mkfifo "$scratch/stuck.end"
"$bin/stuck_writes" --memory "$scratch/memory-of-nobody" --uid "$stuck" --files 256 "$m/u$stuck/f" \
    <"$scratch/stuck.end" >"$scratch/said/stuck" 2>"$scratch/said/stuck.errors" &
attackers[stuck]=$!
processes+=($!)
exec {stuck_end}>"$scratch/stuck.end"
attack "$opener" opener "$bin/moment" --workspace "$m/u$opener" --snapshots "$m/.snapshots/u$opener" --case two-files \
    --seconds 10000 --interval-ms 30
attack "$opener" open-loop "$bin/open_loop" 2 "$m/u$opener/two-files-0"
# Verbs meanwhile, in each of their workspaces.
for user in "${greedy_users[@]}" "$storms" "$stuck" "$hung"; do
    # shellcheck disable=SC2016 # for the other shell
    attack "$user" "$user-verbs" bash -c 'while true; do
        mkdir "$1/again" && echo made; mv -T "$1/again" "$1/.live"; rmdir "$1/again"; ls -l "$1" >/dev/null; done' \
        bash "$m/.snapshots/u$user"
done
waiting=("${!attackers[@]}")
all_ready() {
    local name still=()
    for name in "${waiting[@]}"; do
        [[ $name =~ verbs|opener|open-loop|costs ]] || is_ready "$name" || still+=("$name")
    done
    waiting=("${still[@]}")
    ((${#waiting[@]} == 0))
}
await 120 "all hold what they can get" all_ready
((${#waiting[@]} == 0)) || echo "    not ready: ${waiting[*]}"
# Last, and no longer than needed: ps(1) and the like wait for them, too.
for kind in maps exec mapper; do
    attack "$hung" "hung-$kind" hung_process "$kind" "$silent/direct-$kind" "$m/u$hung/$kind"
done
for kind in maps exec mapper; do await 120 "$kind has begun" is_ready "hung-$kind"; done
sleep "$seconds"
echo "    $(memory)"

test_case "others are served meanwhile"
run timeout 60 setpriv --reuid "$quiet" --regid "$quiet" --clear-groups ckpt diff -w "$m/u$quiet" --from empty
check_eq "+ file" "$output" "a comparison by another user ($errors)"
check "a checkpoint by another user" timeout 60 setpriv --reuid "$quiet" --regid "$quiet" --clear-groups \
    ckpt checkpoint -w "$m/u$quiet" -s now
check "root sees what there is" timeout 60 ckpt status --mount "$m"
for name in "${!attackers[@]}"; do
    [[ $name != *verbs ]] || check "$name: something was made" grep -q made "$scratch/said/$name"
    check "$name goes on ($(tail -n 2 "$scratch/said/$name.errors" | cut -c 1-300))" kill -0 "${attackers[$name]}"
done
read -r most _ <"$scratch/memory"
check "no more than $limit_mib MiB at most ($most)" test "$most" -le "$limit_mib"

test_case "afterwards"
kill -KILL "${processes[2]}" # silent_fs: what hangs for it ends
exec {stuck_end}>&-
end_attacks "${!attackers[@]}"
check "the daemon is idle soon (${spent-}0 ms)" stays_idle
check_eq "$daemon" "$(daemon_pid "$store")" "the daemon"
run ckpt fsck --mount "$m"
check_eq "0 no problems found" "$status $output" "fsck ($errors)"
read -r most _ <"$scratch/memory"
check "no more than $limit_mib MiB at most, to the end ($most)" test "$most" -le "$limit_mib"
echo "    $(memory)"
