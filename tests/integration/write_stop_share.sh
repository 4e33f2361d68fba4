#!/bin/bash
# If a user's writes never end, that user's checkpoints do not show a single moment, and say so; the
# checkpoints of others still do, and are not delayed. (A write(2) holds its file's lock until it ends; the
# call that stops writes for a checkpoint waits behind it, in a thread that cannot be cancelled.)
# shellcheck source-path=SCRIPTDIR source=../lib/harness.sh
. "$(dirname "${BASH_SOURCE[0]}")/../lib/harness.sh"

[[ -x $bin/moment && -x $bin/stuck_writes ]] || skip_test "the programs moment and stuck_writes are not built"
user=(setpriv --reuid=65534 --regid=65534 --clear-groups --inh-caps=-all)
seed=${CKPTFS_MOMENT_SEED:-$RANDOM}
echo "seed $seed"
chmod 755 "$scratch"

# Another mount's helper has the same name: by its parent.
helper_pid() {
    local daemon stat pid
    daemon=$(daemon_pid "$store")
    for stat in /proc/[0-9]*/stat; do
        { read -r stat <"$stat"; } 2>/dev/null || continue
        [[ $stat == *"(ckptfs-helper) "[A-Z]" $daemon "* ]] || continue
        pid=${stat%% *}
        echo "$(find "/proc/$pid/task" -mindepth 1 -maxdepth 1 | wc -l) $pid"
    done | sort -n | tail -1 | cut -d ' ' -f 2
}
helper_threads() { find "/proc/$(helper_pid)/task" -mindepth 1 -maxdepth 1 | wc -l; }

# stick WORKSPACE FILES [OPTION...]: the user's writes there begin, and go on until `end_attack`.
declare -a attacks=()
stick() {
    local memory=$scratch/memory-$1-${#attacks[@]}-$RANDOM fd
    mkdir "$memory" && mkfifo "$memory.end"
    mounts+=("$memory")
    "$bin/stuck_writes" --memory "$memory" --files "$2" "${@:3}" "$m/$1/f" <"$memory.end" >"$memory.out" &
    processes+=($!)
    exec {fd}>"$memory.end"
    attacks+=("$fd")
    await 20 "$1: the writes are under way" grep -q stuck "$memory.out"
}
end_attack() {
    local fd
    for fd in "${attacks[@]}"; do exec {fd}>&-; done
    attacks=()
}

# victims_stay_whole WHAT: makes 50 checkpoints, on a busy machine perhaps fewer, while programs write there.
victims_stay_whole() {
    local made=0 torn=0 round snapshot
    for ((round = 0; round < 5 && made < 50; round++)); do
        checks=$((checks + 1))
        "$bin/moment" --workspace "$m/victim" --snapshots "$m/.snapshots/victim" --case two-files \
            --seed "$seed" --seconds 3 --interval-ms 30 || fail "$1: checkpoints of somebody else are no moment"
        ckpt list -w victim --format json >"$scratch/list"
        made=$((made + $(jq length "$scratch/list")))
        torn=$((torn + $(jq '[.[] | select(.moment != "one")] | length' "$scratch/list")))
        rm -rf "$m/victim/"*
        for snapshot in "$m/.snapshots/victim"/*; do rmdir "$snapshot"; done
    done
    check "$1: there are checkpoints ($made)" test "$made" -ge 20
    # Few, if any: of a busy machine, on which a program was not given a processor for long.
    check "$1: they say that they are one moment (all but $torn of $made)" test "$torn" -le $((1 + made / 20))
}

store=$scratch/store m=$scratch/mnt
serve_store "$store" "$m" "$scratch/log" size=8G
cd "$m" || exit
mkdir victim attacker
chown 65534:65534 attacker

test_case "nobody is in the way"
victims_stay_whole "before"
check "a checkpoint is made" mkdir .snapshots/attacker/before
check_eq one "$(getfattr --only-values -n user.ckptfs.moment .snapshots/attacker/before)" "the attribute"

test_case "256 writes that never end"
stick attacker 256
for i in 1 2 3; do check "the user's checkpoint" "${user[@]}" mkdir .snapshots/attacker/stuck$i; done
threads=$(helper_threads)
check "a call for each write is made once, within a share ($threads threads)" test "$threads" -le 110
run "${user[@]}" "$bin/ckpt" checkpoint -w attacker -s said
check_eq "0 attacker/said" "$status $output" "ckpt checkpoint ($errors)"
check_match '^ckpt: checkpoint attacker/said is crash-consistent, not one moment: writes to [0-9]+ of 256 files took longer than 50 ms' \
    "$errors" "what it says on stderr"
check_eq 1 "$(wc -l <<<"$errors")" "lines on stderr"
run "${user[@]}" "$bin/ckpt" checkpoint -w attacker -s json --format json
check_eq crash-consistent "$(jq -r .moment <<<"$output")" "JSON of checkpoint"
check_match 'took longer' "$(jq -r .moment_reason <<<"$output")" "JSON of checkpoint"
run "$bin/ckpt" show -w attacker -s stuck1
check_match $'\nmoment +crash-consistent: writes to [0-9]+ of 256 files took longer' "$output" "ckpt show"
check_eq crash-consistent "$(getfattr --only-values -n user.ckptfs.moment .snapshots/attacker/stuck3)" \
    "the attribute"
check_match 'warning.*checkpoint attacker/stuck2 is crash-consistent, not one moment: ' \
    "$(grep stuck2 "$scratch/log")" "the log"
check_eq one "$(jq -r '.[0].moment' <<<"$(ckpt list -w attacker --format json)")" "that from before"

test_case "others meanwhile"
(
    for ((i = 0; i < 1000; i++)); do
        "${user[@]}" mkdir "$m/.snapshots/attacker/loop$i" && sleep 0.01 || exit
    done
) &
loop=$!
processes+=("$loop")
victims_stay_whole "during"
kill "$loop"
wait "$loop" 2>/dev/null

test_case "in many workspaces"
for i in {1..6}; do
    mkdir "more$i"
    chown 65534:65534 "more$i"
    stick "more$i" 100
    check "the user's checkpoint" "${user[@]}" mkdir ".snapshots/more$i/stuck"
done
victims_stay_whole "in many workspaces"
helper=$(helper_pid)
threads=$(helper_threads)
memory=$(awk '/^VmRSS/ { print $2 }' "/proc/$helper/status")
echo "the helper has $threads threads and $memory KiB"
check "threads ($threads)" test "$threads" -le $((7 * 64 + 60))
check "memory ($memory KiB)" test "$memory" -le 65536

test_case "files without a name that are being written to"
mkdir attacker/f
chown 65534:65534 attacker/f
stick attacker 3 --nameless
check "the user's checkpoint" timeout 20 "${user[@]}" mkdir .snapshots/attacker/nameless
check_match 'not in it' "$(ckpt show -w attacker -s nameless --format json | jq -r .moment_reason)" "what it says"
check "the checkpoint of somebody else" timeout 20 mkdir .snapshots/victim/nameless
run timeout 20 ckpt rollback --force -w attacker -s before
check_eq 0 "$status" "a rollback beside such writes ($errors)"
check "the log says what was left out" \
    grep -q '3 open files of workspace attacker that have no name are not kept' "$scratch/log"
check "the checkpoint of somebody else" timeout 20 rmdir .snapshots/victim/nameless

test_case "afterwards"
end_attack
sleep 0.5
check "a checkpoint is made" "${user[@]}" mkdir .snapshots/attacker/after
check_eq one "$(getfattr --only-values -n user.ckptfs.moment .snapshots/attacker/after)" "it is one moment"
victims_stay_whole "afterwards"

test_case "what is known outlives the mount, and the catalog"
cd / || exit
unmount_store "$store" "$m"
rm "$store"/catalog.db*
ckptfs "$store" "$m" || exit
check_eq crash-consistent "$(getfattr --only-values -n user.ckptfs.moment "$m/.snapshots/attacker/stuck1")" \
    "of one rebuilt from its sidecar"
check_match 'took longer' "$(cd "$m" && ckpt show -w attacker -s stuck1 --format json | jq -r .moment_reason)" \
    "its reason"
run ckpt fsck --mount "$m"
check_eq "0 no problems found" "$status $output" "fsck ($errors)"

test_case "the daemon ends beside writes that do not"
stick attacker 20
check "a checkpoint is made" mkdir "$m/.snapshots/attacker/again"
check_eq crash-consistent "$(getfattr --only-values -n user.ckptfs.moment "$m/.snapshots/attacker/again")" "it says so"
daemon=$(daemon_pid "$store")
kill -TERM "$daemon"
check "within half a minute" await_end "$daemon"
end_attack
