#!/bin/bash
# Processes whose working directory is in a workspace across a rollback: what they see afterwards, and that it
# is always the restored directory of the same path.
# Names here are plain, and `a && b || fail` is meant as it stands.
# shellcheck disable=SC2010,SC2012,SC2015,SC2086
# shellcheck source-path=SCRIPTDIR source=../lib/harness.sh
. "$(dirname "${BASH_SOURCE[0]}")/../lib/harness.sh"

store=$scratch/store m=$scratch/mnt
mount_store "$store" "$m" || exit 1

# check_gone NAME: the working directory shows nothing and takes nothing. NAME is a file that must
# not be seen through it.
check_gone() {
    local seen
    seen=$(ls -A . 2>/dev/null)
    check_eq '' "$seen" "a directory that is gone lists nothing"
    check_not "no file of another directory is seen" cat "$1"
    run touch made-here
    check_not "nothing can be made in it" test "$status" = 0
    check_match 'No such file or directory|Stale file handle' "$errors" "what is said then"
    check_not "nor a directory" mkdir made-there
}

cd "$m" || exit 1
mkdir -p W/src/deep W/kept && echo one >W/file && echo a >W/src/a && echo b >W/src/deep/b
mkdir .snapshots/W/s1

test_case "a shell in the workspace's root, in place"
(
    begin_subshell
    cd W && echo two >file && touch later && exec 4<file || exit 1
    before=$(stat -c '%d %i' .)
    check "rollback" mv -T "$m/.snapshots/W/s1" "$m/.snapshots/W/.live"
    check_eq "$m/W" "$(/bin/pwd)" "getcwd"
    check_eq "$m/W" "$PWD" "PWD"
    check_eq one "$(cat file)" "a relative read"
    check_eq $'file\nkept\nsrc' "$(ls -A)" "a relative listing"
    check_not "what came later" test -e later
    check_eq two "$(cat <&4)" "a file that was open for reading"
    check_eq "$before" "$(stat -c '%d %i' .)" "the directory's number"
    check "a file is made" touch made
    check "it is in the workspace" test -e "$m/W/made"
    check "going up" test -d ../.snapshots
    check "cd ." cd .
    rm made
    end_subshell
)
join_subshell

test_case "shells in subdirectories, in place"
(
    begin_subshell
    cd W/src/deep && echo changed >b && echo changed >../a && rm -r ../../kept || exit 1
    before=$(stat -c '%d %i' .)
    check "rollback" mv -T "$m/W/.snapshots/s1" "$m/W/.snapshots/.live"
    check_eq "$m/W/src/deep" "$(/bin/pwd)" "getcwd"
    check_eq "b a one" "$(cat b) $(cat ../a) $(cat ../../file)" "relative reads"
    check_eq "$before" "$(stat -c '%d %i' .)" "the directory's number"
    check "a file is made" touch made
    check "it is in the workspace" test -e "$m/W/src/deep/made"
    rm made
    check "a directory is made" mkdir dir
    check "and entered" cd dir
    check_eq "$m/W/src/deep/dir" "$(/bin/pwd)" "getcwd there"
    end_subshell
)
join_subshell
rmdir W/src/deep/dir

test_case "a directory that was renamed since"
(
    begin_subshell
    mv W/src/deep W/src/moved && cd W/src/moved && echo changed >b || exit 1
    check "rollback" mv -T "$m/.snapshots/W/s1" "$m/.snapshots/W/.live"
    check_not "the new name" test -e "$m/W/src/moved"
    check_eq b "$(cat "$m/W/src/deep/b")" "by the restored name"
    # It is the same directory, under the name that it had.
    check_eq b "$(cat b)" "a relative read"
    end_subshell
)
join_subshell

test_case "a directory that is no longer there"
(
    begin_subshell
    mkdir W/gone W/gone/below && echo lost >W/gone/lost && cd W/gone || exit 1
    number=$(stat -c %i .)
    check "rollback" mv -T "$m/.snapshots/W/s1" "$m/.snapshots/W/.live"
    check_gone lost
    check "ckpt, by a path" ckpt list -w "$m/W"
    refused "cd" ckpt list
    # Directories made now get the inode numbers of those that are gone.
    mkdir "$m/W/other" && echo other >"$m/W/other/lost"
    check_eq "$number" "$(stat -c %i "$m/W/other")" "the number is used again (or this proves nothing)"
    check_gone lost
    check_eq lost "$(ls -A "$m/W/other")" "nothing got into the other one"
    check_eq "$m/W/other" "$(cd "$m/W/other" && /bin/pwd)" "getcwd in the new one"
    # Undone, the old one is there again, and the new one is not.
    kept=$(ls -t "$m/.snapshots/W" | tail -n +2 | head -n 1)
    mkdir "$m/.snapshots/W/with-other"
    for state in "$m"/.snapshots/W/pre-rollback-*; do [[ -e $state/gone ]] && kept=$state; done
    check "undo" mv -T "$kept" "$m/.snapshots/W/.live"
    check_eq lost "$(cat "$m/W/gone/lost")" "by its name"
    check_not "the other one" test -e "$m/W/other"
    if [[ -n $(ls -A . 2>/dev/null) ]]; then check_eq lost "$(cat lost)" "the old one, by a relative read"; fi
    end_subshell
)
join_subshell
mv -T .snapshots/W/s1 .snapshots/W/.live

test_case "a shell in a directory whose number another one takes, both known"
(
    begin_subshell
    mkdir W/x && echo x >W/x/content && mkdir .snapshots/W/with-x || exit 1
    mv -T .snapshots/W/s1 .snapshots/W/.live
    mkdir W/y && echo y >W/y/content && cd W/y || exit 1
    check "rollback to where x was" mv -T "$m/.snapshots/W/with-x" "$m/.snapshots/W/.live"
    check_eq x "$(cat "$m/W/x/content")" "x by its name"
    check_not "y is gone" test -e "$m/W/y"
    check_gone content
    end_subshell
)
join_subshell

test_case "two workspaces that made directories at the same time"
# A fork and its origin give the same inode number to what they make next, and within one
# transaction of the filesystem the same generation too.
mkdir P && echo p >P/p && mkdir .snapshots/P/base && mv -T .snapshots/P/base Q
mkdir P/a Q/b && echo a >P/a/content && echo b >Q/b/content
mkdir .snapshots/Q/q
(
    begin_subshell
    cd P/a || exit 1
    check_eq a "$(cat content)" "before"
    check "promotion of the other's state" mv -T "$m/.snapshots/Q/q" "$m/P"
    check_eq b "$(cat "$m/P/b/content")" "the promoted state"
    check_not "a is not in it" test -e "$m/P/a"
    check_gone content
    # Undone and done again in place, with a shell in what is not in the other state. (Without a change, Q/q would
    # be all that there is to keep.)
    cd "$m/P/b" && touch "$m/P/changed" || exit
    before=$(find "$m/.snapshots/P" -mindepth 1 -maxdepth 1 -name 'pre-rollback-*')
    check "undo" mv -T "$before" "$m/.snapshots/P/.live"
    check_eq a "$(cat "$m/P/a/content")" "the state before"
    check_gone content
    cd "$m/P/a" || exit
    for after in "$m"/.snapshots/P/pre-rollback-*; do [[ -e $after/b ]] && break; done
    check "redo" mv -T "$after" "$m/.snapshots/P/.live"
    check_eq b "$(cat "$m/P/b/content")" "the promoted state"
    check_gone content
    # From then on directories are kept as ever.
    mkdir "$m/.snapshots/P/then" && cd "$m/P/b" && rm content || exit
    check "rollback" mv -T "$m/.snapshots/P/then" "$m/.snapshots/P/.live"
    check_eq "b $m/P/b" "$(cat content) $(/bin/pwd)" "in a directory that was kept"
    end_subshell
)
join_subshell

test_case "a file takes a directory's name, and the other way round"
mv -T .snapshots/W/s1 W
mkdir W/was-dir && touch W/was-dir/in W/was-file && ln -s file W/was-link && mkdir .snapshots/W/types
(
    begin_subshell
    rm -r W/was-dir W/was-file W/was-link && touch W/was-dir && mkdir W/was-file && mkdir W/was-link && cd W/was-file || exit 1
    stat "$m"/W/was-* >/dev/null
    check "rollback" mv -T "$m/.snapshots/W/types" "$m/.snapshots/W/.live"
    check_eq "directory,regular empty file,symbolic link" "$(stat -c %F "$m"/W/was-* | paste -sd ,)" "types"
    check_gone in
    end_subshell
)
join_subshell

test_case "a shell in the workspace, by name"
(
    begin_subshell
    cd W && echo two >file || exit 1
    check "rollback" mv -T "$m/.snapshots/W/s1" "$m/W"
    # The kernel declares the directory that was replaced dead.
    refused "No such file or directory" touch dead
    check_not "and only there" test -e "$m/W/dead"
    check "cd heals it" cd "$PWD"
    check_eq one "$(cat file)" "a relative read"
    check_eq "$m/W" "$(/bin/pwd)" "getcwd"
    check "a file is made" touch made
    check "in the workspace" test -e "$m/W/made"
    rm made
    end_subshell
)
join_subshell
(
    begin_subshell
    cd W/src && echo two >a || exit 1
    check "rollback with a shell in a subdirectory" mv -T "$m/.snapshots/W/s1" "$m/W"
    seen=$(cat a 2>/dev/null)
    check_match '^a?$' "$seen" "the restored content or nothing"
    check "cd heals it" cd "$PWD"
    check_eq a "$(cat a)" "a relative read"
    check_eq "$m/W/src" "$(/bin/pwd)" "getcwd"
    end_subshell
)
join_subshell

test_case "exchange with shells in the workspace"
(
    begin_subshell
    mkdir .snapshots/W/x && echo two >W/file && cd W || exit 1
    check_eq 0 "$(rename_flags 2 "$m/.snapshots/W/x" "$m/.snapshots/W/.live")" "exchange onto .live"
    check_eq "one $m/W" "$(cat file) $(/bin/pwd)" "the shell sees the restored state"
    check_eq two "$(cat "$m/.snapshots/W/x/file")" "the snapshot has the other"
    check_eq 0 "$(rename_flags 2 "$m/.snapshots/W/x" "$m/W")" "exchange by name"
    check_eq "two one" "$(cat "$m/W/file") $(cat "$m/.snapshots/W/x/file")" "both by name"
    run touch stray
    check_not "nothing gets into the snapshot" test -e "$m/.snapshots/W/x/stray"
    rm -f "$m/W/stray"
    check 'cd heals it' cd "$m/W"
    check_eq "two $m/W" "$(cat file) $(/bin/pwd)" "the shell"
    end_subshell
)
join_subshell

test_case "again and again"
(
    begin_subshell
    mv -T .snapshots/W/s1 W && cd W/src/deep || exit 1
    for i in {1..40}; do
        echo "$i" >b
        mkdir "dir$i" "$m/W/new$i"
        mv -T "$m/.snapshots/W/s1" "$m/.snapshots/W/.live" || fail "rollback $i"
        [[ $(cat b) == b && $(ls -A) == b && $(ls -A "$m/W") == $'file\nkept\nsrc' ]] || fail "after rollback $i"
    done
    check_eq "$m/W/src/deep" "$(/bin/pwd)" "getcwd"
    end_subshell
)
join_subshell
cd /
