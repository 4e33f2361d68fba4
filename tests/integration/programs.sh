#!/bin/bash
# Programs that keep their own records about files: a SQLite database under load is consistent in every
# checkpoint; after a rollback git and make see exactly what has changed.
#
# CKPTFS_PROGRAMS_LONG=1: 50 checkpoints of each database instead of 6.
# shellcheck source-path=SCRIPTDIR source=../lib/harness.sh
. "$(dirname "${BASH_SOURCE[0]}")/../lib/harness.sh"

for program in git make cc python3 sqlite3; do
    command -v "$program" >/dev/null || skip_test "there is no $program"
done
checkpoints=6
[[ -z ${CKPTFS_PROGRAMS_LONG-} ]] || checkpoints=50
store=$scratch/store m=$scratch/mnt
mount_store "$store" "$m" size=4G || exit 1

# --- A database ----------------------------------------------------------------------------------

# Writers that move money between 20 accounts and note each transaction in a journal. They tell the
# number of those that have returned in a file outside the mount, and end when told to.
database_writer() {
    python3 - "$@" <<'PYTHON'
import os, random, sqlite3, sys
database, synchronous, writer, told, stop = sys.argv[1:]
connection = sqlite3.connect(database, timeout=60, isolation_level=None)
connection.execute(f"pragma synchronous={synchronous}")
with open(told, "r+b", buffering=0) as out:
    number = 0
    while not os.path.exists(stop):
        number += 1
        a, b = random.sample(range(20), 2)
        connection.execute("begin immediate")
        connection.execute("update account set money = money - 7 where id = ?", (a,))
        connection.execute("update account set money = money + 7 where id = ?", (b,))
        connection.execute("insert into journal values (?, ?)", (writer, number))
        connection.execute("commit")
        os.pwrite(out.fileno(), b"%019d\n" % number, 0)
PYTHON
}

# The last transaction of a writer that had returned.
told() { echo "$((10#$(head -c 19 "$scratch/told$1")))"; }

check_database() {
    local synchronous=$1 name=db-$1 pids=() i writer pid copy before
    mkdir "$m/$name"
    sqlite3 "$m/$name/db" "pragma journal_mode=wal; create table account(id integer primary key, money);
        create table journal(writer, number, primary key(writer, number));
        with recursive n(i) as (select 0 union all select i + 1 from n where i < 19)
        insert into account select i, 1000 from n;" >/dev/null
    rm -f "$scratch/stop"
    for writer in 1 2; do
        printf '%019d\n' 0 >"$scratch/told$writer"
        background database_writer "$m/$name/db" "$synchronous" $writer "$scratch/told$writer" "$scratch/stop"
        pids+=($!)
    done
    for ((i = 0; i < 500 && $(told 1) * $(told 2) == 0; i++)); do sleep 0.02; done
    declare -A returned=()
    for ((i = 1; i <= checkpoints; i++)); do
        sleep 0.1
        returned[$i]="$(told 1) $(told 2)"
        check "checkpoint $i" mkdir "$m/.snapshots/$name/s$i"
    done
    touch "$scratch/stop"
    for pid in "${pids[@]}"; do wait "$pid" || fail "a writer of $name failed"; done
    copy=$scratch/copy
    for ((i = 1; i <= checkpoints; i++)); do
        rm -rf "$copy" && mkdir "$copy"
        # Without the shared memory, which is no part of a database that nobody has open.
        cp "$m/.snapshots/$name/s$i/"db{,-wal} "$copy/"
        check_eq "ok" "$(sqlite3 "$copy/db" 'pragma integrity_check')" "$name s$i: integrity"
        check_eq 20000 "$(sqlite3 "$copy/db" 'select sum(money) from account')" "$name s$i: the sum"
        read -ra before <<<"${returned[$i]}"
        for writer in 1 2; do
            check_eq "1 1" "$(sqlite3 -separator ' ' "$copy/db" \
                "select count(*) >= ${before[writer - 1]}, count(*) = coalesce(max(number), 0)
                 from journal where writer = '$writer'")" \
                "$name s$i: all that writer $writer had committed (${before[writer - 1]}), without a gap"
        done
    done
    echo "$name: $(told 1) and $(told 2) transactions"
}

for synchronous in normal full; do
    test_case "a database with synchronous=$synchronous"
    check_database "$synchronous"
done

test_case "a fork of a checkpoint opens as it is"
check "fork" mv -T "$m/.snapshots/db-full/s$checkpoints" "$m/forked"
check_eq "ok 20000" "$(sqlite3 "$m/forked/db" 'pragma integrity_check' | head -n 1) \
$(sqlite3 "$m/forked/db" 'select sum(money) from account')" "integrity and sum"

# --- git -----------------------------------------------------------------------------------------

# store_through_mapping FILE BYTE: overwrites the first byte, and nothing tells of it.
store_through_mapping() {
    python3 - "$@" <<'PYTHON'
import mmap, sys
with open(sys.argv[1], "r+b") as file, mmap.mmap(file.fileno(), 0) as memory:
    memory[0:1] = sys.argv[2].encode()
PYTHON
}

export GIT_CONFIG_GLOBAL=/dev/null GIT_CONFIG_SYSTEM=/dev/null
export GIT_AUTHOR_NAME=a GIT_AUTHOR_EMAIL=a@b GIT_COMMITTER_NAME=a GIT_COMMITTER_EMAIL=a@b
git() { command git -C "$m/repo" "$@"; }
git_status() { git status --porcelain | paste -sd ,; }

test_case "git"
mkdir "$m/repo" && git init -q -b main
for i in {1..50}; do echo "content $i" >"$m/repo/f$i"; done
git add . && git commit -qm one
check_eq "" "$(git_status)" "clean"
git checkout -q -b side && echo side >"$m/repo/f1" && rm "$m/repo/f2" && echo new >"$m/repo/side"
git add -A && git commit -qm two && git checkout -q main
check_eq "" "$(git_status)" "clean after a checkout"
mkdir "$m/.snapshots/repo/clean"

store_through_mapping "$m/repo/f5" C
check_eq " M f5" "$(git_status)" "a store through a mapping, of the same size"
check "rollback" mv -T "$m/.snapshots/repo/clean" "$m/.snapshots/repo/.live"
check_eq "" "$(git_status)" "right after the rollback"

git checkout -q side
check "rollback over a checkout" mv -T "$m/.snapshots/repo/clean" "$m/.snapshots/repo/.live"
check_eq "main ''" "$(git branch --show-current) '$(git_status)'" "branch and status"
check_eq "content 1 no" "$(cat "$m/repo/f1") $([[ -e $m/repo/side ]] && echo yes || echo no)" "files"

echo "changed one" >"$m/repo/f7" && rm "$m/repo/f8" && touch "$m/repo/untracked"
mkdir "$m/.snapshots/repo/dirty"
git checkout -q -f main && git clean -qf
check_eq "" "$(git_status)" "cleaned"
check "rollback by name" mv -T "$m/.snapshots/repo/dirty" "$m/repo"
check_eq " M f7, D f8,?? untracked" "$(git_status)" "what was changed is changed again"
check "git fsck" git fsck --full --strict

# --- make ----------------------------------------------------------------------------------------

# made: what make does now, sorted, and what the program then says.
made() {
    local log
    log=$(make -C "$m/c" 2>&1) || fail "make: $log"
    grep -o -- '-o [a-z.]*' <<<"$log" | cut -c4- | sort | paste -sd ' '
    "$m/c/program"
}

test_case "make"
mkdir "$m/c"
cat >"$m/c/Makefile" <<'MAKE'
program: a.o b.o
	$(CC) -o program a.o b.o
%.o: %.c
	$(CC) -c -o $@ $<
a.o b.o: number.h
MAKE
echo '#define NUMBER 1' >"$m/c/number.h"
printf '#include <stdio.h>\n#include "number.h"\nint b(void);\nint main(void) { printf("%%d %%d\\n", NUMBER, b()); }\n' >"$m/c/a.c"
printf '#include "number.h"\nint b(void) { return 10 + NUMBER; }\n' >"$m/c/b.c"
check_eq $'a.o b.o program\n1 11' "$(made)" "all"
check_eq $'\n1 11' "$(made)" "nothing to do"
mkdir "$m/.snapshots/c/built"

sed -i 's/10/20/' "$m/c/b.c"
check_eq $'b.o program\n1 21' "$(made)" "one changed"
check "rollback" mv -T "$m/.snapshots/c/built" "$m/.snapshots/c/.live"
check_eq $'\n1 11' "$(made)" "after the rollback there is nothing to do, and the old program is there"

sed -i 's/10/30/' "$m/c/b.c"
mkdir "$m/.snapshots/c/changed"
check_eq $'b.o program\n1 31' "$(made)" "changed again"
check "rollback to before make" mv -T "$m/.snapshots/c/changed" "$m/.snapshots/c/.live"
check_eq $'b.o program\n1 31' "$(made)" "make does what it had done since"

sleep 0.01
python3 - "$m/c/number.h" <<'PYTHON'
import mmap, sys
with open(sys.argv[1], "r+b") as file, mmap.mmap(file.fileno(), 0) as memory:
    memory[15:16] = b"2"
PYTHON
check_eq $'a.o b.o program\n2 32' "$(made)" "a header changed through a mapping"
check_eq $'\n2 32' "$(made)" "nothing to do"
check "rollback by name" mv -T "$m/.snapshots/c/built" "$m/c"
check_eq $'\n1 11' "$(made)" "built as it was"
