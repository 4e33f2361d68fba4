# Sourced by the crash tests: kills a daemon (or ckpt) at each failpoint that an operation passes, lets the
# store recover, and compares it with the states before and after.
#
# An operation is a function op_NAME; its argument is the mount point, and it runs one command. An operation
# that is itself a mount has no such function. NAME_base, NAME_options and break_NAME define the state that it
# starts from (see `start_from`); check_NAME, if defined, checks the result. No failpoints are listed
# anywhere: a first run, which is not killed, records those that are passed.
#
# shellcheck shell=bash
# A few hundred stores are made, copied and removed: in memory, if there is room. That loses nothing, because
# killing a process does not lose data that it has written, wherever that was written to.
if [[ -z ${TMPDIR-} && $(df --output=avail -m /dev/shm 2>/dev/null | tail -n 1) -gt 2048 ]]; then
    export TMPDIR=/dev/shm
fi
tests_lib=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
# shellcheck source=tests/lib/harness.sh
. "$tests_lib/harness.sh"
for program in sqlite3 btrfs jq; do
    command -v "$program" >/dev/null || skip_test "there is no $program"
done

# What an operation may change: the store, and the tree to be imported.
run_directory=$scratch/run
store=$run_directory/store
mnt=$scratch/mnt
mkdir -p "$mnt"
mounts+=("$mnt")

declare -A passed=()      # names of failpoints, over all operations
declare -A ways_killed=() # of recoveries, over all operations: the result and the points passed

# --- The starting state --------------------------------------------------------------------------

# Makes $scratch/base, with everything that the operations need; its daemon is stopped cleanly.
make_base() {
    local root=$scratch/base
    mount_store "$root" "$mnt" size=256M || fail "cannot mount the first store"
    mkdir "$mnt/w" "$mnt/other" "$mnt/empty"
    mkdir "$mnt/w/dir"
    head -c 300000 /dev/urandom >"$mnt/w/data"
    echo one >"$mnt/w/dir/a"
    ln "$mnt/w/dir/a" "$mnt/w/link"
    ln -s dir/a "$mnt/w/symlink"
    chmod 4751 "$mnt/w/data"
    setfattr -n user.note -v "an attribute" "$mnt/w/dir/a"
    ckpt checkpoint -w "$mnt/w" -s first -m "the first, with ünicode" --metadata '{"n": [1, "two"]}' \
        >/dev/null
    echo two >"$mnt/w/dir/a"
    chmod 600 "$mnt/w/link"
    mkdir "$mnt/.snapshots/w/second"
    ckpt checkpoint -w "$mnt/w" -s pinned -m kept --pin >/dev/null
    rm "$mnt/w/data"
    echo new >"$mnt/w/dir/b"
    echo else >"$mnt/other/file"
    mkdir "$mnt/.snapshots/other/same"
    unmount_store "$root" "$mnt"
    base_made=$(date -u +%FT%T.%NZ)
    mkdir "$scratch/tree"
    echo imported >"$scratch/tree/file"
    ln "$scratch/tree/file" "$scratch/tree/hard"
    head -c 200000 /dev/urandom >"$scratch/tree/big"
}

# start_from NAME: copies the state that op_NAME starts from to $store, and sets $options.
start_from() {
    local base=${1}_base what_breaks=break_$1
    rm -rf "$run_directory"
    mkdir "$run_directory"
    cp -a "$scratch/tree" "$run_directory/tree"
    base=${!base-$scratch/base}
    [[ $base == none ]] || cp -a --sparse=always "$base" "$store"
    # Without access times: looking at a tree must not change it, because a rollback would notice.
    options=${1}_options
    options=noatime,${!options-size=256M}
    if declare -F "$what_breaks" >/dev/null; then "$what_breaks" "$store"; fi
}

# --- Killed daemons ------------------------------------------------------------------------------

# When a daemon is killed its loop device goes too, a moment later.
await_detached() {
    local i
    for ((i = 0; i < 500; i++)); do
        [[ -n $(losetup -n -O NAME -j "$store/volumes.img") ]] || return 0
        sleep 0.02
    done
    fail "a loop device is left of the daemon"
}

# Stops the daemon if it runs, and waits until nothing is left of it. A dead mount point stays: the next mount
# must remove it.
end_daemon() {
    local pid=''
    [[ ! -s $store/lock ]] || pid=$(daemon_pid "$store")
    if mountpoint -q "$mnt"; then unmount "$mnt" || fail "cannot unmount"; fi
    [[ -z $pid ]] || await_end "$pid"
    await_detached
}

# --- Observing the store -------------------------------------------------------------------------

# Prints everything visible on the mount except what differs from run to run: times of workspaces and
# snapshots just made, and the names generated from them.
observe() {
    {
        # Roots of trees get the time of the operation.
        (cd "$mnt" && "$tests_lib/manifest" . | normalise_times 1) || return
        echo "--- snapshots"
        (cd "$mnt" && "$tests_lib/manifest" .snapshots | normalise_times 2) || return
        echo "--- settings"
        (cd "$mnt" && ckpt config -w w --list && ckpt config --store --list) || return
        echo "--- rows"
        (cd "$mnt" && ckpt list --format json) |
            jq -c --arg base_made "$base_made" 'sort_by(.workspace, .name)[] |
                {workspace, name, message, metadata, pinned, missing, parent, kind, unlinked_open} +
                if .created < $base_made then {id, created} else {} end' || return
    } | sed -E 's/pre-rollback-[0-9TZ]+(-[0-9]+)?/pre-rollback-TIME/g'
}

normalise_times() {
    awk -F '\t' -v OFS='\t' -v depth="$1" '{
        if (gsub("/", "/", $1) <= depth) sub(/ [0-9.]+ *$/, " *", $2)
        print
    }'
}

# Checks from outside, with the daemon gone: rows, volumes and sidecars match, snapshots are read-only, and
# nothing else is left over.
check_outside() {
    local what=$1 image=$scratch/image rows snapshots
    # Damaged catalogs are kept; check_NAME checks how many.
    check_eq "" "$(find "$store" -mindepth 1 -maxdepth 1 ! -name catalog.db ! -name volumes.img \
        ! -name reserve ! -name 'catalog.db.damaged-*' -printf '%f ')" "$what: files in the store"
    check_eq ok "$(sqlite3 "$store/catalog.db" 'PRAGMA integrity_check; PRAGMA foreign_key_check')" \
        "$what: the catalog"
    check_eq 0 "$(sqlite3 "$store/catalog.db" 'SELECT count(*) FROM tombstone')" "$what: tombstones"
    rows=$(sqlite3 "$store/catalog.db" \
        'SELECT volume FROM workspace UNION ALL SELECT volume FROM snapshot' | sort)
    snapshots=$(sqlite3 "$store/catalog.db" 'SELECT volume FROM snapshot' | sort)
    mkdir -p "$image"
    mount -o loop,ro "$store/volumes.img" "$image" || {
        fail "$what: cannot mount the image"
        return
    }
    check_eq "$rows" "$(btrfs subvolume list "$image" | sed 's|.* path volumes/||' | sort)" \
        "$what: subvolumes"
    check_eq "$snapshots" "$(btrfs subvolume list -r "$image" | sed 's|.* path volumes/||' | sort)" \
        "$what: read-only subvolumes"
    check_eq "$rows" "$(find "$image/volumes" -mindepth 1 -maxdepth 1 -printf '%f\n' | sort)" \
        "$what: volumes"
    check_eq "$rows" "$(find "$image/meta" -mindepth 1 ! -name store.json ! -name generation \
        -printf '%f\n' | sed 's/\.json$//' | sort)" "$what: sidecars"
    umount "$image"
}

# check_state WHAT: the store at $store, now mounted, is in the state before or after; sets $found.
check_state() {
    local what=$1 state
    state=$(observe)
    checks=$((checks + 1))
    found=neither
    [[ $state != "$state_after" ]] || found=after
    [[ $state != "$state_before" ]] || found=before
    [[ $state_before != "$state_after" ]] || found=same
    [[ $found != neither ]] || fail "$what: neither the state before nor the one after; to the nearer
$(difference "$state")"
}

difference() {
    local before after
    before=$(diff <(echo "$state_before") <(echo "$1"))
    after=$(diff <(echo "$state_after") <(echo "$1"))
    if ((${#before} < ${#after})); then echo "$before"; else echo "$after"; fi
}

# recover WHAT [TRACE]: mounts, checks everything, unmounts, and checks from outside. The failpoints passed
# are written to TRACE.
recover() {
    local what=$1
    CKPTFS_FAILPOINT_TRACE=${2-/dev/null} mount_store "$store" "$mnt" "$options" || {
        fail "$what: the store does not mount"
        return
    }
    check_state "$what"
    run ckpt fsck --mount "$mnt"
    check_eq "0 no problems found" "$status $output" "$what: fsck ($errors)"
    end_daemon
    check_outside "$what"
}

# --- The matrix ----------------------------------------------------------------------------------

# do_operation NAME: with CKPTFS_FAILPOINT for ckpt in $kill_client.
do_operation() {
    declare -F "op_$1" >/dev/null || return 0
    (
        cd "$scratch" || exit
        [[ -z $kill_client ]] || export CKPTFS_FAILPOINT=$kill_client
        CKPTFS_FAILPOINT_TRACE=$scratch/trace.client "op_$1" "$mnt"
    ) >"$scratch/operation.out" 2>&1
}

# Runs op_NAME once without a kill: sets $state_before and $state_after, and $targets, the points to kill at:
# "daemon checkpoint.after-commit@1".
trace_operation() {
    local name=$1 first=0
    start_from "$name"
    state_before=''
    if declare -F "op_$name" >/dev/null; then
        CKPTFS_FAILPOINT_TRACE=$scratch/trace.daemon mount_store "$store" "$mnt" "$options" ||
            fail "$name: cannot mount"
        state_before=$(observe)
        first=$(wc -l <"$scratch/trace.daemon")
    else
        CKPTFS_FAILPOINT_TRACE=$scratch/trace.daemon mount_store "$store" "$mnt" "$options" ||
            fail "$name: cannot mount"
    fi
    : >"$scratch/trace.client"
    kill_client='' do_operation "$name" || fail "$name fails: $(<"$scratch/operation.out")"
    state_after=$(observe)
    [[ -n $state_before ]] || state_before=$state_after
    run ckpt fsck --mount "$mnt"
    check_eq "0 no problems found" "$status $output" "$name, not killed: fsck ($errors)"
    end_daemon
    check_outside "$name, not killed"
    mapfile -t targets < <(numbered daemon "$((first))" <"$scratch/trace.daemon"
        numbered client 0 <"$scratch/trace.client")
    rm "$scratch/trace.daemon"
}

# numbered WHO FIRST: numbers the occurrences of the names on stdin, and prints those after line FIRST. Skips
# names that are passed on memory pressure, whose number is not predictable, and of what changes nothing.
numbered() {
    awk -v who="$1" -v first="$2" '{ n[$0]++ } NR > first && !/^(forget|space)[.]/ { print who, $0 "@" n[$0] }'
}

# kill_operation NAME WHO POINT: starts afresh and kills at POINT. Sets $succeeded.
kill_operation() {
    local name=$1 who=$2 point=$3 kill_client='' kill_daemon=''
    start_from "$name"
    if [[ $who == client ]]; then kill_client=$point; else kill_daemon=$point; fi
    succeeded=no
    if CKPTFS_FAILPOINT=$kill_daemon mount_store "$store" "$mnt" "$options" 2>"$scratch/said"; then
        if do_operation "$name"; then succeeded=yes; fi
    fi
    # A daemon that continues in the background is killed at its end at the latest.
    end_daemon
    checks=$((checks + 1))
    if [[ $who == daemon ]]; then
        [[ -e $store/lock || $(<"$scratch/said") == *"signal 9"* ]] ||
            fail "$name: nothing was killed at $point: $(<"$scratch/said")"
    else
        [[ $succeeded == no ]] || fail "$name: nothing was killed at $point"
    fi
}

# Recovers from the state at $store: once undisturbed, and once, on a copy, in recoveries that are killed at
# one point after another. A recovery that passes the same points as an earlier one of this script is not
# killed again unless CKPTFS_CRASH_ALL is set; tests/unit kills those of each operation.
recover_twice() {
    local what=$1 expected point points way
    rm -rf "$run_directory.crashed"
    cp -a --sparse=always "$run_directory" "$run_directory.crashed"
    rm -f "$scratch/trace.recovery"
    recover "$what" "$scratch/trace.recovery"
    expected=$found
    mapfile -t points < <(numbered daemon 0 <"$scratch/trace.recovery" | cut -d ' ' -f 2)
    way="$found ${points[*]}"
    if [[ -z ${CKPTFS_CRASH_ALL-} && -n ${ways_killed[$way]-} ]]; then return; fi
    ways_killed[$way]=yes
    rm -rf "$run_directory"
    mv "$run_directory.crashed" "$run_directory"
    for point in "${points[@]}"; do
        CKPTFS_FAILPOINT=$point mount_store "$store" "$mnt" "$options" 2>/dev/null
        end_daemon
        note_passed "${point%@*}"
    done
    recover "$what, recoveries killed"
    check_eq "$expected" "$found" "$what: the state after killed recoveries"
}

# shellcheck disable=SC2034 # for failpoints.sh
note_passed() { passed[$1]=yes; }

# crash_matrix NAME...: each operation, killed at each failpoint.
crash_matrix() {
    local name target who point reached ways_before
    for name in "$@"; do
        test_case "$name"
        trace_operation "$name"
        checks=$((checks + 1))
        ((${#targets[@]} > 0)) || fail "$name passes no failpoint"
        reached=before
        ways_before=${#ways_killed[@]}
        for target in "${targets[@]}"; do
            read -r who point <<<"$target"
            note_passed "${point%@*}"
            kill_operation "$name" "$who" "$point"
            recover_twice "$name killed at $point"
            if declare -F "check_$name" >/dev/null; then "check_$name" "killed at $point"; fi
            # In the order in which they are passed, the points before the commit come first.
            if [[ $found == after ]]; then
                reached=after
            elif [[ $found == before ]]; then
                check_eq before "$reached" "$name killed at $point: the state goes back"
                check_eq no "$succeeded" "$name killed at $point: reported as done, and undone"
            fi
        done
        echo "    ${#targets[@]} points, $((${#ways_killed[@]} - ways_before)) new ways to recover"
    done
}

# error_matrix ERRNO NAME...: each operation, with that error at each of its steps before the commit: it
# fails, nothing has changed, nothing is left of it, and the daemon continues.
error_matrix() {
    local error=$1 name target who point points kill_client=''
    shift
    for name in "$@"; do
        test_case "$name"
        trace_operation "$name"
        points=0
        for target in "${targets[@]}"; do
            read -r who point <<<"$target"
            case $point in commit.before-generation@* | *.after-commit@*) break ;; esac
            # Part of the cleanup afterwards, which may fail silently.
            case $point in volume-destroy.* | delete.after-* | delete.before-tombstone-*) continue ;; esac
            [[ $who == daemon ]] || continue
            start_from "$name"
            CKPTFS_FAILPOINT=${point%@*}=$error mount_store "$store" "$mnt" "$options" || {
                fail "$name: the failpoint $point keeps the store from being mounted"
                continue
            }
            checks=$((checks + 1))
            if do_operation "$name"; then fail "$name succeeds with error $error at $point"; fi
            check_eq "$state_before" "$(observe)" "$name with error $error at $point"
            run ckpt fsck --mount "$mnt"
            check_eq "0 no problems found" "$status $output" "$name, error $error at $point: fsck ($errors)"
            end_daemon
            check_outside "$name with error $error at $point"
            points=$((points + 1))
        done
        echo "    $points points"
    done
}
