#!/bin/bash
# ckpt recover: a plain directory takes the place of the symlink that ckpt init made.
# Names here are plain.
# shellcheck disable=SC2012
# shellcheck source-path=SCRIPTDIR source=../lib/harness.sh
. "$(dirname "${BASH_SOURCE[0]}")/../lib/harness.sh"

for program in setfattr getfattr setfacl getfacl chattr lsattr jq; do
    command -v "$program" >/dev/null || skip_test "there is no $program"
done
store=$scratch/store m=$scratch/mnt
mount_store "$store" "$m" || exit 1
mkdir "$scratch/home" && cd "$scratch/home" || exit 1
home=$PWD

# Everything that a manifest does not show: links, extended attributes, ACLs, allocated blocks.
details() {
    (cd "$1" && find . -mindepth 1 ! -type d -printf '%p %n\n' | sort &&
        find . -type f -links +1 -printf '%i %p\n' | sort -k 2 |
        awk '{ if (!($1 in first)) first[$1] = $2; print $2, first[$1] }' &&
        find . -print0 | sort -z | xargs -0 getfattr -h -d -m - 2>/dev/null &&
        find . ! -type l -print0 | sort -z | xargs -0 getfacl -n && stat -c '%n %b' sparse && stat -c '%a %u %g %y %F' . &&
        find . -type c -printf '%p ' -exec stat -c '%t:%T' {} +)
}
whole() { manifest "$1" && details "$1"; }
names() { ls -A "$1" | paste -sd ' '; }

# A tree with one of everything.
make_tree() {
    mkdir "$1" "$1/dir" "$1/dir/deep" "$1/closed"
    echo content >"$1/dir/file"
    ln "$1/dir/file" "$1/hard"
    ln "$1/dir/file" "$1/dir/deep/harder"
    ln -s dir/file "$1/symlink"
    ln -s /nowhere/at/all "$1/dangling"
    truncate -s 8M "$1/sparse" && printf x | dd of="$1/sparse" bs=1 seek=4M conv=notrunc status=none
    mkfifo "$1/fifo"
    mknod "$1/null" c 1 3
    python3 -c 'import socket, sys; socket.socket(socket.AF_UNIX).bind(sys.argv[1])' "$1/socket"
    setfattr -n user.note -v text "$1/dir/file"
    setfattr -n user.of-root -v root "$1"
    setfattr -n trusted.mark -v t "$1/dir"
    setfattr -h -n trusted.link -v l "$1/symlink"
    setfacl -m u:1234:rw "$1/dir/file"
    setfacl -d -m g:4321:rwx "$1/dir"
    echo '#!/bin/sh' >"$1/tool"
    chown 1000:1001 "$1/tool" "$1/dir/deep"
    chmod 6755 "$1/tool"
    setfattr -n security.capability -v 0x0100000200200000000000000000000000000000 "$1/sparse"
    chmod 0500 "$1/closed"
    touch -d 2001-02-03T04:05:06.789 "$1/dir/file" "$1/dir/deep" "$1/symlink" -h
    touch -d 2002-02-03T04:05:06.7 "$1/dir" "$1"
    chmod 2750 "$1"
}

test_case "what init took in is given back"
make_tree tree
want=$(whole tree)
check "init" ckpt init --mount "$m" tree
rm -rf tree.before-ckptfs
check "tree is a symlink" test -L tree
run ckpt recover tree
check_eq 0 "$status" "exit status ($errors)"
check_match "tree is a plain directory again, with the state of tree/" "$output" "what it says"
check_match "workspace tree stays" "$output" "that the workspace stays"
check "tree is a directory" test -d tree -a ! -L tree
check_eq "$want" "$(whole tree)" "everything in it"
check_eq "tree" "$(names .)" "nothing else is there"
check_eq 1 "$(ls "$m/.snapshots/tree" | wc -l)" "snapshots of the workspace"
check_eq content "$(cat "$m/tree/dir/file")" "the workspace"

test_case "the live state, not the last checkpoint"
rm -rf tree && ln -s "$m/tree" tree
echo newer >tree/dir/file
rm tree/symlink
run ckpt recover --format json tree/
check_eq 0 "$status" "exit status ($errors)"
check_eq "$home/tree tree false null 3" \
    "$(jq -r '"\(.path) \(.workspace) \(.forgotten) \(.changed) \(.files)"' <<<"$output")" "JSON"
check_eq newer "$(cat tree/dir/deep/harder)" "what was written last"
check_eq "$(manifest "$m/tree")" "$(manifest tree)" "the tree"
check_eq 2 "$(ls "$m/.snapshots/tree" | wc -l)" "a checkpoint was taken"

test_case "a directory with a default ACL, and with the set-group-id bit"
mkdir shared && chgrp 77 shared && chmod 2777 shared && setfacl -d -m u:55:rwx shared
ln -s "$m/tree" shared/tree
want=$(whole "$m/tree")
check "recover" ckpt recover shared/tree
check_eq "$want" "$(whole shared/tree)" "nothing is inherited"
rm -rf shared

test_case "flags"
flags() { (cd "$1" && lsattr -d dir plain immutable append nodump dir/below | sed -E 's/^([^ e]*)e/\1-/'); }
mkdir "$m/flags" && cd "$m/flags" && mkdir dir dir/below && touch plain nodump append immutable
ln immutable dir/below/link
chattr +d nodump && chattr +a append && chattr +i immutable dir/below && chattr +A dir
cd "$home" && ln -s "$m/flags" flags
want=$(flags "$m/flags")
check_match "i.*immutable" "$want" "the workspace has them"
{ CKPTFS_FAILPOINT=recover.before-exchange ckpt recover flags; } 2>/dev/null
check_match "i.*immutable" "$(flags .flags.ckptfs-recover/copy)" "a half-made copy has them"
run ckpt recover flags
check_eq 0 "$status" "exit status ($errors)"
check_eq "$want" "$(flags flags)" "the directory"
check_eq 2 "$(stat -c %h flags/immutable)" "links"
check_eq "flags tree" "$(names .)" "nothing else is left"
chattr -R -ia flags "$m/flags"
rm -rf flags

test_case "with --forget the workspace goes"
rm -rf tree && ln -s "$m/tree" tree
run ckpt recover tree --forget </dev/null
check_eq 2 "$status" "not without consent"
check_match 'Say so: --yes' "$errors" "what it says"
snapshot=$(ls "$m/.snapshots/tree" | head -n 1)
ckpt pin -w "$m/tree" -s "$snapshot" >/dev/null
run ckpt recover tree --forget --yes
check_eq 5 "$status" "a pinned snapshot stops it"
check_match "1 of its snapshots is pinned" "$errors" "what it says"
check "tree is a symlink" test -L tree
check_eq "tree" "$(names .)" "nothing was made"
ckpt unpin -w "$m/tree" -s "$snapshot" >/dev/null
want=$(manifest "$m/tree")
run ckpt recover tree --forget --yes
check_eq 0 "$status" "exit status ($errors)"
check_match "forgot tree and its 2 snapshots" "$output" "what it says"
check_eq "$want" "$(manifest tree)" "the tree"
check_not "the workspace is gone" test -e "$m/tree"
rm -rf tree

mkdir "$m/w" && echo one >"$m/w/a" && ln -s "$m/w" w
still() {
    check_eq "$m/w" "$(readlink w)" "$1: the symlink is there"
    check_eq "${2-w}" "$(names .)" "$1: nothing else"
    check_eq one "$(cat w/a)" "$1: its file"
}

test_case "a fork that has not changed since"
ckpt checkpoint -w "$m/w" -s s >/dev/null && ckpt fork -w "$m/w" -s s f >/dev/null && ln -s "$m/f" f
echo two >w/a && rm "$m/w/a" && echo one >w/a # so that w/s is not what w is
run ckpt recover f
check_eq 0 "$status" "exit status ($errors)"
check_eq one "$(cat f/a)" "the directory"
check_eq 1 "$(ls "$m/.snapshots/f" | wc -l)" "it has a checkpoint of its own"
rm -r f

test_case "programs that use it"
stand_in() { cd "$1" && exec sleep 60; }
stands() { [[ $(readlink "/proc/$1/cwd") == "$2" ]]; }
background stand_in "$m/w"
sleeper=$!
await 10 "it stands there" stands "$sleeper" "$m/w"
run ckpt recover w
check_eq 5 "$status" "one that stands in it"
check_match "the workspace is in use: .*\(pid $sleeper\) stands in it\. .*--force" "$errors" "what it says"
check_eq 1 "$(wc -l <<<"$errors")" "one line"
still "in use"
kill "$sleeper"
exec {fd}<w/a
run ckpt recover w
check_match "has a open" "$errors" "an open file"
check_eq 5 "$status" "exit status"
run ckpt recover w --force
check_eq 0 "$status" "with --force ($errors)"
check_eq one "$(cat <&"$fd")" "the reader reads on"
exec {fd}<&-
check_eq one "$(cat w/a)" "the directory"
rm -rf w && ln -s "$m/w" w
mkdir w/below && mount -t tmpfs none w/below
run ckpt recover w
check_eq 5 "$status" "a mount in it"
check_match "below is mounted in the workspace" "$errors" "what it says"
umount w/below && rmdir w/below
still "mounted"

# slow FAILPOINT COMMAND...: what it says, and its exit status, are in $scratch/out.
slow() {
    CKPTFS_TESTING=may-kill-the-daemon CKPTFS_FAILPOINT=$1 "${@:2}" >"$scratch/out" 2>&1
    echo "status $?" >>"$scratch/out"
}

test_case "what is written meanwhile is not lost"
snapshots=$(ls "$m/.snapshots/w")
slow import.after-copy~2000 ckpt recover w &
await 10 "it copies" test -e .w.ckptfs-recover/copy/a
echo late >w/late
wait "$!"
check_match "the workspace changed during the copy: late" "$(<"$scratch/out")" "before the exchange"
check_match "status 5" "$(<"$scratch/out")" "exit status"
check_eq late "$(cat w/late)" "it is there"
rm w/late
still "changed"
check_eq "$snapshots" "$(ls "$m/.snapshots/w")" "snapshots"
slow recover.before-exchange~2000 ckpt recover w --forget --yes &
await 10 "it copies" test -e .w.ckptfs-recover/copy/a
sleep 1
echo late >w/late
wait "$!"
check_match "written to workspace w after the copy, and only there: late" "$(<"$scratch/out")" "at the exchange"
check_match "status 1" "$(<"$scratch/out")" "exit status"
check_eq "one late" "$(cat w/a) $(cat "$m/w/late")" "the directory, and the workspace"
rm "$m/w/late" && rm -rf w && ln -s "$m/w" w

# The daemon waits between its last comparison and the end of the workspace.
unmount_store "$store" "$m"
CKPTFS_FAILPOINT=diff.after-destroy~2500@3 mount_store "$store" "$m"
touch w/a # no checkpoint has that
slow none ckpt recover w --forget --yes &
await 10 "it is a directory" test ! -L w -a -d w
sleep 1
echo late >"$m/w/late"
wait "$!"
check_match "something in it has just changed. $home/w is a plain directory again" "$(<"$scratch/out")" \
    "at the end"
check_match "status 5" "$(<"$scratch/out")" "exit status"
check_eq "one late w" "$(cat w/a) $(cat "$m/w/late") $(names .)" "the directory, and the workspace"
rm "$m/w/late" && rm -rf w && ln -s "$m/w" w

test_case "what is no symlink to a workspace"
# refused STATUS WHAT ARGUMENTS...
refused() {
    run ckpt recover "${@:3}"
    check_eq "$1" "$status" "exit status of '${*:3}'"
    check_match "$2" "$errors" "what is said of '${*:3}'"
}
mkdir plain && echo file >file && ln -s w indirect && ln -s "$m/w/below" inside && ln -s "$m" root
ln -s /nowhere/w dangling && ln -s "$home/plain" elsewhere && mkdir w/below
refused 2 "it is a directory, and no symlink" plain
refused 2 "it is no symlink to a workspace" file
refused 2 "it is not the name of a symlink" .
refused 3 "No such file" none
refused 2 "which is another symlink. Name that one" indirect
refused 2 "which is no workspace" inside
refused 2 "which is no workspace" root
refused 3 "which is not there" dangling
refused 3 "where no ckptfs is mounted" elsewhere
mount_store "$scratch/store2" "$scratch/mnt2" size=256M
refused 1 "a workspace of another mount" --mount "$scratch/mnt2" w
unmount_store "$scratch/store2" "$scratch/mnt2"
ln -s "$m/w" w/self
refused 2 "it is in the workspace itself" "$m/w/self"
rm w/self && rmdir w/below && rm -r plain file indirect inside root dangling elsewhere
still "refused"

test_case "something in the way"
mkdir .w.ckptfs-recover && echo mine >.w.ckptfs-recover/file
refused 4 "is in the way" w
check_eq mine "$(cat .w.ckptfs-recover/file)" "it is not touched"
rm -r .w.ckptfs-recover
echo mine >.w.ckptfs-recover
refused 4 "is in the way" w
rm .w.ckptfs-recover
mkdir .w.ckptfs-recover # as if killed at the first step
check "an empty one is taken over" ckpt recover w
check_eq w "$(names .)" "nothing else is there"
rm -rf w && ln -s "$m/w" w

test_case "two at once"
slow import.after-copy~1500 ckpt recover w &
await 10 "the first copies" test -e .w.ckptfs-recover/copy/a
refused 5 "another 'ckpt recover' is at work" w
wait "$!"
check_match "status 0" "$(<"$scratch/out")" "the first"
check_eq "one w" "$(cat w/a) $(names .)" "the directory"
rm -rf w && ln -s "$m/w" w

test_case "given up"
snapshots=$(ls "$m/.snapshots/w")
touch w/a # so that a checkpoint is made
CKPTFS_FAILPOINT=import.after-copy~1500 background ckpt recover w 2>"$scratch/out"
given_up=$!
await 10 "it copies" test -e .w.ckptfs-recover/copy/a
kill -TERM "$given_up"
wait "$given_up"
check_eq 1 "$?" "exit status"
check_match "it was given up" "$(<"$scratch/out")" "what it says"
check_eq "$snapshots" "$(ls "$m/.snapshots/w")" "snapshots"
still "given up"

test_case "no room, and no writing there"
mkdir small && mount -t tmpfs -o size=1M none small && ln -s "$m/w" small/w
head -c 3M /dev/urandom >w/big
refused 6 "MiB are free. Free some" small/w
check_eq w "$(names small)" "nothing is left"
check_eq "$m/w" "$(readlink small/w)" "the symlink"
rm w/big
check "with room" ckpt recover small/w
check_eq one "$(cat small/w/a)" "the directory"
rm -r small/w && ln -s "$m/w" small/w && mount -o remount,ro small
refused 1 "Read-only" small/w
check_eq "$m/w" "$(readlink small/w)" "the symlink"
umount small && rmdir small
still "refused"

test_case "a user"
chmod 755 "$scratch" && mkdir user && chown 1000:1000 user
mkdir -p "$m/u/closed" && echo ours >"$m/u/a" && echo ours >"$m/u/closed/b" && chmod 500 "$m/u/closed" && chown -R 1000:1000 "$m/u" && chmod 555 "$m/u"
ln -s "$m/u" user/u
as_user() { setpriv --reuid 1000 --regid 1000 --clear-groups "$@"; }
run as_user ckpt recover w
check_eq 1 "$status" "a workspace that the user may not write"
check_match "you may not write it" "$errors" "what it says"
chmod 755 "$m/u"
ln -s "$m/u" u
run as_user ckpt recover u
check_eq 1 "$status" "where the user may not write beside the symlink"
check_match "permission to write" "$errors" "what it says"
check_eq "0 $m/u" "$(ls "$m/.snapshots/u" | wc -l) $(readlink u)" "no checkpoint is left"
rm u
run as_user ckpt recover user/u
check_eq 0 "$status" "a user's own ($errors)"
check_eq "ours 1000" "$(cat user/u/a) $(stat -c %u user/u/a)" "the directory"
check_eq u "$(names user)" "nothing else"
rm -r user/u && ln -s "$m/u" user/u && mkdir "$m/u/last" && echo root >"$m/u/last/of-root"
run as_user ckpt recover user/u
check_eq 1 "$status" "with a file of root"
check_match "of-root.*Copying files of other users needs root" "$errors" "what it says"
check_eq "u u" "$(names user) $(basename "$(readlink user/u)")" "as it was"
still "refused" "user w"

test_case "a store that is mounted read-only, or not at all"
unmount_store "$store" "$m"
refused 3 "Mount the store there first" w
mount_store "$store" "$m" ro
refused 1 "Read-only|read-only" w
still "read-only" "user w"
unmount_store "$store" "$m"
mount_store "$store" "$m"
kill_daemon "$store"
refused 1 "daemon of its mount is gone" w
mount_store "$store" "$m"
still "mounted again" "user w"
check_eq "no problems found" "$(ckpt fsck --mount "$m" 2>&1)" "fsck"
