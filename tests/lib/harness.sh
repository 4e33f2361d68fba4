# Sourced by the integration and crash tests: stores and mounts that clean up after themselves, and checks
# that print what they expected. A test is a bash script that calls `test_case NAME` before each part, uses
# the checks below, and exits through the trap set here: 0 if every check held, 1 otherwise, 77 (with the
# reason) if it cannot run here.
#
# shellcheck shell=bash

set -u -o pipefail
export LC_ALL=C
# Enables failpoints (backend/base/failpoint.h).
export CKPTFS_TESTING=may-kill-the-daemon

readonly SKIPPED=77
# Absolute: tests change their working directory.
harness_directory=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
readonly harness_directory
bin=${CKPTFS_BIN_DIR:?set CKPTFS_BIN_DIR to the directory of ckptfs and ckpt}
# The system's programs come first: a version manager's wrapper for python3 takes eight times as long to
# start, and scripts start it hundreds of times.
PATH=$bin:/usr/sbin:/usr/bin:/sbin:/bin:$PATH

failures=0
checks=0
current_case=start

# Everything that a test creates is below $scratch, and every mount and process is recorded here.
scratch=$(mktemp -d "${TMPDIR:-/var/tmp}/ckptfs-test.XXXXXX")
declare -a mounts=() processes=()

# stdout, stderr and the exit status of the last `run` or `refused`.
output='' errors='' status=0

cleanup() {
    local code=$? mount pid
    trap - EXIT
    cd / || true
    # Stopped first: a stopped process would hold its mount for ever.
    for pid in "${processes[@]}"; do
        kill -CONT "$pid" 2>/dev/null # a daemon, too, which is no child
        kill_child "$pid" KILL
        wait "$pid" 2>/dev/null
    done
    for ((i = ${#mounts[@]} - 1; i >= 0; i--)); do
        mount=${mounts[i]}
        while is_mounted "$mount"; do umount "$mount" 2>/dev/null || umount -l "$mount" || break; done
    done
    await_stores
    remove_devices
    rm -rf --one-file-system "$scratch"
    if ((code == SKIPPED)); then exit "$SKIPPED"; fi
    if ((code != 0)); then
        echo "FAILED: the script ended with $code in case '$current_case'"
        failures=$((failures + 1))
    fi
    echo "$checks checks, $failures failed"
    ((checks > 0 && failures == 0)) || exit 1
    exit 0
}
trap cleanup EXIT
trap 'exit 130' INT TERM

# kill_child PID SIGNAL: if it is still a process of this script. The PID of one that has ended may have been
# reused.
kill_child() {
    local stat
    { read -r stat <"/proc/$1/stat"; } 2>/dev/null || return 0
    [[ ${stat##*) } == ?" $$ "* ]] || return 0
    kill -"$2" "$1" 2>/dev/null
}

# Waits until no daemon holds a store of this test any more.
await_stores() {
    local lock fd
    for lock in "$scratch"/*/lock "$scratch"/*/*/lock; do
        # Opened by descriptor: flock(1) itself would recreate a file that the daemon is just removing.
        { exec {fd}<"$lock"; } 2>/dev/null || continue
        flock --timeout 20 "$fd" || echo "note: $lock is still held"
        exec {fd}<&-
    done
}

# Device-mapper devices left by a killed daemon of this test: the next mount would remove them.
remove_devices() {
    local volumes prefix device
    has_device_mapper || return 0
    for volumes in "$scratch"/*/{cow,thin} "$scratch"/*/*/{cow,thin}; do
        [[ -d $volumes ]] || continue
        # Named as in backend/dm/dm_home.cc.
        prefix=$(stat -c 'CKPTFS-%D-%i' "$volumes" | awk -F- '{ printf "%s-%s-%x-", $1, $2, $3 }')
        # A pool is removed after its devices.
        for device in $(dmsetup ls | awk -v prefix="$prefix" 'index($1, prefix) == 1 { print $1 }' |
            sed 's/-pool$/~&/' | sort | tr -d '~'); do
            dmsetup resume "$device" && dmsetup remove "$device"
        done
    done
}

skip_test() {
    echo "SKIPPED: $*"
    exit "$SKIPPED"
}

# has_driver NODE: whether the device has a driver. The node alone proves nothing: it may be left from another
# kernel, and libdevmapper creates its own on demand.
has_driver() { [[ -c $1 ]] && { : <>"$1"; } 2>/dev/null; }
has_device_mapper() { has_driver /dev/mapper/control; }

[[ $EUID -eq 0 ]] || skip_test "not root"
has_driver /dev/fuse || skip_test "there is no /dev/fuse"
has_driver /dev/loop-control || skip_test "there is no /dev/loop-control"

test_case() {
    current_case=$*
    echo "--- $*"
}

fail() {
    failures=$((failures + 1))
    echo "FAILED in '$current_case' (line ${BASH_LINENO[1]}): $*"
}

# check_eq EXPECTED ACTUAL WHAT
check_eq() {
    checks=$((checks + 1))
    [[ $1 != "$2" ]] || return 0
    if [[ $1 == *$'\n'*$'\n'* ]]; then
        fail "$3: expected < and got >:"
        diff <(printf '%s\n' "$1") <(printf '%s\n' "$2")
        return 0
    fi
    fail "$3: expected '$1', got '$2'"
}

# check WHAT COMMAND...: the command succeeds.
check() {
    local what=$1
    shift
    checks=$((checks + 1))
    "$@" >/dev/null 2>"$scratch/.stderr" || fail "$what: '$*' failed: $(<"$scratch/.stderr")"
}

# check_not WHAT COMMAND...: the command fails.
check_not() {
    local what=$1
    shift
    checks=$((checks + 1))
    if "$@" >/dev/null 2>&1; then fail "$what: '$*' succeeded"; fi
}

# check_match PATTERN TEXT WHAT: the text matches the extended regular expression.
check_match() {
    checks=$((checks + 1))
    [[ $2 =~ $1 ]] || fail "$3: '$2' does not match '$1'"
}

# run COMMAND...: sets $output, $errors and $status.
run() {
    # shellcheck disable=SC2034 # for the tests
    output=$("$@" 2>"$scratch/.stderr")
    status=$?
    errors=$(<"$scratch/.stderr")
}

# refused ERRNO-TEXT COMMAND...: the command fails, and says so on stderr ("File exists").
refused() {
    local text=$1
    shift
    run "$@"
    checks=$((checks + 1))
    if ((status == 0)); then
        fail "'$*' succeeded; expected '$text'"
    elif [[ $errors != *"$text"* ]]; then
        fail "'$*' said '$errors'; expected '$text'"
    fi
}

# Checks in a subshell, which may have another working directory and open files:
#     ( begin_subshell; cd ... || exit; check ...; end_subshell ); join_subshell
begin_subshell() { failures=0 checks=0; }
end_subshell() {
    echo "$checks $failures" >"$scratch/.subshell"
    exit
}
join_subshell() {
    local inside=0 failed=1
    if [[ -s $scratch/.subshell ]]; then
        read -r inside failed <"$scratch/.subshell"
    else
        fail "the subshell did not get to its end"
    fi
    rm -f "$scratch/.subshell"
    checks=$((checks + inside)) failures=$((failures + failed))
}

# errno_of CALL ARGS...: prints the name of the errno ("EEXIST") that a system call gives, or "0". CALL is a
# function of Python's os module.
errno_of() {
    python3 - "$@" <<'PYTHON'
import errno, os, sys
def argument(text):
    try:
        return int(text, 0)
    except ValueError:
        return os.fsencode(text)
try:
    getattr(os, sys.argv[1])(*map(argument, sys.argv[2:]))
    print("0")
except OSError as error:
    print(errno.errorcode[error.errno])
PYTHON
}

# rename_flags FLAGS OLD NEW: renameat2(2) with NOREPLACE (1) or EXCHANGE (2); prints like errno_of.
rename_flags() {
    python3 - "$@" <<'PYTHON'
import ctypes, errno, os, sys
libc = ctypes.CDLL(None, use_errno=True)
at_fdcwd = -100
flags, old, new = int(sys.argv[1]), os.fsencode(sys.argv[2]), os.fsencode(sys.argv[3])
failed = libc.renameat2(at_fdcwd, old, at_fdcwd, new, flags) != 0
print(errno.errorcode[ctypes.get_errno()] if failed else "0")
PYTHON
}

is_mounted() { findmnt -n -t fuse.ckptfs "$1" >/dev/null 2>&1 || findmnt -n --mountpoint "$1" >/dev/null 2>&1; }

# store_options STORE OPTIONS [SIZE]: the options for mounting. For a store that does not exist yet they
# include the backend in CKPTFS_TEST_BACKEND, if set, and a size.
store_options() {
    local store=$1 options=$2 size=${3-}
    if [[ ! -e $store/catalog.db ]]; then
        [[ -z $size || $options == *size=* || $options == *btrfs-base* ]] ||
            options=${options:+$options,}size=$size
        [[ -z ${CKPTFS_TEST_BACKEND-} || $options == *backend=* ]] ||
            options=${options:+$options,}backend=$CKPTFS_TEST_BACKEND
    fi
    echo "$options"
}

# mount_store STORE MOUNTPOINT [OPTIONS]: mounts in the background.
mount_store() {
    local store=$1 mountpoint=$2 options=${3-}
    mkdir -p "$mountpoint" 2>/dev/null # fails on a dead mount, which the mount below clears
    mounts+=("$mountpoint")
    options=$(store_options "$store" "$options" 512M)
    ckptfs ${options:+-o "$options"} "$store" "$mountpoint"
}

# serve_store STORE MOUNTPOINT LOG OPTIONS [PREFIX...]: mounts with the daemon in the foreground, its log
# appended to a file, optionally started through another program. A new store is small.
serve_store() {
    local store=$1 mountpoint=$2 log=$3 options=$4
    shift 4
    mkdir -p "$mountpoint"
    mounts+=("$mountpoint")
    if [[ -e $store ]]; then
        options=$(store_options "$store" "$options")
    else
        options=$(store_options "$store" "$options" 512M)
    fi
    background "$@" ckptfs -f ${options:+-o "$options"} "$store" "$mountpoint" 2>>"$log"
    for _ in {1..500}; do
        is_mounted "$mountpoint" && stat "$mountpoint/.snapshots" >/dev/null 2>&1 && return
        sleep 0.02
    done
    fail "mount: $(<"$log")"
    exit 1
}

# Unmounts and waits until the daemon has released the store. (Not by flock(1) on the lock: that would
# recreate the file if the daemon is just removing it.)
unmount_store() {
    local store=$1 mountpoint=$2 pid
    pid=$(daemon_pid "$store") || return
    unmount "$mountpoint" || return
    await_end "$pid"
}

# Unmounts, with retries: a find(1) that has printed everything may not have exited yet, with its working
# directory there.
unmount() {
    local i
    for ((i = 0; i < 50; i++)); do
        umount "$1" 2>/dev/null && return
        sleep 0.02
    done
    umount "$1"
}

daemon_pid() { head -n 1 "$1/lock"; }

# await SECONDS WHAT COMMAND...: a check that may take that long to become true.
await() {
    local -i left=$(($1 * 10))
    local what=$2
    shift 2
    until "$@" 2>/dev/null || ((left-- <= 0)); do sleep 0.1; done
    check "$what" "$@"
}

# await_end PID: waits, at most half a minute, until the process has ended.
await_end() {
    local i state
    for ((i = 0; i < 3000; i++)); do
        # Where nothing reaps it, a daemon's zombie may stay for ever. Its other threads end after it, and its
        # files are closed with the last of them.
        { read -r state <"/proc/$1/stat"; } 2>/dev/null || return 0
        [[ $state != *") Z "* || $(find "/proc/$1/task" -mindepth 1 -maxdepth 1 2>/dev/null | wc -l) -gt 1 ]] ||
            return 0
        sleep 0.01
    done
    return 1
}

# kill_daemon STORE: SIGKILL to the daemon of that store, by its PID, and wait until it is gone.
kill_daemon() {
    local pid
    pid=$(daemon_pid "$1") || return
    kill -KILL "$pid"
    await_end "$pid"
}

# background COMMAND...: starts it and records it for the cleanup; its PID is in $!.
background() {
    "$@" &
    processes+=($!)
}

# manifest DIRECTORY: one line per file: type, mode, owner, size, times, links, xattrs, content.
manifest() { "$harness_directory/manifest" "$1"; }

# open_image STORE DIRECTORY: mounts the image of a store that is not in use, for tests that modify it.
# close_image unmounts it.
open_image() {
    mkdir -p "$2"
    mounts+=("$2")
    mount -o loop "$1/volumes.img" "$2"
}
close_image() { umount "$1"; }

# query STORE SQL: queries (or changes) the catalog of a store. If it is mounted, its daemon owns the catalog:
# a copy is queried, which has what was committed, unless the two files are inconsistent because the daemon
# was just writing.
query() {
    local copy file answer failed
    sqlite3 "$1/catalog.db" "$2" 2>"$scratch/.query" && return
    grep -q locked "$scratch/.query" || {
        cat "$scratch/.query" >&2
        return 1
    }
    for _ in {1..20}; do
        copy=$(mktemp -d "$scratch/query.XXXXXX")
        for file in catalog.db-wal catalog.db; do [[ ! -e $1/$file ]] || cp "$1/$file" "$copy/"; done
        answer=$(sqlite3 "$copy/catalog.db" "$2" 2>"$scratch/.query")
        failed=$?
        rm -r "$copy"
        ((failed != 0)) || {
            [[ -z $answer ]] || printf '%s\n' "$answer"
            return
        }
        sleep 0.1
    done
    cat "$scratch/.query" >&2
    return 1
}
