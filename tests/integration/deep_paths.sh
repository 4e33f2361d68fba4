#!/bin/bash
# Trees with paths longer than PATH_MAX: ckpt diff, --if-changed and rollback --preview handle them as any
# other, and the kernel is never asked for what makes it log a warning (btrfs send of such a path).
# shellcheck source-path=SCRIPTDIR source=../lib/harness.sh
. "$(dirname "${BASH_SOURCE[0]}")/../lib/harness.sh"

store=$scratch/store m=$scratch/mnt
mount_store "$store" "$m" || exit 1
cd "$m" || exit 1

# Complaints of the kernel about what it puts together in a send.
warnings() { dmesg | grep -c 'fs_path_ensure_buf\|fs/btrfs/send\.c'; }
warned=$(warnings)

# deep VERB TOP LEVELS [ARGUMENT...]: a chain of LEVELS directories of long names below TOP, step by step.
#   make           with a file at the bottom
#   write TEXT     writes that to the file
#   remove         the whole chain, from the bottom up
#   rename         the lowest directory
#   link           a second name for the file, beside it
deep() {
    python3 - "$@" <<'PYTHON'
import os, sys
verb, top, levels = sys.argv[1], sys.argv[2], int(sys.argv[3])
name = "d" * 200
def descend(depth):
    fd = os.open(top, os.O_RDONLY)
    for _ in range(depth):
        if verb == "make":
            os.mkdir(name, dir_fd=fd)
        below = os.open(name, os.O_RDONLY, dir_fd=fd)
        os.close(fd)
        fd = below
    return fd
def write(fd, text):
    file = os.open("file", os.O_WRONLY | os.O_CREAT | os.O_TRUNC, dir_fd=fd)
    os.write(file, text.encode())
    os.close(file)
if verb == "make":
    os.mkdir(top)
    write(descend(levels), "one")
elif verb == "write":
    write(descend(levels), sys.argv[4])
elif verb == "link":
    fd = descend(levels)
    os.link("file", "link", src_dir_fd=fd, dst_dir_fd=fd)
elif verb == "rename":
    fd = descend(levels - 1)
    os.rename(name, "renamed", src_dir_fd=fd, dst_dir_fd=fd)
elif verb == "remove":
    fd = descend(levels)
    for entry in os.listdir(fd):
        os.unlink(entry, dir_fd=fd)
    for depth in reversed(range(levels)):
        fd = descend(depth)
        os.rmdir(name, dir_fd=fd)
    os.rmdir(top)
PYTHON
}

# told W: what ckpt diff says since "s", each path by its first part, its length and its last part.
told() {
    ckpt diff -w "$1" -f s --format json |
        jq -r '.[] | [.kind, (.old_path // .path | split("/")[0]), (.path | length), (.path | split("/")[-1][:8])] | join(" ")'
}

# begin W: a workspace with a small file and, if LEVELS are given, a chain in it; and its snapshot "s".
begin() {
    mkdir "$1" && echo small >"$1/small"
    [[ -z ${2-} ]] || deep make "$1/top" "$2"
    mkdir ".snapshots/$1/s"
}

# agree W: the other ways to ask find a change, too; then back to s by a rollback, which keeps the state before.
agree() {
    local lines
    lines=$(ckpt diff -w "$1" -f s | wc -l)
    check_eq "$lines" "$(ckpt rollback -w "$1" -s s --preview | wc -l)" "$1: the preview has as many lines"
    run ckpt checkpoint -w "$1" --if-changed -s changed
    check_eq "0 $1/changed" "$status $output" "$1: --if-changed"
    check_eq "$lines" "$(ckpt diff -w "$1" -f s -t changed | wc -l)" "$1: between snapshots"
    check_eq "$lines" "$(ckpt diff -w "$1" -f changed -t s | wc -l)" "$1: and backwards"
    run ckpt rollback -w "$1" -s s
    check_eq 0 "$status" "$1: rollback: $errors"
    check_eq '' "$(ckpt diff -w "$1" -f s)" "$1: after it"
    check_eq small "$(cat "$1/small")" "$1: the other file"
}

test_case "added"
begin A && deep make A/top 25
check_eq $'27\nadded top 5033 file' "$(told A | wc -l)"$'\n'"$(told A | tail -n 1)" "what is told"
agree A

test_case "removed"
begin R 25 && deep remove R/top 25
check_eq $'27\nremoved top 5033 file' "$(told R | wc -l)"$'\n'"$(told R | tail -n 1)" "what is told"
agree R

test_case "modified"
begin M 25 && deep write M/top 25 other
check_eq "modified top 5033 file" "$(told M)" "what is told"
agree M

test_case "modified, with a second name"
mkdir H && echo small >H/small && deep make H/top 25 && deep link H/top 25 && mkdir .snapshots/H/s
deep write H/top 25 other
check_eq $'modified top 5033 file\nmodified top 5033 link' "$(told H)" "what is told"
agree H

test_case "renamed at the bottom and at the top"
begin N 25 && deep rename N/top 25
check_eq "renamed top 4835 renamed" "$(told N)" "what is told"
agree N
begin T 25 && mv T/top T/another && deep write T/another 25 other
check_eq $'renamed top 7 another\nmodified another 5037 file' "$(told T | sort -r)" "what is told"
agree T

test_case "a move of a top makes deep what was not"
begin D 18 # 3,626 bytes
above=D/$(printf 'x%.0s' {1..250})/$(printf 'y%.0s' {1..250})
mkdir -p "$above" && mv D/top "$above/top"
check_eq "renamed top 505 top" "$(told D | grep renamed)" "what is told"
agree D
deep write D/top 18 other
check_eq "modified top 3626 file" "$(told D)" "what is told of a state that is not deep"
check_eq 1 "$(ckpt diff -w D -f changed | grep -c '^R')" "what leads there from one that is"

test_case "read only: no change"
begin Q 25
python3 - Q/top <<'PYTHON'
import os, sys
fd = os.open(sys.argv[1], os.O_RDONLY)
for _ in range(25):
    fd = os.open("d" * 200, os.O_RDONLY, dir_fd=fd)
os.utime("file", ns=(1, os.stat("file", dir_fd=fd).st_mtime_ns), dir_fd=fd)
PYTHON
check_eq '' "$(told Q)" "ckpt diff"
check_eq "nothing changed since Q/s" "$(ckpt checkpoint -w Q --if-changed)" "--if-changed"
check_eq "rolled back Q to s; the state before was that of s" "$(ckpt rollback -w Q -s s)" "rollback"

test_case "trees that are not deep are compared as before"
begin S && echo more >>S/small
check_eq "modified small 5 small" "$(told S)" "what is told"

check_eq "$warned" "$(warnings)" "the kernel has nothing to complain of"
