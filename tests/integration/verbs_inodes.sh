#!/bin/bash
# Inode numbers: no two different files share one, they are stable, and the programs that rely on them (diff,
# tar, cp -a, rsync -H, find) work correctly.
# Names here are plain, and `a && b || fail` is meant as it stands.
# shellcheck disable=SC2010,SC2012,SC2015,SC2086
# shellcheck source-path=SCRIPTDIR source=../lib/harness.sh
. "$(dirname "${BASH_SOURCE[0]}")/../lib/harness.sh"

store=$scratch/store m=$scratch/mnt
mount_store "$store" "$m" || exit 1
cd "$m" || exit 1
mkdir W && mkdir -p W/dir/sub 'W/with space' && for i in {1..50}; do echo "$i" >"W/dir/f$i"; done
echo linked >W/hard1 && ln W/hard1 W/dir/hard2 && ln W/hard1 W/dir/sub/hard3 && ln -s hard1 W/soft && mkfifo W/pipe
mkdir .snapshots/W/s1
echo changed >W/dir/f1 && rm W/dir/f2 && echo new >W/dir/new && mkdir .snapshots/W/s2
mv -T .snapshots/W/s1 F && echo forked >F/dir/f1 && mkdir .snapshots/F/f1
mkdir E

# Prints "device:number tree path" for all of the mount, each snapshot once.
numbers() {
    local tree
    find "$m" -maxdepth 0 -printf '%D:%i root .\n'
    find "$m/.snapshots" -maxdepth 1 -printf '%D:%i lists %p\n'
    for tree in "$m"/*/ "$m"/.snapshots/*/*/; do
        find "$tree" -printf "%D:%i $tree %P\n"
    done
    find "$m"/*/.snapshots -maxdepth 0 -printf '%D:%i lists %p\n'
}

# The same without the device, whose number is the kernel's to choose at each mount.
inodes() { numbers | cut -d : -f 2-; }

# Prints the numbers that two trees share, or that files of one tree share other than hard links.
collisions() {
    numbers | grep -v 'hard[123]$' | cut -d ' ' -f 1 | sort | uniq -d
    numbers | grep 'hard[123]$' | cut -d ' ' -f 1,2 | sort -u | cut -d ' ' -f 1 | sort | uniq -d
}

test_case "no two files share a number"
check_eq '' "$(collisions)" "numbers of two files"
check "there are many" test "$(numbers | wc -l)" -gt 300
check_eq 1 "$(numbers | cut -d : -f 1 | sort -u | wc -l)" "devices"
check_eq 3 "$(find W -samefile W/hard1 | wc -l)" "hard links in the workspace"
check_eq 3 "$(find .snapshots/W/s1 -samefile .snapshots/W/s1/hard1 | wc -l)" "hard links in a snapshot"
check_eq 3 "$(find . -samefile W/hard1 | wc -l)" "hard links in all"
check_not "a file and its copy" test W/hard1 -ef .snapshots/W/s1/hard1
check_not "two snapshots" test .snapshots/W/s2/hard1 -ef .snapshots/W/s1/hard1
check_not "a fork" test F/hard1 -ef .snapshots/W/s1/hard1
check "both places show one file" test W/.snapshots/s1/hard1 -ef .snapshots/W/s1/hard1
check "and one directory" test W/.snapshots/s1/dir -ef .snapshots/W/s1/dir
# What readdir says, and what stat does.
check_eq "$(ls -1i --color=never -U W/dir | sort)" "$(stat -c '%i %n' W/dir/* | sed 's,W/dir/,,' | sort)" "ls -i"
check_eq '' "$(comm -3 <(ls -iU .snapshots/W | awk '{print $1}' | sort) <(stat -c %i .snapshots/W/* | sort))" "ls -i of the list"

test_case "they stay the same"
inodes >"$scratch/before"
cd / && unmount_store "$store" "$m" && mount_store "$store" "$m" && cd "$m" || exit 1
inodes >"$scratch/after"
check "over a remount" diff "$scratch/before" "$scratch/after"
cd / && unmount_store "$store" "$m" && mount_store "$store" "$m" && cd "$m" || exit 1
# In another order of looking.
find .snapshots/F >/dev/null && find E F >/dev/null
inodes >"$scratch/after"
check "over a remount, looked at in another order" diff "$scratch/before" "$scratch/after"
find .snapshots/W/s1 W/dir -printf '%i %p\n' >"$scratch/before"
before=$(stat -c %i W W/dir W/dir/f3 W/hard1 W/dir/f1)
echo damage >W/dir/f3 && mv -T .snapshots/W/s1 .snapshots/W/.live
check_eq "$before" "$(stat -c %i W W/dir W/dir/f3 W/hard1 W/dir/f1)" "over a rollback in place"
echo damage >W/dir/f3 && mv -T .snapshots/W/s1 W
check_eq "$before" "$(stat -c %i W W/dir W/dir/f3 W/hard1 W/dir/f1)" "over a rollback by name"
mv -T .snapshots/W/s1 F2
find .snapshots/W/s1 W/dir -printf '%i %p\n' >"$scratch/after"
check "of a snapshot, over a fork and a rollback" diff <(grep ' .snapshots' "$scratch/before") <(grep ' .snapshots' "$scratch/after")
number=$(stat -c %i .snapshots/W/s1/hard1)
rename_flags 2 .snapshots/W/s2 W >/dev/null
mv -T .snapshots/F/f1 W
mkdir .snapshots/W/s3 && rmdir .snapshots/W/s3
check_eq "$number" "$(stat -c %i .snapshots/W/s1/hard1)" "over all sorts of things"
check_eq '' "$(collisions)" "numbers of two files, then"
cd / && unmount_store "$store" "$m" && mount_store "$store" "$m" && cd "$m" || exit 1
check_eq '' "$(collisions)" "numbers of two files, after a remount"
check_eq "$number" "$(stat -c %i .snapshots/W/s1/hard1)" "still"

test_case "numbers of what is gone are not given again at once"
mkdir .snapshots/W/t && old=$(stat -c %i .snapshots/W/t .snapshots/W/t/hard1) && rmdir .snapshots/W/t
mkdir .snapshots/W/t
check_eq 0 "$(comm -12 <(sort <<<"$old") <(stat -c %i .snapshots/W/t .snapshots/W/t/hard1 | sort) | wc -l)" "a snapshot"
mkdir G && old=$(stat -c %i G) && rmdir G && mkdir G
check_not "a workspace" test "$old" = "$(stat -c %i G)"

test_case "diff, tar, cp, rsync, find, du"
mv -T .snapshots/W/s1 W
echo CHANGED >W/dir/f7 && touch -r .snapshots/W/s1/dir/f7 W/dir/f7
check "diff -r sees what a number would hide" test -n "$(diff -rq W .snapshots/W/s1 2>/dev/null | grep f7)"
check "diff of two snapshots" diff -r --exclude pipe .snapshots/W/s1 W/.snapshots/s1
rm W/pipe
tar -cf "$scratch/tar" --exclude pipe W .snapshots/W/s1 2>/dev/null
mkdir "$scratch/tarred" && tar -xf "$scratch/tar" -C "$scratch/tarred"
check "tar: the workspace" diff -r W "$scratch/tarred/W"
check_eq CHANGED "$(cat "$scratch/tarred/W/dir/f7")" "tar: its content"
check_eq 7 "$(cat "$scratch/tarred/.snapshots/W/s1/dir/f7")" "tar: the snapshot's content"
check_eq "3 3" "$(stat -c %h "$scratch/tarred/W/hard1" "$scratch/tarred/.snapshots/W/s1/hard1" | paste -sd ' ')" "tar: hard links"
cp -a W .snapshots/W/s1 "$scratch/tarred/.snapshots"
check_eq "3 3" "$(stat -c %h "$scratch/tarred/.snapshots/W/hard1" "$scratch/tarred/.snapshots/s1/hard1" | paste -sd ' ')" "cp -a: hard links"
check_eq "CHANGED 7" "$(cat "$scratch/tarred/.snapshots/W/dir/f7") $(cat "$scratch/tarred/.snapshots/s1/dir/f7")" "cp -a: content"
rsync -aH --exclude pipe W .snapshots/W/s1 "$scratch/synced/"
check_eq "3 3" "$(stat -c %h "$scratch/synced/W/hard1" "$scratch/synced/s1/hard1" | paste -sd ' ')" "rsync -H: hard links"
check_eq "CHANGED 7" "$(cat "$scratch/synced/W/dir/f7") $(cat "$scratch/synced/s1/dir/f7")" "rsync -H: content"
check "find finds no loop" find .
check_eq '' "$(find . 2>&1 >/dev/null)" "nothing is said"
check_eq '' "$(du -s W .snapshots 2>&1 >/dev/null)" "nor by du"
check_not "cp refuses nothing as the same file" cmp -s W/dir/f7 .snapshots/W/s1/dir/f7
check "cp over the live file" cp .snapshots/W/s1/dir/f7 W/dir/f7
check_eq 7 "$(cat W/dir/f7)" "what it copied"

# What JavaScript takes for one number with its neighbours, of all that is in the mount.
too_large() { inodes | awk '$1 >= 2 ^ 53'; }
# As if so many numbers of trees had been given; the store must not be in use.
set_given() { query "$store" "UPDATE view_range SET given = max(first - 1, CASE first WHEN 1 THEN min($1, 4095) WHEN 4096
    THEN min($1, 8191) ELSE $1 END)"; }
away() { cd / && unmount_store "$store" "$m"; }
back() { mount_store "$store" "$m" && cd "$m" || exit 1; }

test_case "after many checkpoints numbers are below 2^53"
check_eq '' "$(too_large)" "before"
inodes >"$scratch/before"
for given in 8191 8400 1000000; do
    away && set_given "$given" && back
    mkdir "N$given" && mkdir "N$given/d" && echo 1 >"N$given/d/one" && echo 2 >"N$given/d/two"
    mkdir ".snapshots/N$given/s" && mv -T ".snapshots/N$given/s" "F$given"
    number=$(stat -c %i "N$given" "N$given/d/one")
    echo changed >"N$given/d/one" && mv -T ".snapshots/N$given/s" ".snapshots/N$given/.live"
    check_eq "$number" "$(stat -c %i "N$given" "N$given/d/one")" "$given: over a rollback"
    check_eq 2 "$(find ".snapshots/N$given" -mindepth 1 -maxdepth 1 -type d | wc -l)" "$given: the state before is kept"
    check_eq '' "$(too_large)" "$given: numbers that JavaScript cannot tell apart"
    check_eq '' "$(collisions)" "$given: numbers of two files"
    inodes | sort >"$scratch/then"
    away && back
    check_eq '' "$(diff "$scratch/then" <(inodes | sort))" "$given: over a remount"
done
check_eq '' "$(comm -23 <(sort "$scratch/before") "$scratch/then")" "what was there has the numbers that it had"

# With all numbers below 2^53 in use but one, that is the one of what was deleted last.
test_case "a number is not given to another while a file that had it is open"
# All others are had by snapshots that have lost their data.
mkdir full
away
query "$store" "WITH n (v) AS (WITH RECURSIVE n (v) AS (SELECT 4096 UNION ALL SELECT v + 1 FROM n WHERE v < 8191) SELECT v FROM n),
    free (v) AS (SELECT v FROM n WHERE v NOT IN (SELECT view FROM snapshot)),
    rows (v, uuid) AS (SELECT v, printf('00000000-0000-4000-8000-%012x', v) FROM free WHERE v <> (SELECT max(v) FROM free))
    INSERT INTO snapshot (uuid, workspace_id, name, volume, created_ns, kind, missing, view, root_mode, root_uid, root_gid)
    SELECT uuid, (SELECT id FROM workspace WHERE name = 'full'), v, uuid, 1, 'manual', 1, v, $((0040755)), 0, 0 FROM rows"
back
mkdir .snapshots/W/last
small=$(stat -c %i .snapshots/W/last/hard1)
check "the last one that is free" test "$small" -lt $((1 << 53))
exec 5<.snapshots/W/last/hard1
rmdir .snapshots/W/last
gone() { [[ -z $(query "$store" "SELECT 1 FROM tombstone") ]]; }
await 20 "the end of the volume" gone
mkdir .snapshots/W/meanwhile
check "another one, while it is open" test "$(stat -c %i .snapshots/W/meanwhile/hard1)" -ge $((1 << 53))
check_eq "$small" "$(stat -L -c %i /proc/self/fd/5 5<&5)" "what is open has the number still"
exec 5<&-
check "a large number is a number" test -n "$(cat .snapshots/W/meanwhile/hard1)"
# The kernel may keep what was closed for as long as it has memory, and the number with it.
has_small() { [[ $(stat -c %i .snapshots/W/next/hard1) == "$small" ]]; }
again() {
    has_small && return
    echo 2 >/proc/sys/vm/drop_caches
    rmdir .snapshots/W/next
    mkdir .snapshots/W/next && has_small
}
await 20 "the small one again, when nobody has it" again
mkdir large && check "workspaces have small ones" test "$(stat -c %i large)" -lt $((1 << 53))
away
query "$store" "DELETE FROM snapshot WHERE volume LIKE '00000000-%'"
back
run ckpt fsck
check_eq 0 "$status" "fsck: $output$errors"
cd /
