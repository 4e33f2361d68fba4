#!/bin/bash
# ckpt forget: a workspace is removed with everything in it, or is left unchanged.
# Names here are plain.
# shellcheck disable=SC2012
# shellcheck source-path=SCRIPTDIR source=../lib/harness.sh
. "$(dirname "${BASH_SOURCE[0]}")/../lib/harness.sh"

store=$scratch/store m=$scratch/mnt
mount_store "$store" "$m" || exit 1
cd "$m" || exit 1

# make W: a workspace with files and three snapshots.
make() {
    mkdir "$1" && mkdir "$1/dir" && echo content >"$1/dir/file" && ln -s dir "$1/link" || exit 1
    mkdir ".snapshots/$1/a" ".snapshots/$1/b" && echo more >"$1/more" && mkdir ".snapshots/$1/c"
}
names() { find . -mindepth 1 -maxdepth 1 -printf '%f\n' | sort | paste -sd ' '; }

test_case "not without consent"
make W
run ckpt forget W </dev/null
check_eq 2 "$status" "exit status"
check_match 'Say so: --yes' "$errors" "what it says"
check_eq content "$(cat W/dir/file)" "it is there"
run ckpt forget nothing --yes
check_eq 3 "$status" "one that is not there"

test_case "a pinned snapshot stops it"
ckpt pin -w W -s b >/dev/null
run ckpt forget W --yes
check_eq 5 "$status" "exit status"
check_match '1 of its snapshots is pinned: b' "$errors" "what it says"
check_eq "a b c" "$(ls .snapshots/W | paste -sd ' ')" "its snapshots"
check_eq content "$(cat W/dir/file)" "its files"
ckpt unpin -w W -s b >/dev/null

test_case "so does a file that is open for writing, and a mount"
exec {fd}>>W/more
run ckpt forget W --yes
check_eq 5 "$status" "exit status"
check_match "more" "$errors" "which file"
exec {fd}>&-
mount -t tmpfs none W/dir
run ckpt forget W --yes
check_eq 5 "$status" "exit status with a mount in it"
umount W/dir
mkdir "$scratch/elsewhere" && mount --bind W "$scratch/elsewhere"
run ckpt forget W --yes
check_eq 5 "$status" "exit status where it is mounted elsewhere"
umount "$scratch/elsewhere"
check_eq content "$(cat W/dir/file)" "it is there"

test_case "it goes with all that it has"
mv -T .snapshots/W/b F
exec {reader}<W/dir/file
run ckpt forget W --yes
check_eq "forgot W and its 3 snapshots" "$output" "what it says"
check_eq "F .snapshots" "$(names | tr ' ' '\n' | sort -r | paste -sd ' ')" "names in the mount root"
check_not "its list" test -e .snapshots/W
check_eq ENOENT "$(errno_of stat "$m/W/dir/file")" "a file in it"
check_eq content "$(cat F/dir/file)" "what was forked from it"
check_eq content "$(cat <&"$reader")" "who had a file open for reading reads on"
exec {reader}<&-
check_eq '[]' "$(ckpt list -w F --format json | jq -c .)" "the fork has no snapshots"

test_case "the name is free"
check "at once" mkdir W
check_eq '' "$(ls -A W)" "the new one is empty"
echo new >W/dir
check_eq new "$(cat W/dir)" "and holds what it is given"
check_eq '{"workspace":"W","snapshots":0}' "$(ckpt forget W --yes --format json | jq -c '{workspace, snapshots}')" "JSON"

test_case "who stands in it"
make W
(
    begin_subshell
    cd W/dir && cat file >/dev/null && ckpt forget "$m/W" --yes >/dev/null
    mkdir "$m/W"
    run cat file
    check_match 'No such file|Stale file' "$errors" "a file"
    run touch here
    check_match 'No such file|Stale file' "$errors" "a new one"
    end_subshell
)
join_subshell
check_eq '' "$(ls -A W)" "nothing of it is in the new one"
rmdir W

test_case "many snapshots"
make W
for ((i = 0; i < 300; i++)); do mkdir ".snapshots/W/s$i" || fail "checkpoint"; done
check_eq "forgot W and its 303 snapshots" "$(ckpt forget W --yes)" "what it says"
check_not "it is gone" test -e W

test_case "what is left is in order"
check_eq "no problems found" "$(ckpt fsck 2>&1)" "fsck"
cd / && unmount_store "$store" "$m"
mount_store "$store" "$m" && cd "$m" || exit 1
check_eq content "$(cat F/dir/file)" "the fork, after a remount"
check_eq "no problems found" "$(ckpt fsck 2>&1)" "fsck, after a remount"
cd / && unmount_store "$store" "$m"
mount_store "$store" "$m" ro && cd "$m" || exit 1
run ckpt forget F --yes
check_eq 1 "$status" "read-only"
check_eq content "$(cat F/dir/file)" "it is there"
