#!/bin/bash
# Checkpoints as directories: mkdir, rmdir and mv in both places of the list, the permitted names, `latest`,
# `.live`, the times of their directories, and -o snapdir.
# Names here are plain, and `a && b || fail` is meant as it stands.
# shellcheck disable=SC2010,SC2012,SC2015,SC2086
# shellcheck source-path=SCRIPTDIR source=../lib/harness.sh
. "$(dirname "${BASH_SOURCE[0]}")/../lib/harness.sh"

store=$scratch/store m=$scratch/mnt
mount_store "$store" "$m" || exit 1
cd "$m" || exit 1
mkdir W && mkdir W/sub && echo one >W/file && echo deep >W/sub/deep
list=.snapshots/W

test_case "no snapshot yet"
check_eq '' "$(ls -A $list)" "names"
check_eq '' "$(ls -A W/.snapshots)" "names inside"
refused "No such file or directory" ls $list/latest/
check_not "latest is not there" test -L $list/latest
refused "No such file or directory" rmdir $list/none
refused "No such file or directory" mv $list/none $list/other
refused "No such file or directory" mkdir .snapshots/nobody/s

test_case "mkdir is a checkpoint"
check "mkdir" mkdir $list/s1
check_eq "one deep" "$(cat $list/s1/file) $(cat $list/s1/sub/deep)" "content"
check_eq "one deep" "$(cat W/.snapshots/s1/file) $(cat W/.snapshots/s1/sub/deep)" "content, inside"
echo two >W/file && touch W/added && rm -r W/sub
check_eq one "$(cat $list/s1/file)" "a snapshot does not change"
check_eq $'file\nsub' "$(ls -A $list/s1)" "nor what it lists"
check "mkdir inside" mkdir W/.snapshots/s2
check_eq two "$(cat $list/s2/file)" "content of one made inside"
check_eq $'added\nfile' "$(ls -A W/.snapshots/s2)" "its names"
check_eq $'s1\ns2' "$(ls -A $list)" "names"
check_eq $'s1\ns2' "$(ls -A W/.snapshots)" "names inside"
refused "File exists" mkdir $list/s1
refused "File exists" mkdir W/.snapshots/s1
refused "No such file or directory" mkdir $list/none/s
refused "Read-only file system" mkdir $list/s1/s
check_eq "one" "$(cat $list/s1/file)" "after refused ones"
check "mkdir -p of one that is there" mkdir -p $list/s1
check "two at once" mkdir $list/s3 $list/s4
(umask 077 && mkdir $list/masked)
check_eq "$(stat -c %a W)" "$(stat -c %a $list/masked)" "a umask does not matter"

test_case "latest"
check_eq masked "$(readlink $list/latest)" "the newest"
check_eq masked "$(readlink W/.snapshots/latest)" "the newest, inside"
check_eq two "$(cat $list/latest/file)" "through it"
check_eq "$(stat -c %i $list/masked)" "$(stat -L -c %i W/.snapshots/latest)" "what it names"
check_eq "symbolic link" "$(stat -c %F $list/latest)" "its type"
check_eq 6 "$(stat -c %s $list/latest)" "its size"
rmdir $list/masked
check_eq s4 "$(readlink $list/latest)" "after the newest was deleted"
mv $list/s4 $list/renamed-four
check_eq renamed-four "$(readlink $list/latest)" "after the newest was renamed"
check_eq renamed-four "$(readlink W/.snapshots/latest)" "the same, inside"
check_eq 12 "$(stat -c %s $list/latest)" "its size then"
mv $list/s1 $list/s1-renamed
check_eq renamed-four "$(readlink $list/latest)" "after an older one was renamed"
mv $list/s1-renamed $list/s1
mv $list/renamed-four $list/s4
refused "File exists" mkdir $list/latest
refused "Operation not permitted" rm $list/latest
refused "Operation not permitted" mv $list/latest $list/newest
refused "Operation not permitted" mv -T $list/latest V
check_eq s4 "$(readlink $list/latest)" "after what was refused"

test_case ".live"
check ".live is a directory" test -d $list/.live
check ".live is a directory inside" test -d W/.snapshots/.live
check_eq '' "$(ls -A $list/.live)" "it is empty"
check_eq '' "$(find . -name .live -o -name latest)" "it is never listed"
refused "File exists" mkdir $list/.live
refused "Operation not permitted" rmdir $list/.live
refused "Operation not permitted" touch $list/.live/file
refused "Operation not permitted" mkdir $list/.live/s
refused "Operation not permitted" mv $list/.live $list/alive
refused "Operation not permitted" mv -T $list/.live N
refused "Operation not permitted" mv $list/s1 $list/.live
check_eq $'s1\ns2\ns3\ns4' "$(ls -A $list)" "names after what was refused"

test_case "rmdir deletes"
check "rmdir" rmdir $list/s4
check_not "it is gone" test -e $list/s4
check_not "it is gone inside" test -e W/.snapshots/s4
check "rmdir inside" rmdir W/.snapshots/s3
check_eq $'s1\ns2' "$(ls -A $list)" "names"
refused "No such file or directory" rmdir $list/s3
check "the name is free" mkdir $list/s3
check_eq two "$(cat $list/s3/file)" "it has the new content"
rmdir $list/s3
(
    begin_subshell
    cd $list/s2 && exec 3<file && mkdir "$m/.snapshots/W/s2b" && rmdir "$m/.snapshots/W/s2" || exit 1
    check_eq two "$(cat <&3)" "a file that is open in a deleted snapshot"
    check_not "a deleted snapshot lists nothing" test -n "$(ls -A 2>/dev/null)"
    end_subshell
)
join_subshell
mv $list/s2b $list/s2

test_case "pinned"
setfattr -n user.ckptfs.pinned -v 1 $list/s1
refused "Device or resource busy" rmdir $list/s1
refused "Device or resource busy" rmdir W/.snapshots/s1
check_eq one "$(cat $list/s1/file)" "it is still there"
setfattr -n user.ckptfs.pinned -v 0 W/.snapshots/s1
mkdir $list/t && check "rmdir after the pin was taken off" rmdir $list/t

test_case "mv renames a snapshot"
number=$(stat -c %i $list/s1/file)
check "mv" mv $list/s1 $list/first
check_not "the old name" test -e $list/s1
check_not "the old name inside" test -e W/.snapshots/s1
check_eq one "$(cat $list/first/file)" "content"
check_eq one "$(cat W/.snapshots/first/file)" "content inside"
check_eq "$number" "$(stat -c %i $list/first/file)" "inode number"
check "mv inside" mv W/.snapshots/first W/.snapshots/s1
check_eq one "$(cat $list/s1/file)" "content after mv inside"
refused "File exists" mv -T $list/s1 $list/s2
refused "File exists" mv -T W/.snapshots/s1 W/.snapshots/s2
check_eq EEXIST "$(rename_flags 1 $list/s1 $list/s2)" "NOREPLACE"
check_eq 0 "$(rename_flags 1 $list/s1 $list/free)" "NOREPLACE onto a free name"
check_eq 0 "$(rename_flags 0 $list/free $list/s1)" "and back"
check_eq EPERM "$(rename_flags 2 $list/s1 $list/s2)" "exchange of two snapshots"
check_eq "one two" "$(cat $list/s1/file) $(cat $list/s2/file)" "both after what was refused"

test_case "names"
long=$(printf 'n%.0s' {1..255})
for name in a "$long" 'with space' 日本語 "it's" 'back\slash' '*' Latest a.b; do
    check "mkdir" mkdir -- "$list/$name"
    check "inside" test -f "W/.snapshots/$name/file"
    check "mv" mv -- "$list/$name" "$list/moved"
    check "mv back" mv -- "$list/moved" "$list/$name"
    check "rmdir" rmdir -- "$list/$name"
done
for name in .hidden ... -dash $'a\nb' $'\x1f' $'a\x7f' $'\xc2\x85' $'\xff' $'\xc0\xaf' $'\xed\xbf\xbf' $'\xe2\x82'; do
    refused "Invalid argument" mkdir "$list/$name"
    refused "Invalid argument" mkdir "W/.snapshots/$name"
    refused "to a subdirectory of itself" mv -T $list/s1 "$list/$name" # as mv says EINVAL
    refused "to a subdirectory of itself" mv -T $list/s1 "./$name"
done
refused "to a subdirectory of itself" mv -T $list/s1 ./latest
refused "File name too long" mkdir "$list/${long}n"
refused "File name too long" mv $list/s1 "$list/${long}n"
refused "File exists" mkdir $list/..
rmdir $list/s1 $list/s2
refused "Invalid argument" mkdir $list/latest
check_not "no snapshot: no latest" test -L $list/latest
check_eq '' "$(ls -A $list)" "nothing was made"

test_case "times"
for i in 1 2 3 4 5; do
    before=$(date +%s%N)
    mkdir "$list/t$i"
    after=$(date +%s%N)
    time=$(stat -c %.9Y "$list/t$i" | tr -d .)
    # The clock of date(1) and of the daemon are the same one.
    check "mtime is the time of the checkpoint" test "$before" -le "$time" -a "$time" -le "$after"
    check_eq "$(stat -c '%.9Y %.9Z' "$list/t$i")" "$(stat -c '%.9Z %.9Y' "$list/t$i")" "mtime is ctime"
    check "the list's mtime follows" test "$(stat -c %.9Y $list | tr -d .)" -ge "$before"
    touch "W/later$i"
done
mv $list/t3 $list/a3
check_eq $'t5\nt4\na3\nt2\nt1' "$(ls -t $list)" "ls -t"
check_eq $'t5\nt4\na3\nt2\nt1' "$(ls -tc W/.snapshots)" "ls -tc inside"
check_eq "$(stat -c '%i %a %u %g %h %s %.9X %.9Y %.9Z' $list/*)" \
    "$(stat -c '%i %a %u %g %h %s %.9X %.9Y %.9Z' W/.snapshots/*)" "stat in both places"
check_eq "$(stat -c '%n %i' $list/t1/file)" "$list/t1/file $(stat -c %i W/.snapshots/t1/file)" "a file's number in both"
times=$(stat -c '%n %.9Y' $list/*)
cd / && unmount_store "$store" "$m" && mount_store "$store" "$m" && cd "$m" || exit 1
check_eq "$times" "$(stat -c '%n %.9Y' $list/*)" "times after a remount"
check_eq $'t5\nt4\na3\nt2\nt1' "$(ls -t $list)" "ls -t after a remount"

test_case "ckpt takes one command, and says what is wrong with its output"
refused "status" ckpt checkpoint -w W -m add status
check_eq 2 "$status" "exit status"
refused "list" ckpt delete -w W -s nothing list
check_eq 2 "$status" "exit status"
check_not "nothing was done" test -e $list/add
for words in --version --help "list -w W"; do
    # shellcheck disable=SC2086
    refused "write to standard output" bash -c 'ckpt "$@" >/dev/full' - $words
    check_eq "1 1" "$status $(wc -l <<<"$errors")" "$words: exit status and lines"
done

test_case ".snapshots is reserved in a workspace's root only"
mkdir W/sub
check "in a subdirectory: mkdir" mkdir W/sub/.snapshots
check "in a subdirectory: a file in it" touch W/sub/.snapshots/file
check "in a subdirectory: mv" mv W/sub/.snapshots W/sub/other
check "in a subdirectory: touch" touch W/sub/.snapshots
rm -r W/sub/.snapshots
check_eq EPERM "$(errno_of rename W/sub/other W/.snapshots)" "rename to it"
check_eq EPERM "$(rename_flags 2 W/sub/other W/.snapshots)" "exchange with it"
check_eq EPERM "$(rename_flags 0 W/.snapshots W/list)" "rename of it"
refused "Operation not permitted" rmdir W/.snapshots
refused "Operation not permitted" touch W/.snapshots
refused "Operation not permitted" mv W/file W/.snapshots/
refused "Operation not permitted" mv W/sub/other W/.snapshots/
refused "Operation not permitted" touch W/.snapshots/file
check_eq two "$(cat W/file)" "what was not moved"
# The kernel answers mkdir of a name that is there itself.
refused "File exists" mkdir W/.snapshots
cd / && unmount_store "$store" "$m"

test_case "snapdir=hidden"
mount_store "$store" "$m" snapdir=hidden && cd "$m" || exit 1
check_eq $'file\nsub' "$(find W -mindepth 1 -maxdepth 1 ! -name 'later*' ! -name added -printf '%f\n' | sort)" "find"
check_eq '' "$(find W -name .snapshots)" "it is not listed"
check "it is there" test -d W/.snapshots/t1
cd / && unmount_store "$store" "$m"

test_case "snapdir=visible"
mount_store "$store" "$m" snapdir=visible && cd "$m" || exit 1
check_eq 1 "$(find W -maxdepth 1 -name .snapshots -type d | wc -l)" "it is listed once"
check_eq $'a3\nt1\nt2\nt4\nt5' "$(ls -A W/.snapshots)" "its names"
check_eq 0 "$(find W/sub -name .snapshots | wc -l)" "not in subdirectories"
check_eq 0 "$(find .snapshots/W/t1 -name .snapshots | wc -l)" "not in snapshots"
check_eq 5 "$(find W -path '*/.snapshots/*/file' | wc -l)" "find goes into it"
check_eq "$(find W/.snapshots -maxdepth 0 -printf %i)" "$(stat -c %i W/.snapshots)" "its number"
refused "cannot" rm -r W/.snapshots
check_eq $'a3\nt1\nt2\nt4\nt5' "$(ls -A W/.snapshots)" "rm -r deletes no snapshot"
mkdir V
check_eq .snapshots "$(ls -A V)" "in a new workspace"
check "rmdir with nothing else in it" rmdir V
cd / && unmount_store "$store" "$m"

test_case "snapdir=off"
mount_store "$store" "$m" snapdir=off && cd "$m" || exit 1
check_not "it is not there" test -e W/.snapshots
refused "No such file or directory" ls W/.snapshots/t1
check_eq two "$(cat $list/t1/file)" "the mount root's is"
refused "Operation not permitted" mkdir W/.snapshots
refused "Operation not permitted" touch W/.snapshots
refused "Operation not permitted" ln -s x W/.snapshots
refused "Operation not permitted" ln W/file W/.snapshots
refused "Operation not permitted" mkfifo W/.snapshots
refused "Operation not permitted" mv W/file W/.snapshots
refused "Operation not permitted" mv -T W/sub W/.snapshots
check_eq two "$(cat W/file)" "what was not moved"
check "in a subdirectory it is a name like any other" mkdir W/sub/.snapshots
check "checkpoints go on" mkdir $list/off
cd /
