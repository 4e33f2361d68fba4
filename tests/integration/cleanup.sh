#!/bin/bash
# ckpt cleanup: what is removed, what is never removed, and concurrent operations.
# shellcheck source-path=SCRIPTDIR source=../lib/harness.sh
. "$(dirname "${BASH_SOURCE[0]}")/../lib/harness.sh"

store=$scratch/store m=$scratch/mnt log=$scratch/log
export TZ=UTC

serve() {
    serve_store "$store" "$m" "$log" "${1-io_uring=auto}"
    cd "$m" || exit 1
}
stop() { cd / && unmount_store "$store" "$m"; }

# make NAME...: checkpoints of W, each of a state of its own.
make() {
    local name
    for name; do
        echo "$name" >W/file
        mkdir ".snapshots/W/$name" || fail "checkpoint $name"
    done
}
left() { ckpt list -w "${1-W}" --format json | jq -r '.[].name' | paste -sd ' '; }
# Without the states that rollbacks kept.
checkpoints() { left | tr ' ' '\n' | grep -v ^pre- | paste -sd ' '; }
# plan ARGS...: "name action reasons" of each.
plan() {
    ckpt cleanup -w W --format json "$@" |
        jq -r '.[] | "\(.name) \(.action) \(.reasons | join(", "))"'
}
# dated NAME TIME...: as if they had been made then. For a store that nobody serves.
dated() {
    while (($# > 0)); do
        query "$store" "UPDATE snapshot SET created_ns = $(date -u -d "$2" +%s)000000000
            WHERE name = '$1'"
        shift 2
    done
}

serve
mkdir W || exit 1
make a b c d e

test_case "without a rule"
run ckpt cleanup -w W
check_eq 2 "$status" "exit status"
check_match 'no rule says what to keep' "$errors" "what it says"
check_eq "a b c d e" "$(left)" "what is left"

test_case "rules that are none"
for value in -1 0 1e9 30m; do
    run ckpt cleanup -w W "--keep=$value"
    check_eq 2 "$status" "--keep=$value"
    run ckpt cleanup -w W "--keep-last=$value"
    check_eq 2 "$status" "--keep-last=$value"
done
run ckpt cleanup -w W --keep-last 3 --keep-daily 0
check_eq 2 "$status" "one good and one bad"
check_eq "a b c d e" "$(left)" "what is left"

test_case "a dry run says why, and removes nothing"
check_eq "a remove no rule keeps it
b remove no rule keeps it
c remove no rule keeps it
d keep last snapshot
e keep newest, parent of the live state, last snapshot" "$(plan --keep 2 --dry-run)" "the plan"
check_eq "a b c d e" "$(left)" "what is left"
run ckpt cleanup -w W --keep-last 2 --dry-run
check_match $'^NAME +ACTION +REASONS\na +remove +no rule keeps it\n' "$output" "the table"

test_case "the run does what the dry run said"
expected=$(plan --keep-last 3 --dry-run)
check_eq "$expected" "$(plan --keep-last 3)" "the same words"
check_eq "c d e" "$(left)" "what is left"
check_eq "c d e" "$(cat .snapshots/W/{c,d,e}/file | paste -sd ' ')" "with their data"
check_not "the others are not to be had" stat .snapshots/W/a
run ckpt cleanup -w W --keep-last 1
check_match '2 removed' "$output" "the last line"

test_case "rules that are set"
make f g h
ckpt config -w W keep.last 2 >/dev/null
run ckpt cleanup -w W
check_eq 0 "$status" "exit status"
check_eq "g h" "$(left)" "what is left"
make i j
check_eq "g h i j" "$(plan --keep-last 9 >/dev/null && left)" "rules given replace them"

test_case "never removed: pinned"
ckpt pin -w W -s g >/dev/null
make k
check_match 'g keep pinned' "$(plan --keep-last 2)" "the reason"
check_eq "g j k" "$(left)" "what is left: pinned ones are not counted"

test_case "never removed: the newest, whatever the rule"
make l
stop
dated l 2001-01-01
serve
check_match 'l keep newest, parent of the live state' "$(plan --keep-within 1h)" "the reason"
check_eq "g j k l" "$(left)" "what is left"

test_case "never removed: the parent of the live state"
make n o p
mv -T .snapshots/W/n .snapshots/W/.live
check_match 'n keep parent of the live state' "$(plan --keep-last 1)" "the reason"
check_eq "g n p" "$(checkpoints)" "what is left"

test_case "never removed: the parent of another workspace's live state"
mv -T .snapshots/W/p F
make q r s
mv -T .snapshots/W/q G
plan --keep-last 1 >"$scratch/plan"
check_match "q keep parent of another workspace's live state" "$(<"$scratch/plan")" "the reason"
check "it is there" test "$(cat .snapshots/W/q/file)" = q
rm -r F/* G/* && rmdir F G
plan --keep-last 1 >/dev/null
check_not "without that workspace it goes" stat .snapshots/W/q

test_case "never removed: what programs go on writing to"
make t
exec {fd}>>W/file
mv -T .snapshots/W/s .snapshots/W/.live 2>/dev/null && fail "the file is not open"
ckpt rollback -w W -s t --force >/dev/null || fail "rollback --force"
kept=$(left | tr ' ' '\n' | grep pre- | tail -n 1)
make u v
check_not "states that rollbacks kept are no affair of the rules" grep -q "$kept" <<<"$(plan --keep-last 1)"
check "and stay" stat ".snapshots/W/$kept"
exec {fd}>&-

test_case "never removed: missing"
make w x
volume=$(query "$store" "SELECT volume FROM snapshot WHERE name = 'w'")
stop
open_image "$store" "$scratch/image" || skip_test "the image cannot be mounted by hand"
check "its volume is deleted by hand" btrfs subvolume delete "$scratch/image/volumes/$volume"
close_image "$scratch/image"
serve
check_match 'w keep its data is missing' "$(plan --keep-last 1)" "the reason"
check_match '(^| )w( |$)' "$(left)" "it is listed still"
check "until its owner gives it up" ckpt delete -w W -s w --force

test_case "periods of the calendar"
plan --keep-last 1 >/dev/null && ckpt unpin -w W -s g >/dev/null
make m1 m2 m3 m4 now
stop
dated m1 2026-01-01T10:00 m2 2026-01-01T20:00 m3 2026-01-02T10:00 m4 2026-01-02T20:00 x 2025-06-01 g 2025-01-01
serve
plan --keep-daily 3 >"$scratch/plan"
check_match 'm1 remove no rule keeps it' "$(<"$scratch/plan")" "the first of a day"
check_match 'm2 keep daily snapshot' "$(<"$scratch/plan")" "the last of a day"
check_match 'm4 keep daily snapshot' "$(<"$scratch/plan")" "the last of the next"
check_match 'now keep newest, parent of the live state, daily snapshot' "$(<"$scratch/plan")" "today"
check_eq "m2 m4 now" "$(left | tr ' ' '\n' | grep '^[mn]' | paste -sd ' ')" "what is left"

test_case "a clock that was wrong"
make y z
stop
dated m2 2090-01-01 m4 2090-01-02
serve
check_match 'm2 keep dated after now' "$(plan --keep-daily 1)" "the reason"
check "what is dated after now stays" stat .snapshots/W/m2 .snapshots/W/m4
plan --keep-last 1 >/dev/null
check_not "a count asks for no time" stat .snapshots/W/m2
stop
dated z 2050-01-01
serve
make after1 after2
plan --keep-within 1d >/dev/null
check "what was made after that clock was put right stays, too" stat .snapshots/W/after1
stop
query "$store" "UPDATE snapshot SET created_ns = created_ns - 86400000000000 * 365 * 70
    WHERE created_ns > 2500000000000000000"
serve

test_case "a failure is told, and the rest goes on"
make f1 f2 f3 f4
stop
# The second removal fails, as one would of a disk that does; the others do not.
CKPTFS_FAILPOINT=delete.before-commit=5@2 serve
run ckpt cleanup -w W --keep-last 1
check_eq 1 "$status" "exit status"
check_match 'ckpt: .*(injected|Input/output)' "$errors" "what it says"
check_eq 1 "$(grep -c FAILED <<<"$output")" "failures in the table"
check_eq 2 "$(checkpoints | wc -w)" "the newest is left, and that one"
stop
serve
ckpt cleanup -w W --keep-last 1 >/dev/null
check_eq f4 "$(checkpoints)" "the next one gets it"

test_case "two at once"
names=$(seq -f 'n%g' 40)
# shellcheck disable=SC2086 # words
make $names
ckpt cleanup -w W --keep-last 5 --format json >"$scratch/one" 2>"$scratch/one.err" &
first=$!
ckpt cleanup -w W --keep-last 5 --format json >"$scratch/two" 2>"$scratch/two.err"
check_eq 0 "$?" "the second"
wait "$first"
check_eq 0 "$?" "the first"
check_eq "" "$(cat "$scratch"/{one,two}.err)" "complaints"
check_eq "n36 n37 n38 n39 n40" "$(checkpoints)" "what is left"

test_case "checkpoints come in between"
# shellcheck disable=SC2046
make $(seq -f 'p%g' 60)
ckpt cleanup -w W --keep-last 1 >"$scratch/long" 2>&1 &
cleaner=$!
made=0
while kill -0 "$cleaner" 2>/dev/null; do
    mkdir ".snapshots/W/beside-$((made++))" || fail "a checkpoint beside it"
done
wait "$cleaner"
check_eq 0 "$?" "the cleanup"
check "several were made while it ran" test "$made" -ge 3
check_eq "$made" "$(left | tr ' ' '\n' | grep -c beside)" "and none of them went"

test_case "pinned, or rolled back to, while it runs"
# shellcheck disable=SC2046
make $(seq -f 'q%g' 30)
ckpt cleanup -w W --keep-last 1 --format json >"$scratch/plan" &
cleaner=$!
ckpt pin -w W -s q29 >/dev/null && mv -T .snapshots/W/q28 .snapshots/W/.live
wait "$cleaner"
check "the pinned one stays" stat .snapshots/W/q29
check "what the live state derives from stays" stat .snapshots/W/q28

test_case "of all workspaces"
mkdir V && mkdir .snapshots/V/a .snapshots/V/b .snapshots/V/c
run ckpt cleanup --keep-last 2
check_match $'^WORKSPACE +NAME +ACTION +REASONS' "$output" "the table"
check_eq "b c" "$(left V)" "the other workspace"

test_case "who may"
chmod 755 "$scratch" && chown 4242 V
setpriv --reuid 4242 --regid 4242 --clear-groups "$bin/ckpt" --version >/dev/null 2>&1 && {
    as_user() { setpriv --reuid 4242 --regid 4242 --clear-groups "$@"; }
    run as_user ckpt cleanup -w W --keep-last 1
    check_eq 1 "$status" "another's workspace"
    check "a dry run there is a question" as_user ckpt cleanup -w W --keep-last 1 --dry-run
    check "the own" as_user ckpt cleanup -w V --keep-last 1
    check_eq "c" "$(left V)" "what is left"
}

test_case "read-only"
mkdir .snapshots/V/d .snapshots/V/e
stop
serve ro
check_match 'd +remove' "$(ckpt cleanup -w V --keep-last 1 --dry-run)" "a dry run"
run ckpt cleanup -w V --keep-last 1
check_eq 1 "$status" "exit status"
check_match 'read-only' "$errors" "what it says"
check_eq 1 "$(wc -l <<<"$errors")" "lines"
check_eq "c d e" "$(left V)" "what is left"
stop

test_case "and what is left is in order"
serve
check_eq "no problems found" "$(ckpt fsck 2>&1)" "fsck"
stop
