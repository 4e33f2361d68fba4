#!/bin/bash
# Workspaces as directories of the mount root: creating, renaming and removing them; the permitted names; and
# what the mount root and .snapshots refuse.
# Names here are plain, and `a && b || fail` is meant as it stands.
# shellcheck disable=SC2010,SC2012,SC2015,SC2086
# shellcheck source-path=SCRIPTDIR source=../lib/harness.sh
. "$(dirname "${BASH_SOURCE[0]}")/../lib/harness.sh"

store=$scratch/store m=$scratch/mnt
mount_store "$store" "$m" || exit 1
cd "$m" || exit 1

test_case "an empty mount"
check_eq .snapshots "$(ls -A)" "names in the mount root"
check_eq '' "$(ls -A .snapshots)" "names in .snapshots"
check_eq 755 "$(stat -c %a .)" "mode of the mount root"

test_case "mkdir makes a workspace"
check "mkdir" mkdir proj
check_eq '' "$(ls -A proj)" "names in a new workspace"
check_eq $'.snapshots\nproj' "$(ls -A)" "names in the mount root"
check_eq proj "$(ls -A .snapshots)" "names in .snapshots"
check_eq '' "$(ls -A .snapshots/proj)" "snapshots of a new workspace"
refused "File exists" mkdir proj
refused "File exists" mkdir .snapshots
refused "File exists" mkdir ..
refused "No such file or directory" mkdir nowhere/new
refused "No such file or directory" mkdir ''
(umask 027 && mkdir masked)
check_eq 750 "$(stat -c %a masked)" "mode under a umask"
check "mkdir -m" mkdir -m 2770 set-gid
check_eq 2770 "$(stat -c %a set-gid)" "mode of mkdir -m"
check "rmdir of two" rmdir masked set-gid
refused "No such file or directory" rmdir masked

test_case "names that are allowed"
long=$(printf 'n%.0s' {1..255})
long_utf8=$(printf '\xc3\xbc%.0s' {1..127})x
for name in a "$long" "$long_utf8" 'with space' 'ümläut' 日本語 $'\xf0\x9f\x98\x80' a.b a-b "it's" 'say "x"' \
    'back\slash' '*?[' '#x' '~' Latest latest2 $'\xc2\xa0' $'\xef\xbf\xbd' CON 'a:b'; do
    check "mkdir of an allowed name" mkdir -- "$name"
    check_eq 1 "$(find . -mindepth 1 -maxdepth 1 -printf '%f\0' | grep -zcxF -- "$name")" "listed: $name"
    check "its list" test -d ".snapshots/$name"
    check "rmdir of an allowed name" rmdir -- "$name"
done

test_case "names that are refused"
# A leading dot or hyphen, "latest", C0, DEL, C1 in UTF-8; a lone continuation byte, an overlong
# slash, a surrogate, beyond U+10FFFF, cut short.
bad_names=(.hidden ... -dash latest $'a\nb' $'a\tb' $'\x01' $'a\x7f' $'\xc2\x80' $'a\xc2\x9fb' $'\xff'
    $'\x80' $'\xc0\xaf' $'\xed\xa0\x80' $'\xf4\x90\x80\x80' $'\xe2\x82' $'ok\xfe')
for name in "${bad_names[@]}"; do
    refused "Invalid argument" mkdir "./$name"
    refused "to a subdirectory of itself" mv -T proj "./$name" # as mv says EINVAL
    check_not "no such workspace" test -e "./$name"
done
refused "File name too long" mkdir "${long}n"
refused "File name too long" mv -T proj "${long}n"
refused "File name too long" stat "${long}n"
check_eq $'.snapshots\nproj' "$(ls -A)" "nothing was made"

test_case "rmdir takes only what is empty"
touch proj/file
refused "Directory not empty" rmdir proj
rm proj/file
mkdir proj/directory
refused "Directory not empty" rmdir proj
rmdir proj/directory
touch proj/.hidden
refused "Directory not empty" rmdir proj
rm proj/.hidden
mkdir .snapshots/proj/s
refused "Directory not empty" rmdir proj
rmdir .snapshots/proj/s
check "rmdir of an empty workspace" rmdir proj
check_eq .snapshots "$(ls -A)" "names after rmdir"
check_not "its list is gone" test -e .snapshots/proj
refused "No such file or directory" mkdir .snapshots/proj/s
check "the name is free again" mkdir proj
check_eq '' "$(ls -A proj)" "the new workspace is empty"
mkdir -p proj/a/b && echo x >proj/a/b/c
check "rm -r of a workspace without snapshots" rm -r proj
check_not "it is gone" test -e proj

test_case "a shell that stands in a workspace which is removed"
mkdir gone
(
    begin_subshell
    cd gone && rmdir "$m/gone" && mkdir "$m/gone" && touch "$m/gone/new"
    # Linux 6.12 asks for attributes of the directory first, and gets ESTALE.
    run touch here
    check_match 'No such file or directory|Stale file handle' "$errors" "a file in a removed workspace"
    check_eq '' "$(ls -A 2>/dev/null)" "listing of a removed workspace"
    end_subshell
)
join_subshell
rm -r gone

test_case "workspaces are renamed"
mkdir old other
echo content >old/file
mkdir .snapshots/old/s
number=$(stat -c %i old/file)
(
    begin_subshell
    cd old || exit 1
    mv ../old ../new || fail "mv with a shell in it"
    check_eq "$m/new" "$(/bin/pwd)" "getcwd in a renamed workspace"
    check_eq content "$(cat file)" "a file below a renamed workspace"
    end_subshell
)
join_subshell
check_not "the old name" test -e old
check_not "the old list" test -e .snapshots/old
check_eq content "$(cat new/file)" "content after the rename"
check_eq content "$(cat .snapshots/new/s/file)" "a snapshot after the rename"
check_eq "$number" "$(stat -c %i new/file)" "inode number after the rename"
check_eq "$m/new" "$(realpath new/.snapshots/..)" "the inner list after the rename"
refused "File exists" mv -T new other
check_eq content "$(cat new/file)" "after a refused rename"
check_eq EEXIST "$(rename_flags 1 new other)" "NOREPLACE onto a workspace"
check_eq EPERM "$(rename_flags 2 new other)" "exchange of two workspaces"
check_eq '' "$(ls other)" "the other workspace"
refused "No such file or directory" mv -T nowhere somewhere
refused "Operation not permitted" mv new other/
check_eq content "$(cat new/file)" "after mv of a workspace into another"
check_eq EINVAL "$(errno_of rename new new/below)" "a workspace into itself"
cd / && unmount_store "$store" "$m" && mount_store "$store" "$m" && cd "$m" || exit 1
check_eq content "$(cat .snapshots/new/s/file)" "the new name after a remount"

test_case "mv between workspaces copies"
echo one >new/one
ln new/one new/two
mkdir -p new/tree/sub && echo deep >new/tree/sub/deep
check "mv of a file" mv new/file other/
check_eq content "$(cat other/file)" "a moved file"
check_not "the file left" test -e new/file
check "mv of a tree" mv new/tree other/
check_eq deep "$(cat other/tree/sub/deep)" "a moved tree"
check_not "the tree left" test -e new/tree
check_eq EXDEV "$(errno_of rename new/one other/one)" "rename between workspaces"
check_eq EXDEV "$(errno_of link new/one other/one)" "link between workspaces"
check "mv of a directory to the mount root makes a workspace" mv other/tree "$m/tree"
check_eq deep "$(cat tree/sub/deep)" "the new workspace"
check "it can be checkpointed" mkdir .snapshots/tree/s
refused "Operation not permitted" mv new/one "$m/one"
check_eq one "$(cat new/one)" "the file stays"

test_case "the mount root holds nothing else"
refused "Operation not permitted" touch file
refused "Operation not permitted" ln -s new link
refused "Operation not permitted" mkfifo fifo
check_eq EPERM "$(errno_of link new/one hard)" "a hard link in the mount root"
refused "Operation not permitted" rmdir .snapshots
refused "Operation not permitted" mkdir .snapshots/made-up
refused "Operation not permitted" rmdir .snapshots/new
refused "Operation not permitted" touch .snapshots/file
refused "Operation not permitted" touch .snapshots/new/file
refused "Operation not permitted" ln -s x .snapshots/new/link
refused "Operation not permitted" mv .snapshots snapshots
refused "Operation not permitted" mv -T .snapshots/new .snapshots/newer
refused "Operation not permitted" mv -T .snapshots/new newer
refused "Operation not permitted" mv -T .snapshots/new other
refused "Operation not permitted" mv new .snapshots/
refused "Operation not permitted" chmod 700 .snapshots
refused "Operation not permitted" chown 1 .snapshots/new
refused "Operation not permitted" setfattr -n user.x -v y .snapshots/new
check_eq $'.snapshots\nnew\nother\ntree' "$(ls -A)" "names at the end"

test_case "the mount root keeps its mode and owner"
chmod 1777 . && chown 12:34 .
mkdir wide
check_eq "1777 12 34" "$(stat -c '%a %u %g' .)" "at once"
cd / && unmount_store "$store" "$m" && mount_store "$store" "$m" || exit 1
check_eq "1777 12 34" "$(stat -c '%a %u %g' "$m")" "after a remount"
cd "$m" || exit 1
chmod 755 "$scratch"
check "a user makes a workspace" setpriv --reuid 4321 --regid 4322 --clear-groups mkdir theirs
check_eq "4321 4322" "$(stat -c '%u %g' theirs)" "its owner"
check "a user works in it" setpriv --reuid 4321 --regid 4322 --clear-groups touch theirs/file
refused "Operation not permitted" setpriv --reuid 5000 --regid 5000 --clear-groups mv theirs stolen
cd /
