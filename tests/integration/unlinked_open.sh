#!/bin/bash
# Files that are open but have no name: checkpoints contain them, the live tree never shows them, and they are
# deleted when the last process has closed them.
#
# CKPTFS_UNLINKED_MANY: number of files in the last part; 10,000 in the long form.
# shellcheck source-path=SCRIPTDIR source=../lib/harness.sh
. "$(dirname "${BASH_SOURCE[0]}")/../lib/harness.sh"

store=$scratch/store m=$scratch/mnt
readonly hidden=.ckptfs-unlinked
mount_store "$store" "$m" size=2G || exit 1
cd "$m" || exit 1
mkdir W W/sub W/sub/deep

# Not coproc's own job control: the clean-up has to know its PID.
coproc holder { exec python3 "$harness_directory/holder.py"; }
# shellcheck disable=SC2154 # coproc sets it
processes+=("$holder_PID")
# hold COMMAND...: sets $reply.
hold() {
    echo "$*" >&"${holder[1]}"
    read -r reply <&"${holder[0]}"
}
# told EXPECTED COMMAND...
told() {
    local expected=$1
    shift
    hold "$@"
    check_eq "$expected" "$reply" "$*"
}

# unlinked SNAPSHOT: the paths of its unlinked files, with sizes, as `ckpt show` tells them.
unlinked() {
    ckpt show -w W -s "$1" --format json |
        jq -r '"\(.unlinked_open)", (.unlinked_files[] | "\(.path) \(.size_bytes)")'
}
# in_snapshot SNAPSHOT PATH: the content of the file that had that path last.
in_snapshot() {
    local name
    name=$(ckpt show -w W -s "$1" --format json |
        jq -r --arg path "$2" '.unlinked_files[] | select(.path == $path) | .name')
    cat ".snapshots/W/$1/$hidden/$name"
}
# await_none: waits until checkpoints find no such file any more: RELEASE and FORGET come by
# themselves.
await_none() {
    local i count=-1
    for ((i = 0; i < 200; i++)); do
        mkdir .snapshots/W/probe
        count=$(ckpt show -w W -s probe --format json | jq .unlinked_open)
        [[ ! -e .snapshots/W/probe/$hidden ]] || count=there
        rmdir .snapshots/W/probe
        [[ $count != 0 ]] || break
        sleep 0.05
    done
    check_eq 0 "$count" "files that are left"
}

test_case "unlinked while it is open"
echo content >W/sub/deep/file
told ok openw a W/sub/deep/file
told ok unlink W/sub/deep/file
told 0 links a
told content read a
told "" xattrs a
told ok write a changed
mkdir .snapshots/W/one
check_eq $'1\nsub/deep/file 8' "$(unlinked one)" "what ckpt show tells"
check_match 'sub/deep/file' "$(ckpt show -w W -s one)" "ckpt show for people"
check_eq 1 "$(ckpt list -w W --format json | jq '.[0].unlinked_open')" "ckpt list"
check_eq changed "$(in_snapshot one sub/deep/file)" "its content in the snapshot"
told ok write a "later!!"
check_eq changed "$(in_snapshot one sub/deep/file)" "its content in the snapshot, later"
check_eq 1 "$(stat -c %h ".snapshots/W/one/$hidden"/*)" "its links there"

test_case "who sees the directory"
for tree in W .snapshots/W/one W/.snapshots/one; do
    check_eq "" "$(find "$tree" -name "$hidden")" "$tree lists it"
done
check "reached in a snapshot" test -d ".snapshots/W/one/$hidden"
check "and from inside" test -d "W/.snapshots/one/$hidden"
check_eq "700 0" "$(stat -c '%a %u' ".snapshots/W/one/$hidden")" "its mode and owner"
check_not "by another user" setpriv --reuid 65534 --clear-groups ls ".snapshots/W/one/$hidden"
check_not "in the live tree" test -e "W/$hidden"
refused "Operation not permitted" mkdir "W/$hidden"
refused "Operation not permitted" touch "W/$hidden"
echo x >W/x
refused "Operation not permitted" mv -T W/x "W/$hidden"
check_eq EPERM "$(errno_of link W/x "W/$hidden")" "a link"
check "elsewhere it is a name like any" mkdir "W/sub/$hidden"
rmdir "W/sub/$hidden" && rm W/x
mkdir -p "$scratch/tree/$hidden"
refused "has a name that ckptfs keeps for itself" ckpt init --mount "$m" --name imported "$scratch/tree"
check_not "listed" grep -q ckptfs <<<"$(ls -A W)"

test_case "nobody else is told of a change"
mkdir .snapshots/W/two
check_eq "" "$(ckpt diff -w W -f one -t two)" "between two snapshots"
check_eq "" "$(ckpt diff -w W -f two)" "to the live tree"
run ckpt checkpoint -w W -s three --if-changed --format json
check_eq two "$(jq -r .unchanged_since <<<"$output")" "--if-changed"

test_case "at the last close it goes"
told ok close a
await_none

test_case "replaced by a rename"
echo old >W/file && echo new >W/other && mkdir .snapshots/W/before
told ok open a W/file
told ok rename W/other W/file
told 0 links a
told old read a
check_eq new "$(cat W/file)" "the name"
mkdir .snapshots/W/replaced
check_eq $'1\nfile 4' "$(unlinked replaced)" "what ckpt show tells"
check_eq old "$(in_snapshot replaced file)" "its content in the snapshot"
check_eq $'- file\nR other -> file' "$(ckpt diff -w W -f before -t replaced)" "the difference"
told ok close a
await_none

test_case "the last of several names"
echo two >W/a && ln W/a W/b
told ok open a W/a
told ok unlink W/a
told 1 links a
mkdir .snapshots/W/named && check_eq 0 "$(unlinked named)" "it has a name"
told ok unlink W/b
told 0 links a
told ENOENT link a W/again
mkdir .snapshots/W/last && check_eq $'1\nb 4' "$(unlinked last)" "what ckpt show tells"
told ok close a
await_none

test_case "O_TMPFILE"
told ok tmpfile a W/sub
told ok write a temporary
told ok tmpfile_excl b W
told ok write b exclusive
mkdir .snapshots/W/temporary
check_eq 2 "$(unlinked temporary | head -n 1)" "how many"
check_match 'sub/#[0-9]+ 9' "$(unlinked temporary)" "where it was made"
check_eq "exclusive temporary" "$(cat ".snapshots/W/temporary/$hidden"/* |
    sed 's/temporary/\n&/; s/exclusive/\n&/' | sort | xargs)" "contents"
told 0 links a
told ENOENT link b W/excluded
told ok link a W/sub/given
told 1 links a
told "" xattrs a
mkdir .snapshots/W/given && check_eq 1 "$(unlinked given | head -n 1)" "after one has got a name"
check_eq temporary "$(cat .snapshots/W/given/sub/given)" "the named one"
check_eq $'A sub/given' "$(ckpt diff -w W -f temporary -t given | sed 's/^+/A/')" "the difference"
told ok unlink W/sub/given
told 0 links a
mkdir .snapshots/W/ungiven && check_eq 2 "$(unlinked ungiven | head -n 1)" "and lost it"
told ok close a
told ok close b
await_none

test_case "opened after it was unlinked"
echo late >W/late && chmod 640 W/late
told ok path a W/late
told ok unlink W/late
mkdir .snapshots/W/closed && check_eq 0 "$(unlinked closed)" "while nobody has it open"
told ok reopen a b
told ok write b LATE
for i in 1 2; do
    mkdir ".snapshots/W/late$i"
    check_eq $'1\nlate 5' "$(unlinked late$i)" "checkpoint $i"
    check_eq LATE "$(in_snapshot late$i late)" "its content"
    check_eq 640 "$(stat -c %a ".snapshots/W/late$i/$hidden"/*)" "its mode"
done
told 0 links b
told ok close b
told ok close a
await_none

test_case "mapped, and closed"
head -c 4096 /dev/zero >W/mapped
told ok openw a W/mapped
told ok map a
told ok close a
told ok unlink W/mapped
told ok poke a through-the-mapping
mkdir .snapshots/W/mapped
check_eq $'1\nmapped 4096' "$(unlinked mapped)" "what ckpt show tells"
check_eq through-the-mapping "$(in_snapshot mapped mapped | tr -d '\0')" "what was stored"
told ok unmap a
await_none

test_case "fork and rollback start without them"
told ok tmpfile a W
told ok create b W/open
told ok unlink W/open
mkdir .snapshots/W/source
mv -T .snapshots/W/source F
mkdir .snapshots/F/first
check_eq 0 "$(ckpt show -w F -s first --format json | jq .unlinked_open)" "of a fork"
check_eq "F first" "$(ckpt checkpoint -w F --if-changed --format json |
    jq -r '"\(.workspace) \(.unchanged_since)"')" "the fork has not changed"
check_not "in it" test -e ".snapshots/F/first/$hidden"
told ok close a
told ok close b
told ok create b W/reader
told ok close b
told ok open b W/reader
told ok unlink W/reader
mv -T .snapshots/W/source .snapshots/W/.live
kept=$(ckpt list -w W --format json | jq -r '.[] | select(.kind == "pre-rollback") | .name')
check_eq $'1\nreader 0' "$(unlinked "$kept")" "of the state that was kept"
told 0 links b
told ok close b
sleep 0.3
check "it stays there" test -e ".snapshots/W/$kept/$hidden"
await_none

test_case "large and sparse"
told ok create a W/large
told ok size a 1073741824
told ok write a start
told ok unlink W/large
mkdir .snapshots/W/large
check_eq $'1\nlarge 1073741824' "$(unlinked large)" "its size"
check_eq start "$(head -c 5 ".snapshots/W/large/$hidden"/*)" "its content"
check "sparse" test "$(stat -c %b ".snapshots/W/large/$hidden"/*)" -lt 100
told ok close a

test_case "many"
count=${CKPTFS_UNLINKED_MANY:-2000}
# checkpoints NAME: how long the fastest of five takes, in µs: others may load the machine.
checkpoints() {
    local i begin
    for i in 1 2 3 4 5; do
        echo "$i" >W/changing
        begin=${EPOCHREALTIME/./}
        mkdir ".snapshots/W/$1-$i"
        echo $((${EPOCHREALTIME/./} - begin))
    done | sort -n | head -n 1
}
none=$(checkpoints none)
told ok many "$count" W/sub
some=$(checkpoints some)
echo "a checkpoint takes $none µs without, $some µs with $count of them"
check_eq "$count" "$(unlinked some-5 | head -n 1)" "how many"
check_eq "$count" "$(find ".snapshots/W/some-1/$hidden" -type f | wc -l)" "in the snapshot"
check_eq "content 7" "$(in_snapshot some-1 sub/held-7)" "one of them"
# To link each of them, or only to look at it, takes longer than this allows.
check "the time of a checkpoint" test "$some" -lt $((none * 3 + 10000))
told ok close many
await_none

test_case "a new mount"
told ok tmpfile a W
told ok create b W/gone
told ok unlink W/gone
mkdir .snapshots/W/killed
cd / && kill_daemon "$store"
kill "$holder_PID" && wait "$holder_PID" 2>/dev/null
mount_store "$store" "$m" || exit 1
cd "$m" || exit 1
check_eq 2 "$(unlinked killed | head -n 1)" "the snapshot"
mkdir .snapshots/W/after
check_eq 0 "$(unlinked after)" "the live tree"
check_not "a directory" test -e ".snapshots/W/after/$hidden"
run ckpt fsck --mount "$m"
check_eq "0 no problems found" "$status $output" "fsck ($errors)"
