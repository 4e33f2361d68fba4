#!/bin/bash
# A request that waits at a closed freeze lock is done later by another thread, with its own arguments: the
# thread that read it has read many others into the same buffer meanwhile.
# shellcheck source-path=SCRIPTDIR source=../lib/harness.sh
. "$(dirname "${BASH_SOURCE[0]}")/../lib/harness.sh"
# shellcheck source-path=SCRIPTDIR source=../lib/uring_switch.sh
. "$harness_directory/uring_switch.sh"

store=$scratch/store m=$scratch/mnt
slow_ms=8000 # a checkpoint takes that long

# Names that do not exist, which the daemon is asked for: longer than what stands in the other requests.
flood() {
    python3 - "$1" <<'PYTHON'
import os, sys, threading
def look(thread):
    for i in range(200):
        try:
            os.stat(f"{sys.argv[1]}/{thread:03}-{i:03}-{'x' * 200}")
        except FileNotFoundError:
            pass
threads = [threading.Thread(target=look, args=(t,)) for t in range(32)]
for thread in threads:
    thread.start()
for thread in threads:
    thread.join()
PYTHON
}

# So many changes that wait, each with the lock of another directory, that those after them wait for a thread, too: a
# user has 256 at most.
crowd() {
    python3 - "$1" <<'PYTHON'
import os, sys, threading
def make(number):
    os.mkdir(f"{sys.argv[1]}/{number}/made")
threads = [threading.Thread(target=make, args=(n,)) for n in range(300)]
for thread in threads:
    thread.start()
for thread in threads:
    thread.join()
PYTHON
}

for how in on off; do
    test_case "io_uring=$how"
    CKPTFS_FAILPOINT=checkpoint.after-sidecar~$slow_ms serve_store "$store.$how" "$m" "$scratch/log.$how" \
        "io_uring=$how"
    mkdir "$m/w" "$m/other"
    touch "$m/w/"{flags,attribute}
    mkdir -p "$m/w/crowd/"{0..299}
    mkdir "$m/.snapshots/w/slow" &
    slow=$!
    sleep 0.5
    waiting=()
    crowd "$m/w/crowd" &
    waiting+=($!)
    sleep 1
    chattr +A "$m/w/flags" &
    waiting+=($!)
    setfattr -n user.test -v "its own value" "$m/w/attribute" &
    waiting+=($!)
    ln -s "its own target" "$m/w/link" &
    waiting+=($!)
    sleep 0.5
    flood "$m/other"
    check "the checkpoint still goes on" kill -0 "$slow"
    check "it is made" wait "$slow"
    for pid in "${waiting[@]}"; do check "what waited is done" wait "$pid"; done
    check_match '^-*A-* ' "$(lsattr "$m/w/flags")" "the flags"
    check_eq "its own value" "$(getfattr --absolute-names --only-values -n user.test "$m/w/attribute")" "the attribute"
    check_eq "its own target" "$(readlink "$m/w/link")" "the target"
    check "the mount is not in use" umount "$m"
done
