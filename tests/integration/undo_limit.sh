#!/bin/bash
# The states that rollbacks keep do not accumulate: undo_keep and undo_keep_time.
# shellcheck source-path=SCRIPTDIR source=../lib/harness.sh
. "$(dirname "${BASH_SOURCE[0]}")/../lib/harness.sh"

store=$scratch/store m=$scratch/mnt log=$scratch/log

serve() {
    serve_store "$store" "$m" "$log" "$1"
    cd "$m" || exit 1
}
stop() { cd / && unmount_store "$store" "$m"; }

# roll N: so many rollbacks of W, each of a state of its own.
roll() {
    local i
    for ((i = 0; i < $1; i++)); do
        echo "state $((++states))" >W/file
        mv -T .snapshots/W/base .snapshots/W/.live || fail "rollback"
    done
}
states=0

# States that rollbacks kept, newest first; what they hold.
# Some may go while find looks.
kept() {
    find .snapshots/W -maxdepth 1 -name 'pre-rollback-*' -printf '%T@ %f\n' 2>/dev/null |
        sort -rn | cut -d' ' -f2
}
count_kept() { kept | wc -l; }
contents() { for name in $(kept); do cat ".snapshots/W/$name/file"; done; }
# await_kept N WHAT: waits, at most 20 s, until so many are left.
await_kept() {
    local i
    for ((i = 0; i < 400; i++)); do
        [[ $(count_kept) != "$1" ]] || break
        sleep 0.05
    done
    check_eq "$1" "$(count_kept)" "$2"
}

test_case "the default: what is younger than an hour stays"
serve io_uring=auto
mkdir W V && echo base >W/file && mkdir .snapshots/W/base || exit 1
roll 14
sleep 0.3
check_eq 14 "$(count_kept)" "states"
stop

test_case "at a mount: the newest stay, and the pinned"
serve undo_keep=20,undo_keep_time=0
sleep 0.3
check_eq 14 "$(count_kept)" "fewer than the limit"
pinned=$(kept | tail -n 1)
setfattr -n user.ckptfs.pinned -v 1 ".snapshots/W/$pinned"
stop
serve undo_keep=3,undo_keep_time=0
await_kept 4 "three, and the pinned one"
check_eq $'state 14\nstate 13\nstate 12\nstate 1' "$(contents)" "which they are"
check "the log tells of each" test "$(grep -c 'delete W/pre-rollback-.*limit' "$log")" -eq 10
check_eq base "$(cat .snapshots/W/base/file)" "a checkpoint that has a name is not touched"

test_case "after a rollback, also where nobody looks"
roll 20
await_kept 4 "after 20 more"
check_eq $'state 34\nstate 33\nstate 32\nstate 1' "$(contents)" "which they are"
check_eq base "$(readlink .snapshots/W/latest)" "latest"

test_case "the lists know at once"
before=$(stat -c %y .snapshots/W) listed=$(ls .snapshots/W W/.snapshots)
roll 1
await_kept 4 "states"
check_not "the list is another one" test "$listed" = "$(ls .snapshots/W W/.snapshots)"
check_not "and has another time" test "$before" = "$(stat -c %y .snapshots/W)"
check_eq "$(ls W/.snapshots)" "$(ls .snapshots/W)" "from inside and from the root"

test_case "one that is the parent of something"
states=40
roll 2
await_kept 4 "states"
parent=$(kept | head -n 1)
check_eq "state 42" "$(cat ".snapshots/W/$parent/file")" "the parent to be"
mv -T ".snapshots/W/$parent" .snapshots/W/.live
mkdir .snapshots/W/child
mv -T ".snapshots/W/$parent" F
roll 5
await_kept 4 "states"
# Not by its name: another one of the same second may have that now.
check_eq $'state 47\nstate 46\nstate 45\nstate 1' "$(contents)" "it is gone"
check_eq "state 42" "$(cat .snapshots/W/child/file)" "its child"
check_eq "state 42" "$(cat F/file)" "a workspace that was made of it"
check_match '^(base|null)$' "$(ckpt show -w W -s child --format json | jq -r .parent)" \
    "the child's parent"

test_case "unpinned, it goes"
setfattr -n user.ckptfs.pinned -v 0 ".snapshots/W/$pinned"
await_kept 3 "states"
check_not "it is gone" test -e ".snapshots/W/$pinned"
stop

test_case "when they come of age, without anybody doing anything"
serve undo_keep=1,undo_keep_time=2s
start=$(date +%s%N)
roll 5
check "they are there first" test "$(count_kept)" -ge 5
await_kept 1 "and then not"
check "not too soon" test $(($(date +%s%N) - start)) -ge 2000000000
check "one that goes is no obstacle to what stands in W" test "$(cat W/file)" = base

test_case "a clock that was set back"
stop
query "$store" "UPDATE snapshot SET created_ns = created_ns + 86400000000000
    WHERE kind = 'pre-rollback'"
serve undo_keep=0,undo_keep_time=1h
sleep 0.5
check_eq 1 "$(count_kept)" "a state from the future is young"
stop

test_case "read-only"
query "$store" "UPDATE snapshot SET created_ns = 1 WHERE kind = 'pre-rollback'"
serve undo_keep=0,undo_keep_time=0,ro
sleep 0.5
check_eq 1 "$(count_kept)" "nothing is deleted"
stop

test_case "and what is left is in order"
serve undo_keep=0,undo_keep_time=1h
await_kept 0 "the old one is gone"
check "fsck" ckpt fsck
stop
