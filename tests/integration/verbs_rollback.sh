#!/bin/bash
# Rollback by name and in place, exchange, promotion, fork, and undo through pre-rollback-….
# Names here are plain, and `a && b || fail` is meant as it stands.
# shellcheck disable=SC2010,SC2012,SC2015,SC2086
# shellcheck source-path=SCRIPTDIR source=../lib/harness.sh
. "$(dirname "${BASH_SOURCE[0]}")/../lib/harness.sh"

store=$scratch/store m=$scratch/mnt
mount_store "$store" "$m" || exit 1
cd "$m" || exit 1

# The snapshots of workspace $1 that rollbacks made, oldest first.
kept_states() {
    local snapshot
    ls -tr ".snapshots/$1" | while IFS= read -r snapshot; do
        [[ $(getfattr -n user.ckptfs.kind --only-values ".snapshots/$1/$snapshot" 2>/dev/null) == pre-rollback ]] &&
            printf '%s\n' "$snapshot"
    done
}
kept_count() { kept_states "$1" | wc -l; }

# A tree with what a rollback has to bring back.
mkdir W && cd W || exit 1
mkdir -p src/deep 'with space' && echo one >file && echo a >src/a && echo b >src/deep/b && echo gone >doomed
ln file hard && ln -s file soft && mkfifo pipe && chmod 640 file && chown 12:34 src
setfattr -n user.x -v y src/a && truncate -s 1M sparse && touch -d '2001-02-03 04:05:06.789' 'with space'
cd .. && manifest W >"$scratch/before"
mkdir .snapshots/W/s1

damage() {
    echo two >"$1/file" && rm "$1/doomed" && rm -r "$1/src/deep" && mkdir "$1/new" && echo n >"$1/new/n" &&
        chmod 777 "$1/file" && mv "$1/src" "$1/renamed" && touch "$1/with space"
}

test_case "mv -T over the workspace rolls back"
damage W
manifest W >"$scratch/damaged"
check_not "the tree is another" diff -q "$scratch/before" "$scratch/damaged"
check "mv -T" mv -T .snapshots/W/s1 W
manifest W >"$scratch/after"
check "the tree is what it was" diff "$scratch/before" "$scratch/after"
check_eq 2 "$(stat -c %h W/hard)" "hard links"
check_eq y "$(getfattr --only-values -n user.x W/src/a)" "xattrs"
check_not "what came later is gone" test -e W/new
check "the snapshot is still there" test -f .snapshots/W/s1/file
check_eq s1 "$(readlink .snapshots/W/latest)" "latest"

test_case "the state before is kept"
check_eq 1 "$(kept_count W)" "kept states"
kept=$(kept_states W)
check_match '^pre-rollback-[0-9]{8}T?-?[0-9]{6}' "$kept" "its name"
manifest ".snapshots/W/$kept" >"$scratch/kept"
check "its tree" diff "$scratch/damaged" "$scratch/kept"
check_eq pre-rollback "$(getfattr --only-values -n user.ckptfs.kind ".snapshots/W/$kept")" "its kind"
check_eq s1 "$(getfattr --only-values -n user.ckptfs.parent ".snapshots/W/$kept")" "its parent"

test_case "nothing changed: nothing is kept"
check "a rollback to what is there" mv -T .snapshots/W/s1 W
check_eq 1 "$(kept_count W)" "kept states"
check "in place" mv -T .snapshots/W/s1 .snapshots/W/.live
check_eq 1 "$(kept_count W)" "kept states"
cat W/file W/src/a >/dev/null
check "after reading only" mv -T .snapshots/W/s1 W
check_eq 1 "$(kept_count W)" "kept states"
manifest W >"$scratch/after"
check "the tree is what it was" diff "$scratch/before" "$scratch/after"
# Another access time, at the top and below, of files and of directories.
touch -a -d 2001-01-01 W W/file W/src W/src/a
check_eq "nothing changed since W/s1" "$(ckpt checkpoint -w W --if-changed)" "access times: ckpt checkpoint"
check_eq '' "$(ckpt diff -w W -f s1)" "access times: ckpt diff"
check_eq "rolled back W to s1; the state before was that of s1" "$(ckpt rollback -w W -s s1)" "access times: ckpt rollback"
check_eq 1 "$(kept_count W)" "kept states"
touch -a -d 2001-01-01 W/file
check "access times: mv -T" mv -T .snapshots/W/s1 W
check_eq "1 s1" "$(kept_count W) $(readlink .snapshots/W/latest)" "kept states"
touch -a -d 2001-01-01 W/file
check "access times: mv -T, inside" mv -T W/.snapshots/s1 W/.snapshots/.live
check_eq "1 1" "$(kept_count W) $(find W/.snapshots/ -mindepth 1 -maxdepth 1 -name 'pre-*' | wc -l)" "kept states"
# What is as it was in the end.
mode=$(stat -c %a W/file) && chmod 700 W/file && chmod "$mode" W/file && touch W/new && rm W/new
mv W/file W/moved && mv W/moved W/file
check_eq '' "$(ckpt diff -w W -f s1)" "there and back: ckpt diff"
check_eq "nothing changed since W/s1" "$(ckpt checkpoint -w W --if-changed)" "there and back: ckpt checkpoint"
check "there and back: mv -T" mv -T .snapshots/W/s1 W
check_eq 1 "$(kept_count W)" "kept states"
# However much was made in the same moment as the checkpoint.
mkdir M && (cd M && for ((i = 0; i < 60; i++)); do mkdir $i && (cd $i && touch {1..100}); done) && mkdir .snapshots/M/s
touch -a -d 2001-01-01 M/3/7 M/50/50
# On device-mapper a tree of more than 5,000 files is not looked through.
was="the state before was that of s"
[[ ${CKPTFS_TEST_BACKEND-} != dm-* ]] || was="the state before is kept as pre-rollback-[0-9TZ-]+"
check_match "^rolled back M to s; $was\$" "$(ckpt rollback -w M -s s)" "one of many files read"
# Each difference that ckpt diff tells of, by itself; each state that is kept for it goes again.
for change in "echo x >>W/file" "rm W/file" "rm W/src/a" "mv W/src/a W/src/b" "mkdir W/src/empty" \
    "touch -m -d 2001-01-01 W/file" "chmod 123 W/src" "chown 5:6 W/file" "setfattr -n user.y -v 1 W/src" \
    "ln W/file W/file-2" "chattr +A W/file" "ln -s x W/link" "mkfifo W/fifo"; do
    bash -c "$change"
    check "$change: ckpt diff tells" test -n "$(ckpt diff -w W -f s1)"
    check_match 'is kept as pre-rollback-' "$(ckpt rollback -w W -s s1)" "$change: it is kept"
    rmdir ".snapshots/W/$(kept_states W | grep -vxF "$kept")"
done
# A file without a name that somebody has open is a difference.
exec {open}<>W/gone && rm W/gone && exec {reading}<"/proc/self/fd/$open" {open}>&-
check_match 'is kept as pre-rollback-' "$(ckpt rollback -w W -s s1)" "an open file without a name"
exec {reading}<&-
rmdir ".snapshots/W/$(kept_states W | grep -vxF "$kept")"
# The live state is equal to s2, not to s1.
echo two >W/file && mkdir .snapshots/W/s2
check "back from a checkpoint" mv -T .snapshots/W/s1 W
check_eq "1 one" "$(kept_count W) $(cat W/file)" "kept states"
check "and forward" mv -T .snapshots/W/s2 W
check_eq "1 two" "$(kept_count W) $(cat W/file)" "kept states"
chmod 600 W/file
check "a mode is a change" mv -T .snapshots/W/s2 W
check_eq 2 "$(kept_count W)" "kept states"
# Content of the same length, by a mapping or in place, is a change.
printf 'TWO\n' 1<>W/file
check "content is a change" mv -T .snapshots/W/s2 W
check_eq "3 two" "$(kept_count W) $(cat W/file)" "kept states"

test_case "undo"
mv -T .snapshots/W/s1 W
damage W
manifest W >"$scratch/damaged"
mv -T .snapshots/W/s1 W
newest=$(ls -t .snapshots/W | head -n 1)
check_match '^pre-rollback-' "$newest" "the newest"
check_eq "s2 s2" "$(readlink .snapshots/W/latest) $(readlink W/.snapshots/latest)" "latest is no kept state"
check "undo" mv -T ".snapshots/W/$newest" W
manifest W >"$scratch/after"
check "the damaged tree is back" diff "$scratch/damaged" "$scratch/after"
check "redo" mv -T .snapshots/W/s1 W
manifest W >"$scratch/after"
check "the good tree is back" diff "$scratch/before" "$scratch/after"
rmdir ".snapshots/W/$newest"
manifest W >"$scratch/after"
check "the tree lives without what it came from" diff "$scratch/before" "$scratch/after"

test_case "retry after retry from the newest checkpoint"
mkdir L && echo good >L/file && mkdir .snapshots/L/before
for try in 1 2 3; do
    echo "failed $try" >L/file
    check "try $try" ckpt rollback -w L -s latest
    check_eq "good before" "$(cat L/file) $(readlink .snapshots/L/latest)" "after try $try"
done
echo "failed 4" >L/file && run ckpt rollback -w L -n 1
check_eq "0 good" "$status $(cat L/file)" "by number"
kept=$(kept_states L | head -n 1)
check_eq good "$(cat .snapshots/L/latest/file)" "through the link"
check_eq before "$(ckpt show -w L -s latest --format json | jq -r .name)" "ckpt show"
check_eq '' "$(ckpt diff -w L -f latest)" "ckpt diff"
check_eq before "$(ckpt list -w L --format json | jq -r 'map(select(.kind != "pre-rollback"))[-1].name')" \
    "as ckpt(1) finds it"
mv ".snapshots/L/$kept" .snapshots/L/kept-by-hand
check_eq before "$(readlink .snapshots/L/latest)" "a kept state under a name of its own"
rmdir .snapshots/L/before
for list in .snapshots/L L/.snapshots; do check_not "no checkpoint: no latest" test -L $list/latest; done
run ckpt rollback -w L -s latest
check_eq "3 ckpt: find snapshot L/latest: it has no checkpoint. 'ckpt list' shows them." "$status $errors" "refused"
run ckpt rollback -w L -n 1
check_eq "3 ckpt: find checkpoint 1 of L: it has 0. 'ckpt list' shows them." "$status $errors" "refused"
mkdir .snapshots/L/again
check_eq again "$(readlink .snapshots/L/latest)" "there is one again"

test_case "rollback in place, in both lists"
for live in .snapshots/W W/.snapshots; do
    damage W
    check "mv -T onto .live" mv -T $live/s1 $live/.live
    manifest W >"$scratch/after"
    check "the tree is what it was" diff "$scratch/before" "$scratch/after"
    check "the snapshot is still there" test -f $live/s1/file
    check ".live is still there" test -d $live/.live
    check_not ".live is not listed" grep -q live <(ls -A $live)
done
(
    begin_subshell
    cd W && rm file || exit 1
    check "from inside, by relative names" mv -T .snapshots/s1 .snapshots/.live
    check_eq one "$(cat file)" "the shell sees it"
    cd .snapshots && rm ../file || exit 1
    check "from the list itself" mv -T s1 .live
    check_eq one "$(cat ../file)" "the shell sees it"
    check "twice" mv -T s1 .live
    end_subshell
)
join_subshell
check_eq EEXIST "$(rename_flags 1 .snapshots/W/s1 .snapshots/W/.live)" "NOREPLACE onto .live"
check_eq EEXIST "$(rename_flags 1 .snapshots/W/s1 W)" "NOREPLACE onto the workspace"

test_case "without -T, and other places"
echo live >W/file
refused "Operation not permitted" mv .snapshots/W/s1 W
refused "Operation not permitted" mv .snapshots/W/s1 W/
check_eq EPERM "$(rename_flags 0 .snapshots/W/s1 W/inside)" "into the workspace"
check_eq EPERM "$(rename_flags 0 .snapshots/W/s1 W/src)" "onto a directory of the workspace"
check_eq EPERM "$(rename_flags 2 .snapshots/W/s1 W/src)" "exchange with a directory of the workspace"
check_eq EPERM "$(rename_flags 0 W/src .snapshots/W/new)" "a directory into the list"
check_eq EPERM "$(rename_flags 0 W/file .snapshots/W/new)" "a file into the list"
check_eq EPERM "$(rename_flags 0 W/src W/.snapshots/new)" "a directory into the inner list"
check_eq EPERM "$(rename_flags 0 .snapshots/W/s1 .snapshots/other)" "a snapshot into .snapshots"
check_eq EPERM "$(rename_flags 0 W .snapshots/W/new)" "a workspace into the list"
check_eq EPERM "$(rename_flags 0 W .snapshots/new)" "a workspace into .snapshots"
check_eq EPERM "$(rename_flags 0 W/src .snapshots/new)" "a directory into .snapshots"
check_eq EROFS "$(rename_flags 0 W/src .snapshots/W/s1/new)" "a directory into a snapshot"
check_eq EROFS "$(rename_flags 0 .snapshots/W/s1/src W/new)" "a directory out of a snapshot"
check_eq EROFS "$(rename_flags 0 .snapshots/W/s1/src/a W/new)" "a file out of a snapshot's subdirectory"
check_eq EROFS "$(rename_flags 0 .snapshots/W/s1/src new)" "a directory out of a snapshot to the mount root"
refused "Operation not permitted" mv W/file .snapshots/W/
refused "Operation not permitted" mv W/src .snapshots/W/
check "mv of a snapshot out of the mount fails" test "$(mv .snapshots/W/s1 "$scratch/out" 2>&1 | grep -c .)" -gt 0
rm -rf "$scratch/out"
# A target above the source: the kernel answers itself.
check_not "mv -T W/.snapshots/s1 W" mv -T W/.snapshots/s1 W
mkdir V && mkdir .snapshots/V/v1
check_eq EPERM "$(rename_flags 0 .snapshots/W/s1 .snapshots/V/s1)" "a snapshot into another list"
check_eq EPERM "$(rename_flags 0 .snapshots/W/s1 .snapshots/V/.live)" "a snapshot onto another .live"
check_eq EPERM "$(rename_flags 2 .snapshots/W/s1 .snapshots/V/v1)" "exchange between lists"
check_eq EPERM "$(rename_flags 2 .snapshots/W/s1 V)" "exchange with another workspace"
check_eq ENOENT "$(rename_flags 2 .snapshots/W/s1 nowhere)" "exchange with nothing"
check_eq "live one" "$(cat W/file) $(cat .snapshots/W/s1/file)" "nothing happened"
check_eq '' "$(ls -A V)" "nor there"

test_case "exchange by name"
mv -T .snapshots/W/s1 W
damage W
manifest W >"$scratch/damaged"
count=$(ls .snapshots/W | wc -l)
number=$(stat -c %i .snapshots/W/s1)
check_eq 0 "$(rename_flags 2 .snapshots/W/s1 W)" "exchange"
manifest W >"$scratch/after"
check "the workspace is restored" diff "$scratch/before" "$scratch/after"
manifest .snapshots/W/s1 >"$scratch/after"
check "the snapshot has the state before" diff "$scratch/damaged" "$scratch/after"
manifest W/.snapshots/s1 >"$scratch/after"
check "inside too" diff "$scratch/damaged" "$scratch/after"
check_eq "$count" "$(ls .snapshots/W | wc -l)" "no snapshot was added"
check_not "another state has another number" test "$number" = "$(stat -c %i .snapshots/W/s1)"
refused "Read-only file system" touch .snapshots/W/s1/x
check "the workspace is writable" touch W/x
rm W/x
check_eq 0 "$(rename_flags 2 W .snapshots/W/s1)" "exchange, named the other way round"
manifest W >"$scratch/after"
check "back" diff "$scratch/damaged" "$scratch/after"
manifest .snapshots/W/s1 >"$scratch/after"
check "and the snapshot" diff "$scratch/before" "$scratch/after"

test_case "exchange onto .live"
for live in .snapshots/W W/.snapshots; do
    check_eq 0 "$(rename_flags 2 $live/s1 $live/.live)" "exchange"
    manifest W >"$scratch/after"
    check "the workspace is restored" diff "$scratch/before" "$scratch/after"
    manifest $live/s1 >"$scratch/after"
    check "the snapshot has the state before" diff "$scratch/damaged" "$scratch/after"
    check_eq 0 "$(rename_flags 2 $live/.live $live/s1)" "back, named the other way round"
    manifest W >"$scratch/after"
    check "the workspace is as before" diff "$scratch/damaged" "$scratch/after"
done
setfattr -n user.ckptfs.pinned -v 1 .snapshots/W/s1
check_eq EBUSY "$(rename_flags 2 .snapshots/W/s1 W)" "exchange of a pinned one"
check "rollback to a pinned one" mv -T .snapshots/W/s1 W
setfattr -n user.ckptfs.pinned -v 0 .snapshots/W/s1
check_eq 0 "$(rename_flags 2 .snapshots/W/s1 W)" "exchange with nothing changed"
manifest W >"$scratch/after" && check "the workspace" diff "$scratch/before" "$scratch/after"
manifest .snapshots/W/s1 >"$scratch/after" && check "the snapshot" diff "$scratch/before" "$scratch/after"

test_case "fork"
check "mv -T onto a free name" mv -T .snapshots/W/s1 N
manifest N >"$scratch/after"
check "the fork's tree" diff "$scratch/before" "$scratch/after"
check "the snapshot is still there" test -f .snapshots/W/s1/file
check_eq '' "$(ls -A .snapshots/N)" "a fork has no snapshots"
echo forked >N/file
check_eq "one one" "$(cat W/file) $(cat .snapshots/W/s1/file)" "its writes are its own"
check "without -T a free name is the same" mv W/.snapshots/s1 N2
check_eq one "$(cat N2/file)" "the second fork"
check_eq 0 "$(rename_flags 1 .snapshots/W/s1 N3)" "NOREPLACE"
check_eq EEXIST "$(rename_flags 1 .snapshots/W/s1 N3)" "NOREPLACE again"
check "a checkpoint of a fork" mkdir .snapshots/N/n1
mv -T .snapshots/N/n1 N4
check_eq forked "$(cat N4/file)" "a fork of a fork"
rm -r N4/* && rmdir N4 && check_eq forked "$(cat .snapshots/N/n1/file)" "a fork is removed"

test_case "promote"
damage W
manifest W >"$scratch/damaged"
count=$(kept_count W)
check "another workspace's snapshot" mv -T .snapshots/N/n1 W
check_eq forked "$(cat W/file)" "its state"
check_eq $((count + 1)) "$(kept_count W)" "kept states"
manifest ".snapshots/W/$(kept_states W | tail -n 1)" >"$scratch/after"
check "the state before" diff "$scratch/damaged" "$scratch/after"
check "the snapshot stays where it was" test -f .snapshots/N/n1/file
check_not "and only there" test -e .snapshots/W/n1
check_eq forked "$(cat N/file)" "the other workspace"
check "a checkpoint afterwards" mkdir .snapshots/W/promoted
mkdir empty
check "onto an empty workspace, from the inner list" mv -T W/.snapshots/s1 empty
manifest empty >"$scratch/after"
check "its state" diff "$scratch/before" "$scratch/after"
rm -r empty/*
refused "Directory not empty" rmdir empty # its state before is kept
rmdir .snapshots/empty/* && check "rmdir" rmdir empty

test_case "all of it after a remount"
for tree in W N N2 .snapshots/W/s1 .snapshots/N/n1; do manifest $tree; done >"$scratch/all-before"
(cd .snapshots && ls -t W N) >>"$scratch/all-before"
cd / && unmount_store "$store" "$m" && mount_store "$store" "$m" && cd "$m" || exit 1
for tree in W N N2 .snapshots/W/s1 .snapshots/N/n1; do manifest $tree; done >"$scratch/all-after"
(cd .snapshots && ls -t W N) >>"$scratch/all-after"
check "the same" diff "$scratch/all-before" "$scratch/all-after"
cd / && unmount_store "$store" "$m"

test_case "undo=off"
mount_store "$store" "$m" undo=off && cd "$m" || exit 1
count=$(kept_count W)
echo lost >W/lost
check "rollback" mv -T .snapshots/W/s1 W
manifest W >"$scratch/after"
check "the tree" diff "$scratch/before" "$scratch/after"
check_eq "$count" "$(kept_count W)" "nothing is kept"
check_eq 0 "$(rename_flags 2 .snapshots/W/promoted W)" "an exchange keeps the state under the name"
check_eq one "$(cat .snapshots/W/promoted/file)" "that state"
cd / && unmount_store "$store" "$m"

test_case "ro"
mount_store "$store" "$m" ro && cd "$m" || exit 1
check_eq forked "$(cat W/file)" "reading"
refused "Read-only file system" mkdir .snapshots/W/x
refused "Read-only file system" rmdir .snapshots/W/s1
refused "Read-only file system" mv -T .snapshots/W/s1 W
refused "Read-only file system" mv -T .snapshots/W/s1 NEW
refused "Read-only file system" mkdir NEW
refused "Read-only file system" touch W/file
refused "Read-only file system" setfattr -n user.ckptfs.message -v x .snapshots/W/s1
cd /
