#!/bin/bash
# Users whose processes or filesystems hang anything that examines them: their own verbs end all the same, and
# the verbs of others are not affected.
# shellcheck source-path=SCRIPTDIR source=../lib/harness.sh
. "$(dirname "${BASH_SOURCE[0]}")/../lib/harness.sh"

[[ -x $bin/hung_process && -x $bin/silent_fs ]] || skip_test "hung_process and silent_fs are not built"
store=$scratch/store m=$scratch/mnt log=$scratch/log silent=$scratch/silent
chmod 755 "$scratch" # for users other than root

loops=()
detach() {
    local code=$? loop
    # What hangs ends when these end, which come first.
    for loop in "${loops[@]}"; do
        kill -KILL "$silent_pid" 2>/dev/null
        losetup -d "$loop"
    done
    (exit "$code") # for the clean-up to see
    cleanup
}
trap detach EXIT

# serve_silent DIRECTORY [OPTIONS]
serve_silent() {
    mkdir "$1"
    mounts+=("$1")
    background silent_fs "$1" ${2:+-o "$2"}
    await 10 "a mount of silent_fs" findmnt --mountpoint "$1"
}

nobody=(setpriv --reuid=65534 --regid=65534 --clear-groups --inh-caps=-all)

is_hung() { ! timeout 0.3 cat "/proc/$1/maps" >"$scratch/maps"; }

# hang KIND FILE: sets $hung and $heir.
declare -a heirs=()
hang() {
    : >"$scratch/hung"
    background "${nobody[@]}" hung_process "$1" "$silent/direct-$1" "$2" >"$scratch/hung"
    await 10 "the numbers of $1" grep -q . "$scratch/hung"
    read -r hung heir <"$scratch/hung"
    ((heir == 0)) || heirs+=("$heir")
    await 10 "$1 hangs" is_hung "$hung"
}

# milliseconds COMMAND...: how long it takes, whether it succeeds or not.
milliseconds() {
    local begin=${EPOCHREALTIME/./}
    timeout 60 "$@" >"$scratch/.out" 2>"$scratch/.err"
    echo $(((${EPOCHREALTIME/./} - begin) / 1000))
}

# median_of_verbs NAME: of another workspace's checkpoints, deletions and rollbacks.
median_of_verbs() {
    local i
    for i in {1..9}; do
        milliseconds mkdir "$m/.snapshots/vic/$1-$i"
        milliseconds rmdir "$m/.snapshots/vic/$1-$i"
        milliseconds mv -T "$m/.snapshots/vic/first" "$m/.snapshots/vic/.live"
    done | sort -n | sed -n 14p
}

writers() { ckpt show -w "$m/att" -s "$1" --format json | jq -r '.open_for_writing[] | "\(.path) \(.pid) \(.command)"'; }

serve_store "$store" "$m" "$log" ''
serve_silent "$silent"
silent_pid=$!
mkdir "$m/att" "$m/vic" "$m/.snapshots/vic/first"
chown 65534:65534 "$m/att"
"${nobody[@]}" mkdir "$m/.snapshots/att/first"
alone=$(median_of_verbs alone)

test_case "what stands on a filesystem that does not answer"
(cd "$silent/dir" && exec -a in-silence sleep 300) &
processes+=($!)
check "a rollback beside it" ckpt rollback -w "$m/vic" -s first

for kind in maps exec; do
    test_case "a process that has passed a file on, and hangs: $kind"
    hang "$kind" "$m/att/$kind"
    taken=$(milliseconds "${nobody[@]}" mkdir "$m/.snapshots/att/$kind")
    echo "its checkpoint: $taken ms"
    check "its checkpoint ends soon: $taken ms" test "$taken" -lt 1500
    check_eq "$kind $heir heir" "$(writers "$kind" | grep "^$kind ")" "who has it is found"
    # shellcheck disable=SC2016 # for the other shell
    "${nobody[@]}" sh -c 'while true; do mkdir "$1/again"; rmdir "$1/again"; done' sh "$m/.snapshots/att" &
    again=$!
    processes+=("$again")
    beside=$(median_of_verbs "$kind")
    echo "verbs of another workspace: alone $alone ms, beside $beside ms"
    check "verbs of another workspace" test "$beside" -lt $((3 * alone + 100))
    kill -KILL "$again"
    wait "$again" 2>/dev/null
    taken=$(milliseconds "${nobody[@]}" mv -T "$m/.snapshots/att/first" "$m/.snapshots/att/.live")
    check "its rollback is refused soon: $taken ms" test "$taken" -lt 3000
    check_match "busy" "$(<"$scratch/.err")" "the refusal"
done

test_case "a process that hangs, and has a file mapped"
hang mapper "$m/att/mapped"
taken=$(milliseconds "${nobody[@]}" mkdir "$m/.snapshots/att/mapped")
check "its checkpoint ends soon: $taken ms" test "$taken" -lt 1500
check_eq "mapped 0 " "$(writers mapped | grep '^mapped ')" "who has it is not known, as nobody could look"
taken=$(milliseconds "${nobody[@]}" ckpt rollback -w "$m/att" -s first)
check "its rollback is refused soon: $taken ms" test "$taken" -lt 3000
check_match "mapped \(by a process that cannot be looked at\)" "$(<"$scratch/.err")" "the refusal"

test_case "a loop device whose file is on a filesystem that does not answer"
truncate -s 1M "$m/vic/stat"
loops+=("$(losetup --find --show "$silent/stat")" "$(losetup --find --show "$m/vic/stat")")
kill -USR1 "$silent_pid"
taken=$(milliseconds ckpt rollback -w "$m/vic" -s first)
check "a rollback is refused soon: $taken ms" test "$taken" -lt 3000
check_match "${loops[1]} \(a loop device" "$(<"$scratch/.err")" "the other one is named"
losetup -d "${loops[1]}"
loops=("${loops[0]}")

test_case "a mount that says its source is there"
serve_silent "$scratch/fake" "fsname=$silent/dir/store,subtype=ckptfs"
mkdir "$scratch/second"
taken=$(milliseconds ckptfs "$store" "$scratch/second")
check "a second mount of the store is refused soon: $taken ms" test "$taken" -lt 20000
check_match "lock|mounted|use" "$(<"$scratch/.err")" "the refusal"

test_case "the daemon ends while they hang"
daemon=$(daemon_pid "$store")
kill -KILL "${heirs[@]}"
kill -TERM "$daemon"
await 20 "the daemon has ended" eval "! test -e /proc/$daemon || grep -q '^State:.*Z' /proc/$daemon/status"
check "nothing of it is left" eval "! grep -l 'PPid:.$daemon\$' /proc/[0-9]*/status"
