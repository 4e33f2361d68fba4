#!/bin/bash
# The daemon's limit on descriptors is the kernel's. Neither one user nor ten together can prevent another
# from opening files; and using up all descriptors, as root can, does not prevent checkpoints and rollbacks.
# shellcheck source=tests/lib/harness.sh
. "$(dirname "${BASH_SOURCE[0]}")/../lib/harness.sh"

store=$scratch/store m=$scratch/mnt
chmod 755 "$scratch"
limit=600
daemon_limit() { awk '/^Max open files/ {print $4}' "/proc/$(<"$store/lock")/limits"; }

test_case "the limit that it was started with does not count"
# Root may exceed it where it has CAP_SYS_RESOURCE.
highest=$(ulimit -Hn)
if (ulimit -n 1024 && ulimit -n 1025) 2>/dev/null; then
    highest=$(</proc/sys/fs/nr_open)
    limit_kind=-n
else
    echo "    root has no CAP_SYS_RESOURCE here: only the soft limit is raised"
    limit_kind=-Sn
fi
(
    ulimit "$limit_kind" 1024
    mount_store "$store" "$m"
) || exit 1
mounts+=("$m")
check_eq "$highest" "$(daemon_limit)" "the daemon's limit"

cd "$m" || exit 1
mkdir W other
chmod 777 W
echo one >other/file
for i in {0..19}; do echo kept >"other/kept$i"; done
mkdir .snapshots/other/one
prlimit --pid "$(<"$store/lock")" --nofile="$limit:$limit"

# hold HOW USER: that user's program, which holds as many files as it can get, and says so in
# $scratch/said-USER.
declare -A holders=()
hold() {
    local said=$scratch/said-$2
    : >"$said"
    chmod 666 "$said"
    setpriv --reuid "$2" --regid "$2" --clear-groups /usr/bin/python3 - "$1" "$said" <<'PYTHON' &
import errno, os, sys, time
how, said = sys.argv[1:]
held, failure, refused = [], 0, 0
# What others have closed, or what belonged to what has ended, comes back a moment later: all is his when nothing has
# come back for half a second.
while len(held) < 2000 and refused < 25:
    name = f"W/{how}-{os.getuid()}-{len(held)}"
    try:
        fd = os.open(name, os.O_CREAT | os.O_WRONLY)
        if how == "nameless":
            held.append(os.open(name, os.O_PATH))
            os.unlink(name)
            os.close(fd)
        else:
            held.append(fd)
        failure = refused = 0
    except OSError as error:
        failure = error.errno
        refused += 1
        time.sleep(0.02)
with open(said, "w") as file:
    file.write(f"{errno.errorcode.get(failure, 'OK')} {len(held)}\n")
time.sleep(1000)
PYTHON
    holders[$2]=$!
    processes+=($!)
    await 100 "user $2 has what he can get" test -s "$said"
    read -r failure count <"$said"
}
let_go() {
    local user
    for user in "${!holders[@]}"; do
        kill "${holders[$user]}"
        wait "${holders[$user]}" 2>/dev/null
    done
    holders=()
}
# opens USER COUNT: how many files he can have open at the same time, up to that.
opens() {
    setpriv --reuid "$1" --regid "$1" --clear-groups /usr/bin/python3 - "$2" <<'PYTHON'
import os, sys
held = []
try:
    for i in range(int(sys.argv[1])):
        held.append(os.open(f"W/one-more-{os.getuid()}-{i}", os.O_CREAT | os.O_WRONLY))
except OSError:
    pass
print(len(held))
PYTHON
}

# verbs: they work in another workspace.
verbs() {
    check "checkpoint" mkdir .snapshots/other/two
    mv other/file other/moved
    check "rollback" mv -T .snapshots/other/two .snapshots/other/.live
    check "what was rolled back" test -e other/file -a ! -e other/moved
    check "delete" rmdir .snapshots/other/two
}

test_case "a user has as many files open as he can get"
hold open 4321
check_eq ENFILE "$failure" "the end of it, after $count files"
check "he has nearly half of them" test "$count" -gt $((limit * 2 / 5))
check "and no more" test "$count" -le $((limit / 2))
check_eq 0 "$(opens 4321 10)" "more for him, by another program"
check_eq 100 "$(opens 4322 100)" "for another user"
check "for root" touch other/new
rm other/new
verbs

test_case "ten users work together"
for user in {4330..4338}; do hold open "$user"; done
check_eq ENFILE "$failure" "the last of them, after $count files"
check "another user opens some" test "$(opens 4322 100)" -ge 1
verbs
let_go
opens_all() { [[ $(opens 4322 150) == 150 ]]; }
for ((i = 0; i < 100; ++i)); do
    opens_all && break
    sleep 0.1
done
check "for another user, when they are closed" test "$i" -lt 100

test_case "root has as many files open as there can be"
hold open 0
check_eq ENFILE "$failure" "the end of it, after $count files"
check "most of the limit could be used" test "$count" -gt $((limit / 2))
refused "Too many open files" touch other/new
check_not "a file that could not be opened was not made" test -e other/new
refused "Too many open files" python3 -c 'import os; os.open("other", os.O_TMPFILE | os.O_RDWR)'
# Those that there are can be opened a little longer.
check_eq "ENFILE, and all that could be opened" "$(python3 -c 'import errno, os
held = []
try:
    for i in range(20): held.append(os.open(f"other/kept{i}", os.O_WRONLY | os.O_TRUNC))
except OSError as error:
    empty = sum(os.stat(f"other/kept{i}").st_size == 0 for i in range(20))
    print(errno.errorcode[error.errno] + ", and", "all that" if empty == len(held) else f"{empty} of", "could be opened")
')" "files that were truncated"
check_eq 21 "$(find other -type f | wc -l)" "files"
verbs
let_go
for ((i = 0; i < 100; ++i)); do
    touch other/new 2>/dev/null && break
    sleep 0.1
done
check "making a file, when they are closed" touch other/new

test_case "a user holds files that have lost their name"
hold nameless 4321
check_eq "OK 2000" "$failure $count" "all of them"
check "making a file" touch other/newer
check_eq 100 "$(opens 4322 100)" "for another user"
verbs
let_go
cd / || exit 1

test_case "what is made and then cannot be told is not there"
CKPTFS_FAILPOINT=make.before-entry=12 serve_store "$scratch/store2" "$scratch/mnt2" "$scratch/log2" ''
cd "$scratch/mnt2" || exit 1
mkdir W
echo one >W/file
refused "Cannot allocate memory" mkdir W/directory
refused "Cannot allocate memory" mkfifo W/fifo
refused "Cannot allocate memory" ln -s target W/symlink
refused "Cannot allocate memory" ln W/file W/link
check_eq "file 1" "$(stat -c '%n %h' W/* | sed 's,W/,,')" "what is there"
mkdir .snapshots/W/s
check_eq "file 1" "$(stat -c '%n %h' .snapshots/W/s/* | sed 's,.*/,,')" "what a checkpoint has"
cd / || exit 1
unmount_store "$scratch/store2" "$scratch/mnt2"

test_case "what the kernel has forgotten is forgotten, whatever fails in it"
CKPTFS_FAILPOINT=forget.before-all=12 serve_store "$scratch/store2" "$scratch/mnt2" "$scratch/log2" ''
for i in {1..200}; do echo "$i" >"$scratch/mnt2/W/$i"; done
rm "$scratch"/mnt2/W/*
await 10 "it was forgotten" grep -q "the kernel has forgotten" "$scratch/log2"
check "the daemon lives" touch "$scratch/mnt2/W/after"
