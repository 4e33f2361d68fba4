#!/bin/bash
# The daemon is stopped (SIGSTOP) for ten seconds while programs work and checkpoints are made, as by a
# debugger or a suspended machine: all wait, and continue with it. No call fails, every checkpoint shows a
# single moment, and nothing is left over.
# shellcheck source-path=SCRIPTDIR source=../lib/harness.sh
. "$(dirname "${BASH_SOURCE[0]}")/../lib/harness.sh"
[[ -x $bin/moment ]] || skip_test "the program moment is not built"

readonly stopped_seconds=10
store=$scratch/store m=$scratch/mnt
mount_store "$store" "$m" size=8G || exit 1
daemon=$(daemon_pid "$store")
processes+=("$daemon")
mkdir "$m/moments" "$m/verbs" "$m/files"

# Each says what failed, and at its end how often it has done its work.
use_verbs() {
    local -i i=0
    while [[ ! -e $scratch/end ]]; do
        i+=1
        echo "$i" >"$m/verbs/file" || echo "write $i failed"
        mkdir "$m/.snapshots/verbs/s$i" || echo "checkpoint $i failed"
        [[ $(<"$m/.snapshots/verbs/s$i/file") == "$i" ]] || echo "checkpoint $i is of another state"
        mv "$m/.snapshots/verbs/s$i" "$m/.snapshots/verbs/r$i" || echo "rename $i failed"
        if ((i % 5 == 0)); then
            mv -T "$m/.snapshots/verbs/r$((i - 1))" "$m/.snapshots/verbs/.live" || echo "rollback $i failed"
            [[ $(<"$m/verbs/file") == $((i - 1)) ]] || echo "rollback $i is of another state"
        fi
        if ((i > 3)); then
            rmdir "$m/.snapshots/verbs/r$((i - 3))" || echo "delete $((i - 3)) failed"
        fi
    done
    echo "done $i"
}
use_ckpt() {
    local -i i=0
    while [[ ! -e $scratch/end ]]; do
        i+=1
        ckpt list -w "$m/verbs" >/dev/null || echo "ckpt list failed"
        ckpt status --mount "$m" >/dev/null || echo "ckpt status failed"
        ckpt checkpoint -w "$m/files" -s "c$i" -m text >/dev/null || echo "ckpt checkpoint failed"
    done
    echo "done $i"
}
use_files() {
    local -i i=0
    while [[ ! -e $scratch/end ]]; do
        i+=1
        dd if=/dev/zero of="$m/files/big" bs=64K count=8 conv=notrunc,fsync status=none || echo "write $i failed"
        mkdir -p "$m/files/d/$i" && mv "$m/files/d/$i" "$m/files/moved" && rmdir "$m/files/moved" ||
            echo "directory $i failed"
        find "$m/files" >/dev/null || echo "find $i failed"
    done
    echo "done $i"
}

test_case "the daemon is stopped under load"
users=(use_verbs use_ckpt use_files)
for user in "${users[@]}"; do background "$user" >"$scratch/$user" 2>&1; done
background "$bin/moment" --workspace "$m/moments" --snapshots "$m/.snapshots/moments" --case mixed \
    --seed "$RANDOM" --seconds $((stopped_seconds + 4)) >"$scratch/moment" 2>&1
moment=$!
sleep 2
check "stop it" kill -STOP "$daemon"
sleep "$stopped_seconds"
check "let it go on" kill -CONT "$daemon"
wait "$moment"
check_eq 0 "$?" "moment: every checkpoint is one: $(<"$scratch/moment")"
echo "    $(tail -n 1 "$scratch/moment")"
touch "$scratch/end"
for pid in "${processes[@]:1}"; do wait "$pid"; done
for user in "${users[@]}"; do
    check_eq '' "$(grep -v '^done ' "$scratch/$user")" "$user: failures"
    check_match '^done [0-9]+' "$(tail -n 1 "$scratch/$user")" "$user"
    echo "    $user: $(tail -n 1 "$scratch/$user")"
done

test_case "it is the same daemon, and all is in order"
check_eq "$daemon" "$(daemon_pid "$store")" "the daemon"
run ckpt fsck --mount "$m"
check_eq "0 no problems found" "$status $output" "fsck ($errors)"
check_eq '[]' "$(ckpt status --mount "$m" --format json | jq -c .warnings)" "warnings"
check "unmount" unmount_store "$store" "$m"
