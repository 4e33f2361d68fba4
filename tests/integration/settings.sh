#!/bin/bash
# ckpt config: what can be set, by whom, and that it survives the loss of the catalog; limit.snapshots.
# shellcheck source-path=SCRIPTDIR source=../lib/harness.sh
. "$(dirname "${BASH_SOURCE[0]}")/../lib/harness.sh"

store=$scratch/store m=$scratch/mnt
user=4242

setting() { ckpt config "$@" --format json | jq -r '"\(.key)=\(.value) \(.origin)"'; }
settings() { ckpt config "$@" --list --format json | jq -r '.[] | select(.origin != "default") | "\(.key)=\(.value) \(.origin)"'; }
as_user() { setpriv --reuid "$user" --regid "$user" --clear-groups "$@"; }

chmod 755 "$scratch"
mkdir "$scratch/bin" && cp "$bin/ckpt" "$scratch/bin/"
PATH=$scratch/bin:$PATH
mount_store "$store" "$m" || exit 1
cd "$m" || exit 1
mkdir W V && chown "$user:$user" W || exit 1

test_case "nothing is set"
check_eq "" "$(settings)" "of the store"
check_eq "" "$(settings -w W)" "of a workspace"
run ckpt config keep.last
check_eq 3 "$status" "exit status for one that is not set"
check_match 'keep.last: it is not set' "$errors" "what it says"

test_case "set, read, set no more"
check_eq "keep.last is 10 (store)" "$(ckpt config keep.last 10)" "the store's"
check_eq "keep.last is 3 (workspace)" "$(ckpt config -w W keep.last 3)" "the workspace's"
check_eq 10 "$(ckpt config keep.last)" "read"
check_eq 3 "$(cd W && ckpt config keep.last)" "in a workspace it is that one's"
check_eq 10 "$(cd W && ckpt config --store keep.last)" "but for --store"
check_eq "keep.last=3 workspace" "$(settings -w W)" "origin"
check_eq "keep.last=10 store" "$(settings -w V)" "origin in another workspace"
check_eq "keep.last is 10 (store)" "$(ckpt config -w W --unset keep.last)" "unset, the store's holds"
check_eq "keep.last=null default" "$(setting --unset keep.last)" "and without that nothing"
run ckpt config --list
check_match $'^KEY +VALUE +ORIGIN\nkeep.last +- +default\n' "$output" "the table"

test_case "what cannot be set"
for value in -1 0 1e9 30m '' 3d; do
    run ckpt config -w W keep.last -- "$value"
    check_eq 2 "$status" "keep.last=$value"
    check_eq 1 "$(wc -l <<<"$errors")" "lines about keep.last=$value"
done
run ckpt config -w W keep.within 30m
check_match '30min or 30mo' "$errors" "both readings"
run ckpt config -w W keep.lats 3
check_eq 2 "$status" "an unknown key"
check_match 'no such key' "$errors" "what it says"
run ckpt config -w W --unset keep.lats
check_eq 2 "$status" "an unknown key to unset"
check_eq "" "$(settings -w W)" "nothing was set"

test_case "who may"
run as_user ckpt config keep.last 1
check_eq 1 "$status" "the store's is root's"
check_match 'you may not write it' "$errors" "why"
check "the workspace's is its owner's" as_user ckpt config -w W keep.last 4
run as_user ckpt config -w V keep.last 1
check_eq 1 "$status" "another's is not"
check_eq 4 "$(as_user ckpt config -w W keep.last)" "read"
chmod 1777 V
run as_user ckpt config -w V keep.last 1
check_eq 1 "$status" "nor where everybody may write but it has the sticky bit"
check_match 'sticky' "$errors" "why"
check_eq "keep.last=4 workspace" "$(settings -w W)" "what is set"
check_eq "" "$(settings -w V)" "and what not"

test_case "they outlive a rename, a rollback, a remount, and the catalog"
ckpt config keep.weekly 8 && ckpt config -w W keep.within 1y6mo
mkdir .snapshots/W/s && echo 1 >W/file && mv -T .snapshots/W/s .snapshots/W/.live
mv W U
wanted=$'keep.last=4 workspace\nkeep.weekly=8 store\nkeep.within=1y6mo workspace'
check_eq "$wanted" "$(settings -w U)" "before"
cd / && unmount_store "$store" "$m"
mount_store "$store" "$m" && cd "$m" || exit 1
check_eq "$wanted" "$(settings -w U)" "after a remount"
cd / && kill_daemon "$store"
rm "$store"/catalog.db*
mount_store "$store" "$m" && cd "$m" || exit 1
check_eq "$wanted" "$(settings -w U)" "after the catalog was lost"
check "fsck" ckpt fsck
check_eq "keep.weekly=8 store" "$(mkdir N && settings -w N)" "a new workspace has the store's"
check_eq "keep.weekly=8 store" "$(mv -T .snapshots/U/s F && settings -w F)" "and so has a fork"

test_case "limit.snapshots"
ckpt config -w N limit.snapshots 2 >/dev/null
mkdir .snapshots/N/a .snapshots/N/b
check_eq EDQUOT "$(errno_of mkdir "$m/.snapshots/N/c")" "mkdir of a third"
run ckpt checkpoint -w N -s c
check_eq 6 "$status" "exit status"
check_match 'limit.snapshots is 2' "$errors" "why"
check_eq 1 "$(wc -l <<<"$errors")" "lines"
echo 1 >N/file && check "a rollback is not refused" mv -T .snapshots/N/a .snapshots/N/.live
check_eq 1 "$(find .snapshots/N -maxdepth 1 -name 'pre-rollback-*' | wc -l)" "it keeps its state"
rmdir .snapshots/N/b
check "after a deletion there is room" mkdir .snapshots/N/c
ckpt config limit.snapshots 1 >/dev/null
check_eq "limit.snapshots=1 store" "$(setting -w N limit.snapshots)" "of two limits the smaller holds"
ckpt config -w N limit.snapshots off >/dev/null
check_eq EDQUOT "$(errno_of mkdir "$m/.snapshots/N/d")" "nobody lifts the store's"
ckpt config --unset limit.snapshots >/dev/null
check "without a limit" mkdir .snapshots/N/d

test_case "read-only"
cd / && unmount_store "$store" "$m"
mount_store "$store" "$m" ro && cd "$m" || exit 1
check_eq "$wanted" "$(settings -w U)" "can be read"
run ckpt config -w U keep.last 9
check_eq 1 "$status" "and not set"
run ckpt config --store keep.last 9
check_eq 1 "$status" "nor the store's"
