#!/bin/bash
# What the daemon does by itself: cleanup at intervals, scheduled checkpoints, free space, and the look at the store's
# health.
# shellcheck source-path=SCRIPTDIR source=../lib/harness.sh
. "$(dirname "${BASH_SOURCE[0]}")/../lib/harness.sh"

store=$scratch/store m=$scratch/mnt log=$scratch/log
export TZ=UTC

serve() {
    serve_store "$store" "$m" "$log" "${1-}"
    cd "$m" || exit 1
}
stop() { cd / && unmount_store "$store" "$m"; }
set_to() { ckpt config "$@" >/dev/null || fail "config $*"; }

# make W NAME...: checkpoints, each of a state of its own.
make() {
    local workspace=$1 name
    shift
    for name; do
        echo "$name" >"$workspace/file"
        mkdir ".snapshots/$workspace/$name" || fail "checkpoint $name"
    done
}
left() { ckpt list -w "$1" --format json | jq -r '.[].name' | paste -sd ' '; }
has_left() { [[ $(left "$1") == "$2" ]]; }
scheduled() { ckpt list -w "$1" --format json | jq '[.[] | select(.kind == "scheduled")] | length'; }
has_scheduled() { (($(scheduled "$1") >= $2)); }
# dated NAME TIME...: as if they had been made then. For a store that nobody serves.
dated() {
    while (($# > 0)); do
        query "$store" "UPDATE snapshot SET created_ns = $(date -u -d "$2" +%s)000000000
            WHERE name = '$1'"
        shift 2
    done
}
# In how many lines of the log.
told() { grep -c "$1" "$log"; }

test_case "what cannot be set"
serve
mkdir W V || exit 1
for setting in schedule=0 schedule=0s schedule=4s schedule=on schedule=30m cleanup.interval=1s \
    cleanup.interval=off cleanup.auto=yes cleanup.min-age=1 space.min-free=91% space.min-free=0 \
    space.min-free=10x health.interval=1s health.used=90 health.used=100% health.snapshots=0; do
    run ckpt config "${setting%%=*}" "${setting#*=}"
    check_eq 2 "$status" "$setting"
    check_eq 1 "$(wc -l <<<"$errors")" "lines about $setting"
done
run ckpt config -w W health.used 80%
check_match 'whole store.*--store' "$errors" "what holds for the store is set there"
check_eq off "$(ckpt config -w W schedule)" "the default"
check_eq 1h "$(ckpt config -w W cleanup.interval)" "the default of an interval"

test_case "nothing happens by itself"
set_to keep.last 1
make W a b c
sleep 3
check_eq "a b c" "$(left W)" "no cleanup without cleanup.auto"

test_case "cleanup at intervals"
set_to cleanup.interval 5s
set_to -w W cleanup.auto on
make V a b c
sleep 3
check_eq "a b c" "$(left W)" "what is younger than min-age stays"
check_eq "a b c" "$(left V)" "and where it is not on, everything"
set_to -w W cleanup.min-age off
await 60 "then the old ones go" has_left W c
check_eq "a b c" "$(left V)" "of this workspace only"
check_match 'automatic cleanup of W: 2 removed, 0 failed' "$(<"$log")" "the log"
make W d e
await 60 "and again" has_left W e

test_case "never removed: pinned, missing, newest, parent of the live state, in writing"
set_to -w W cleanup.auto off
make W pinned lost parent x writing y
ckpt pin -w W -s pinned >/dev/null
volume=$(query "$store" "SELECT volume FROM snapshot WHERE name = 'lost'")
stop
if open_image "$store" "$scratch/image"; then
    btrfs subvolume delete "$scratch/image/volumes/$volume" >/dev/null
    close_image "$scratch/image"
else
    query "$store" "UPDATE snapshot SET missing = 1 WHERE name = 'lost'"
fi
serve busy=detach
exec {fd}>>W/file
# The state that the program goes on writing to takes the name of a checkpoint, and is one.
check_eq 0 "$(rename_flags 2 .snapshots/W/writing W)" "an exchange under a writer"
mkdir .snapshots/W/newest
mv -T .snapshots/W/parent .snapshots/W/.live
set_to -w W cleanup.auto on
await 60 "the others go" test ! -e .snapshots/W/y
check_not "all of them" stat .snapshots/W/x
check "pinned" stat .snapshots/W/pinned
check_match '(^| )lost( |$)' "$(left W)" "missing"
check "the newest" stat .snapshots/W/newest
check "the parent of the live state" stat .snapshots/W/parent
check "in writing" stat .snapshots/W/writing
echo more >&"$fd"
check_match more "$(<.snapshots/W/writing/file)" "and written to"
exec {fd}>&-
await 60 "which goes when nobody writes any more" test ! -e .snapshots/W/writing
check "the missing one is its owner's affair" ckpt delete -w W -s lost --force

test_case "a failure is logged, and the rest goes on"
set_to -w V cleanup.min-age off
stop
CKPTFS_FAILPOINT=delete.before-commit=5@1 serve
set_to -w V cleanup.auto on
await 60 "the other one goes" has_left V "a c"
check_match 'automatic cleanup of V: 1 removed, 1 failed' "$(<"$log")" "the log"
check_match 'clean up V/a failed: .*(injected|Input/output)' "$(<"$log")" "why"
await 60 "and the next run gets it" has_left V c

test_case "timed from the last run, not from the mount"
set_to cleanup.interval 1h
make V d e
stop
serve
sleep 3
check_eq "c d e" "$(left V)" "a mount does not make it due"
stop
query "$store" "UPDATE workspace SET cleaned_ns = cleaned_ns - 3600000000000 WHERE name = 'V'"
serve
await 60 "an hour later it is due" has_left V e
make V f g
sleep 3
check_eq "e f g" "$(left V)" "once"

test_case "a clock that was far ahead"
stop
query "$store" "UPDATE workspace SET cleaned_ns = 7000000000000000000 WHERE name = 'V'"
serve
await 60 "does not stop it" has_left V g
make V h i
sleep 3
check_eq "g h i" "$(left V)" "nor makes it run in a loop"
check "the time is right again" test \
    "$(query "$store" "SELECT cleaned_ns FROM workspace WHERE name = 'V'")" -lt 7000000000000000000
set_to -w V cleanup.min-age 5s
set_to cleanup.interval 5s
stop
dated g 2090-01-01 h 2090-01-02 i 2090-01-03
serve
make V j
await 60 "nor do dates in the future spare anything for ever" has_left V j

test_case "two at once"
set_to -w W cleanup.auto off
set_to -w V cleanup.auto off
# shellcheck disable=SC2046
make V $(seq -f 'n%g' 30)
failed=$(told ' removed, [1-9][0-9]* failed')
set_to -w V cleanup.min-age off
set_to -w V cleanup.auto on
for _ in 1 2 3; do
    ckpt cleanup -w V --keep-last 1 >/dev/null 2>>"$scratch/complaints" || fail "cleanup beside it"
    sleep 0.3
done
await 60 "all are gone but the newest" has_left V n30
check_eq "" "$(<"$scratch/complaints")" "complaints"
check_eq "$failed" "$(told ' removed, [1-9][0-9]* failed')" "runs in which a removal failed"

test_case "killed in the middle"
set_to -w V cleanup.auto off
# shellcheck disable=SC2046
make V $(seq -f 'k%g' 60)
set_to -w V cleanup.auto on
await 60 "some are gone" test ! -e .snapshots/V/k3
cd / && kill_daemon "$store" && umount "$m"
serve
check "and others are not" test -e .snapshots/V/k60
await 60 "the next mount does the rest" has_left V k60
check_eq "no problems found" "$(ckpt fsck 2>&1)" "fsck"
# shellcheck disable=SC2046
make V $(seq -f 'u%g' 60)
await 60 "some are gone" test ! -e .snapshots/V/u3
begin=$(date +%s)
stop
check "an unmount waits for no more than the present removal" test $(($(date +%s) - begin)) -lt 5
serve
await 60 "the next mount does the rest" has_left V u60

test_case "a schedule"
mkdir S
set_to -w S schedule 5s
sleep 3
check_eq "" "$(left S)" "an empty workspace gets none"
echo 1 >S/file
await 60 "a changed one does" has_scheduled S 1
check_match '^auto-[0-9]{8}T[0-9]{6}Z$' "$(left S)" "its name"
check_eq scheduled "$(getfattr --only-values -n user.ckptfs.kind .snapshots/S/auto-*)" "its kind"
check_eq 1 "$(cat .snapshots/S/auto-*/file)" "its content"
check_eq "$(left S)" "$(readlink .snapshots/S/latest)" "it is a checkpoint like others"
sleep 12
check_eq 1 "$(scheduled S)" "without a change none follows"
cat S/file >/dev/null
touch -a S/file
sleep 7
check_eq 1 "$(scheduled S)" "nor if files were only read"
echo 2 >S/file
await 60 "with a change one does" has_scheduled S 2
made=$(left S | tr ' ' '\n' | tail -n 1)
echo 3 >S/file && mkdir .snapshots/S/mine
echo 4 >S/file
sleep 3
check_eq 2 "$(scheduled S)" "one of somebody else serves as well"
await 60 "until it is that old" has_scheduled S 3
check_eq "$made mine" "$(left S | tr ' ' '\n' | sed -n 2,3p | paste -sd ' ')" "in this order"
mv -T ".snapshots/S/$made" .snapshots/S/.live
count=$(scheduled S)
sleep 7
check_eq "$count" "$(scheduled S)" "a state that was rolled back to is no change"
ckpt cleanup -w S --keep-last 1 >/dev/null
check_eq "$made" "$(left S | tr ' ' '\n' | head -n 1)" "keep rules hold for them"

test_case "a schedule outlives the catalog"
set_to -w S schedule 1h
stop
rm "$store"/catalog.db*
serve
check_eq scheduled "$(getfattr --only-values -n user.ckptfs.kind ".snapshots/S/$made")" "its kind"
check_eq 1h "$(ckpt config -w S schedule)" "the setting"
check_eq "no problems found" "$(ckpt fsck 2>&1)" "fsck"

test_case "a limit refuses it, and the log says so once"
set_to -w S limit.snapshots 1
set_to -w S schedule 5s
echo 9 >S/file
await 60 "the log says why" grep -q 'scheduled checkpoint of S: .*limit.snapshots is 1' "$log"
count=$(scheduled S)
sleep 7
check_eq "$count" "$(scheduled S)" "none was made"
check_eq 1 "$(told 'limit.snapshots is 1')" "lines about it"
set_to -w S limit.snapshots off
set_to -w S schedule off

test_case "space.min-free: the oldest go, of all workspaces, until enough is free"
free_bytes() { ckpt df --format json | jq .fs_free_bytes; }
# make_large W NAME: a checkpoint that alone holds 40 MiB.
make_large() {
    rm -f "$1/large"
    fallocate -l 40M "$1/large" && mkdir ".snapshots/$1/$2" && return
    fail "checkpoint $2"
}
mkdir F G
for workspace in F G; do
    set_to -w "$workspace" keep.last 100
    set_to -w "$workspace" cleanup.min-age off
    set_to -w "$workspace" cleanup.auto on
done
make_large F f1
ckpt pin -w F -s f1 >/dev/null
make_large F f2
make_large G g1
make_large F f3
make_large G g2
make_large F f4
rm F/large G/large
sync "$m"
sleep 7
check_eq "f1 f2 f3 f4" "$(left F)" "without it rules decide"
wanted=$(($(free_bytes) + (70 << 20)))
set_to -w F space.min-free "$wanted"
set_to -w G space.min-free "$wanted"
await 90 "the oldest that is not pinned goes" test ! -e .snapshots/F/f2
await 90 "then the next, though a rule keeps it" has_left G g2
sleep 7
check_eq "f1 f3 f4" "$(left F)" "and no more"
check "enough is free" test "$(free_bytes)" -ge "$wanted"
set_to -w F space.min-free 90%
await 90 "in vain" grep -q 'space.min-free: less is free, and no more checkpoints can be removed' "$log"
check_eq "f1 f4" "$(left F)" "what is never removed stays"
check_eq g2 "$(left G)" "and what of others stays for whom enough is free"
sleep 7
check_eq 1 "$(told 'less is free, and no more')" "the log tells once"
set_to -w F cleanup.auto off
set_to -w G cleanup.auto off

test_case "rmdir of a workspace with hidden snapshots"
refused "Directory not empty" rmdir G
check_match 'remove workspace G failed: .*it has 1 snapshots: g2.*ckpt forget' "$(tail -n 5 "$log")" "the log"

test_case "health"
# on_terminal COMMAND...: prints what the command says to a terminal.
on_terminal() {
    python3 - "$@" <<'PYTHON'
import os, pty, sys
child, terminal = pty.fork()
if child == 0:
    os.execvp(sys.argv[1], sys.argv[1:])
said = b""
try:
    while piece := os.read(terminal, 65536):
        said += piece
except OSError:  # EIO: the other side is closed
    pass
os.waitpid(child, 0)
sys.stdout.buffer.write(said.replace(b"\r\n", b"\n"))
PYTHON
}
health() { ckpt status --format json | jq -c '[.health[] | [.key, .workspace]]'; }
check_eq '[]' "$(health)" "nothing to say"
set_to health.interval 5s
make V k l m n
set_to -w V cleanup.auto off
set_to -w V health.snapshots 3
await 60 "the log tells" grep -q 'The workspace V has [0-9]* snapshots, more than health.snapshots (3)' "$log"
sleep 6
check_eq 1 "$(told 'The workspace V has')" "once"
check_eq '[["health.snapshots","V"]]' "$(health)" "status as JSON"
check_match 'WARNING +The workspace V has 5 snapshots' "$(ckpt status)" "status as text"
check_match 'ckpt: The workspace V has 5 snapshots[^'$'\n'']*$' "$(on_terminal ckpt config keep.last)" "on a terminal"
check_eq 1 "$(on_terminal ckpt status | grep -c 'V has')" "status itself tells once"
run ckpt config keep.last
check_eq "" "$errors" "not to a script"
ckpt cleanup -w V --keep-last 1 >/dev/null
await 60 "and when it is over" grep -q 'V: within health.snapshots again' "$log"
check_eq '[]' "$(health)" "status"
set_to health.used 1%
dd if=/dev/urandom of=V/large bs=1M count=60 status=none && sync V/large
check_eq '[["health.used",null]]' "$(health)" "the space"
check_match 'WARNING +More than 1% of the space are used' "$(ckpt status)" "as text"
set_to health.used off
check_eq '[]' "$(health)" "off"

test_case "read-only"
set_to cleanup.interval 5s
set_to -w V cleanup.min-age off
set_to -w V cleanup.auto on
set_to -w V schedule 5s
stop
query "$store" "UPDATE workspace SET cleaned_ns = 0"
serve ro
before=$(left V)
sleep 8
check_eq "$before" "$(left V)" "nothing is done"
check_not "nor tried" grep -qi 'read-only' <(tail -n 5 "$log")
stop

test_case "and what is left is in order"
serve
check_eq "no problems found" "$(ckpt fsck 2>&1)" "fsck"
stop
