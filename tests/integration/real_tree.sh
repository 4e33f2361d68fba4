#!/bin/bash
# A real source tree: unpacked into a workspace, built there, checkpointed, damaged and rolled back. Then all
# content, modes and times are as before; and it still builds.
# shellcheck source=tests/lib/harness.sh
. "$(dirname "${BASH_SOURCE[0]}")/../lib/harness.sh"

lib=$(cd "$(dirname "${BASH_SOURCE[0]}")/../lib" && pwd)
store=$scratch/store
mnt=$scratch/mnt
for program in dpkg-source make cc; do
    command -v "$program" >/dev/null || skip_test "there is no $program"
done
run "$lib/real-tree"
((status == 0)) || skip_test "the source package cannot be had: $errors"

# build_tree DIRECTORY: from the sources, as far as something is to do.
build_tree() { make -C "$1" -j2 >"$scratch/make.log" 2>&1 || ! tail -n 5 "$scratch/make.log"; }
greeting() { "$1/hello"; }
# Counts of files of each type, for the log.
census() { find "$1" -path "$1/.snapshots" -prune -o -printf '%y\n' | sort | uniq -c | xargs; }

# Everything that goes wrong with a tree, but for its end.
damage() {
    local tree=$1 files file
    rm -r "$tree/src" "$tree/po"
    rm "$tree/hello" "$tree/Makefile"
    mapfile -t files < <(find "$tree" -type f -name '*.[ch]' | sort | head -n 30)
    for file in "${files[@]:0:8}"; do echo "int damage;" >"$file"; done
    for file in "${files[@]:8:4}"; do printf 'X' | dd of="$file" conv=notrunc status=none; done
    for file in "${files[@]:12:4}"; do truncate -s 1 "$file"; done
    for file in "${files[@]:16:4}"; do chmod 000 "$file"; done
    for file in "${files[@]:20:4}"; do touch -d @1 "$file"; done
    for file in "${files[@]:24:3}"; do mv "$file" "$file.renamed"; done
    ln -sf /nowhere "${files[27]}"
    chown 12345:54321 "$tree/configure"
    setfattr -n user.damage -v yes "$tree/config.status"
    mkdir -p "$tree/new/deep/er"
    head -c 100000 /dev/urandom >"$tree/new/deep/er/file"
    chmod 700 "$tree/lib"
    chmod 711 "$tree"
}

# is_as_it_was TREE: the manifest, the root, and what make and the program make of it.
is_as_it_was() {
    check_eq "$built" "$(manifest "$1")" "the tree"
    check_eq "$built_root" "$(stat -c '%a %u:%g %y' "$1")" "its root"
    check_eq "$built_attributes" "$(attributes "$1")" "extended attributes"
    check_eq "Hello, world!" "$(greeting "$1")" "what the program says"
    check_eq "$to_do" "$(to_do "$1")" "what make would do"
}
# Recursions, but no compilation.
to_do() { make -n -C "$1" 2>/dev/null; }
attributes() { (cd "$1" && getfattr -R -d -m - . 2>/dev/null); }

test_case "unpack and build in a workspace"
check "mount" mount_store "$store" "$mnt" size=2G
mkdir "$mnt/hello"
run "$lib/real-tree" "$mnt/hello/tree"
check_eq "0 " "$status $errors" "unpacking"
mv "$mnt/hello/tree"/* "$mnt/hello/tree"/.[!.]* "$mnt/hello/" 2>/dev/null
rmdir "$mnt/hello/tree"
count=$(find "$mnt/hello" -type f | wc -l)
check "$count files" test "$count" -ge 300
pristine=$(manifest "$mnt/hello")
check "a checkpoint of the sources" mkdir "$mnt/.snapshots/hello/sources"
(cd "$mnt/hello" && ./configure --disable-dependency-tracking >"$scratch/configure.log" 2>&1)
check_eq 0 "$?" "configure"
check "make" build_tree "$mnt/hello"
check_eq "Hello, world!" "$(greeting "$mnt/hello")" "what the program says"
to_do=$(to_do "$mnt/hello")
check_not "make would compile again" grep -q "gcc -DHAVE\|-c -o" <<<"$to_do"
built=$(manifest "$mnt/hello")
built_root=$(stat -c '%a %u:%g %y' "$mnt/hello")
built_attributes=$(attributes "$mnt/hello")
echo "    $(census "$mnt/hello")"

test_case "checkpoint, damage, roll back by name"
check "checkpoint" mkdir "$mnt/.snapshots/hello/built"
check_eq "$built" "$(manifest "$mnt/.snapshots/hello/built")" "the snapshot"
damage "$mnt/hello"
check_not "it is damaged" test "$built" = "$(manifest "$mnt/hello")"
check_eq "$built" "$(manifest "$mnt/.snapshots/hello/built")" "the snapshot is not"
damaged=$(manifest "$mnt/hello")
check "rollback" mv -T "$mnt/.snapshots/hello/built" "$mnt/hello"
is_as_it_was "$mnt/hello"

test_case "the rollback can be undone, and that undone again"
before=$(find "$mnt/.snapshots/hello" -maxdepth 1 -name 'pre-rollback-*')
check_eq 1 "$(wc -l <<<"$before")" "states before a rollback"
check "undo" mv -T "$before" "$mnt/hello"
check_eq "$damaged" "$(manifest "$mnt/hello")" "damaged as before"
check "redo" mv -T "$mnt/.snapshots/hello/built" "$mnt/hello"
is_as_it_was "$mnt/hello"

test_case "roll back in place, from a shell that stands in the tree"
damage "$mnt/hello"
(
    cd "$mnt/hello/lib" || exit 1
    mv -T ../.snapshots/built ../.snapshots/.live || exit 1
    [[ $(stat -c %a ..) == "${built_root%% *}" && -f error.c ]]
)
check_eq 0 "$?" "the shell stands in the restored directory"
is_as_it_was "$mnt/hello"

test_case "the same with ckpt"
check "checkpoint" ckpt checkpoint -w "$mnt/hello" -s again -m "built, and well"
damage "$mnt/hello"
run ckpt diff -w "$mnt/hello" -f again
check_match "- .*src/hello.c" "$output" "ckpt diff: removed"
check_match "\\+ .*new/deep/er/file" "$output" "ckpt diff: added"
check_match "M .*configure" "$output" "ckpt diff: changed"
run ckpt rollback -w "$mnt/hello" -s again --preview
check "preview changes nothing" test ! -e "$mnt/hello/hello"
check "rollback" ckpt rollback -w "$mnt/hello" -s again
is_as_it_was "$mnt/hello"
run ckpt diff -w "$mnt/hello" -f again
check_eq "0 " "$status $output" "no difference is left"

test_case "it still builds"
touch "$mnt/hello/src/hello.c"
check "make" build_tree "$mnt/hello"
check_eq "Hello, world!" "$(greeting "$mnt/hello")" "what the program says"
check "make clean" make -C "$mnt/hello" clean
check "make from the start" build_tree "$mnt/hello"

test_case "back to the sources, over a remount"
check "unmount" unmount_store "$store" "$mnt"
check "mount" mount_store "$store" "$mnt"
check "rollback" mv -T "$mnt/.snapshots/hello/sources" "$mnt/hello"
check_eq "$pristine" "$(manifest "$mnt/hello")" "the sources"
check "unmount" unmount_store "$store" "$mnt"
