#!/bin/bash
# A client that is killed while it waits for an answer ends at once, however requests are transported: while
# its workspace's freeze lock is closed, while its verb waits for another one, and while its verb runs. In the
# first two cases the request is not done; in the last it is completed, and its effect is visible.
# shellcheck source-path=SCRIPTDIR source=../lib/harness.sh
. "$(dirname "${BASH_SOURCE[0]}")/../lib/harness.sh"
# shellcheck source-path=SCRIPTDIR source=../lib/uring_switch.sh
. "$harness_directory/uring_switch.sh"

store=$scratch/store m=$scratch/mnt
slow_ms=6000      # a checkpoint takes that long
lived_ms_max=2000 # and of those killed below none waits for its end

# lived COMMAND...: starts it, kills it when it waits, and says how long it lived on, in ms.
lived() {
    local pid begin
    "$@" >"$scratch/killed.out" 2>&1 &
    pid=$!
    sleep 0.7
    begin=${EPOCHREALTIME/./}
    kill -KILL "$pid"
    wait "$pid" 2>/dev/null
    echo $(((${EPOCHREALTIME/./} - begin) / 1000))
}

# dies_soon WHAT COMMAND...
dies_soon() {
    local what=$1 ms
    shift
    ms=$(lived "$@")
    echo "$what: killed, it lived for $ms ms"
    check "$what dies long before its answer would come" test "$ms" -lt "$lived_ms_max"
}

begin_slow_checkpoint() {
    mkdir "$m/.snapshots/w/$1" &
    slow=$!
    sleep 0.3
}

for how in on off; do
    test_case "io_uring=$how"
    CKPTFS_FAILPOINT=checkpoint.after-sidecar~$slow_ms serve_store "$store.$how" "$m" "$scratch/log.$how" \
        "io_uring=$how"
    mkdir "$m/w" "$m/w/directory"
    echo old >"$m/w/file"

    begin_slow_checkpoint first
    dies_soon "who waits at the gate" touch "$m/w/new"
    # In the other list: in the same one the kernel itself keeps him waiting for the first, and nobody can end that.
    dies_soon "who has a verb that waits" mkdir "$m/w/.snapshots/waiting"
    check "the checkpoint goes on" kill -0 "$slow"
    check "and is made" wait "$slow"
    check "what waited at the gate was not done" test ! -e "$m/w/new"
    check "what waited for the checkpoint was not done" test ! -e "$m/.snapshots/w/waiting"
    check "the workspace goes on" touch "$m/w/new"

    dies_soon "who has a verb under way" mkdir "$m/.snapshots/w/under-way"
    await 20 "the verb is done to its end" test -e "$m/.snapshots/w/under-way/file"
    check_eq first:under-way "$(ckpt list -w "$m/w" --format json |
        python3 -c 'import json, sys; print(":".join(sorted(s["name"] for s in json.load(sys.stdin))))')" \
        "the snapshots"
    check "it can be deleted" rmdir "$m/.snapshots/w/under-way"
    check "the mount is not in use" umount "$m"
done

test_case "a rollback whose asker is killed"
CKPTFS_FAILPOINT=rollback.before-commit~$slow_ms serve_store "$store.on" "$m" "$scratch/log" ''
echo new >"$m/w/file"
dies_soon "who has a rollback under way" mv -T "$m/.snapshots/w/first" "$m/w"
await 20 "it is done to its end, and seen" grep -qs old "$m/w/file"
check "its snapshot is there still" test -e "$m/.snapshots/w/first/file"
check "the workspace can be written to" touch "$m/w/after"
check "the mount is not in use" umount "$m"
