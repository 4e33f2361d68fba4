#!/bin/bash
# relatime, strictatime, noatime, nodiratime and lazytime: which reads change access times, and that the mount
# shows the option.
# shellcheck source=tests/lib/harness.sh
. "$(dirname "${BASH_SOURCE[0]}")/../lib/harness.sh"

store=$scratch/store
mnt=$scratch/mnt
mkdir "$mnt"

options_of() { findmnt -rn -o OPTIONS --mountpoint "$mnt"; }
has_option() { [[ ,$(options_of), == *,$1,* ]]; }
atime() { stat -c %.9X "$1"; }
# Longer than the tick by which a filesystem's clock may go.
let_the_clock_tick() { sleep 0.05; }

# How each of these is read. A small file goes through the kernel's cache, a large one does not.
read_small() { cat "$mnt/w/small" >/dev/null; }
read_large() { cat "$mnt/w/large" >/dev/null; }
read_mapped() {
    python3 -c 'import mmap, sys
with open(sys.argv[1], "rb") as file: mmap.mmap(file.fileno(), 0, prot=mmap.PROT_READ)[0]' "$mnt/w/mapped"
}
read_dir() { ls "$mnt/w/dir" >/dev/null; }
read_link() { readlink "$mnt/w/link" >/dev/null; }
kinds=(small large mapped dir link)

# age KIND...: access times that are older than the other times, but of today.
old_s=$(($(date +%s) - 7200))
age() {
    local kind
    for kind; do touch -h -a -d "@$old_s" "$mnt/w/$kind"; done
}
# settle KIND...: later access times, in the past: which relatime leaves alone.
settle() {
    local kind
    for kind; do
        touch -h -d "@$((old_s - 60))" "$mnt/w/$kind"
        # ctime cannot be set; so the access time has to be later.
        touch -h -a -d "@$(($(date +%s) + 600))" "$mnt/w/$kind"
    done
}
# changes KIND: whether a read of it changes its access time.
changes() {
    local before
    before=$(atime "$mnt/w/$1")
    "read_$1"
    [[ $(atime "$mnt/w/$1") != "$before" ]] && echo yes || echo no
}
# check_reads WHAT EXPECTED KIND...: a first read after a change, and two more.
check_reads() {
    local what=$1 expected=$2 kind
    shift 2
    for kind; do
        age "$kind"
        check_eq "${expected%% *}" "$(changes "$kind")" "$what: the first read of $kind"
        let_the_clock_tick
        settle "$kind"
        check_eq "${expected##* }" "$(changes "$kind")" "$what: a read of $kind that relatime does not count"
    done
}

remount() { # OPTIONS
    ! mountpoint -q "$mnt" || unmount_store "$store" "$mnt"
    check "mount -o $1" mount_store "$store" "$mnt" "$1"
}

host=$scratch/host
mkdir "$host"
truncate -s 400M "$scratch/host.img"
mkfs.btrfs -q "$scratch/host.img" >/dev/null 2>&1
for backend in btrfs-loop btrfs-base; do
    if [[ $backend == btrfs-base ]]; then
        unmount_store "$store" "$mnt"
        # What is underneath has its own ways.
        mount -o loop,noatime "$scratch/host.img" "$host"
        mounts+=("$host")
        store=$host/store
    fi
    remount "backend=$backend,relatime"
    mkdir "$mnt/w" "$mnt/w/dir"
    echo content | tee "$mnt/w/small" "$mnt/w/mapped" "$mnt/w/dir/file" >/dev/null
    head -c 1M /dev/urandom >"$mnt/w/large"
    ln -s nowhere "$mnt/w/link"

    test_case "$backend: relatime"
    check "findmnt" has_option relatime
    check_reads relatime "yes no" "${kinds[@]}"
    # A change that is none of the content; and a day later. Both although the kernel has the content.
    read_small
    age small
    check_eq yes "$(changes small)" "relatime: after the time was set back"
    read_small
    touch -a -d "@$(($(date +%s) - 90000))" "$mnt/w/small"
    check_eq yes "$(changes small)" "relatime: after a day"
    read_small
    let_the_clock_tick
    chmod 600 "$mnt/w/small"
    check_eq yes "$(changes small)" "relatime: after a chmod"
    # The kernel may take an access time from a finer clock than the change that follows it.
    let_the_clock_tick
    setfattr -n user.x -v y "$mnt/w/small"
    let_the_clock_tick
    check_eq yes "$(changes small)" "relatime: after a new attribute"

    test_case "$backend: strictatime"
    remount strictatime
    check_not "findmnt: $(options_of)" has_option relatime
    check_reads strictatime "yes yes" "${kinds[@]}"
    for kind in "${kinds[@]}"; do
        "read_$kind"
        let_the_clock_tick
        check_eq yes "$(changes "$kind")" "strictatime: again and again, of $kind"
    done
    # While others have it open, too.
    exec 5<"$mnt/w/small"
    for _ in 1 2; do
        let_the_clock_tick
        check_eq yes "$(changes small)" "strictatime: of what is open"
    done
    exec 5<&-

    test_case "$backend: noatime"
    remount noatime
    check "findmnt: $(options_of)" has_option noatime
    check_reads noatime "no no" "${kinds[@]}"

    test_case "$backend: nodiratime"
    remount strictatime,nodiratime
    check "findmnt: $(options_of)" has_option nodiratime
    check_reads nodiratime "no no" dir
    check_reads nodiratime "yes yes" small large

    test_case "$backend: lazytime"
    remount lazytime,strictatime
    age small
    check_eq yes "$(changes small)" "lazytime: a read"
    then=$(atime "$mnt/w/small")
    remount noatime
    check_eq "$then" "$(atime "$mnt/w/small")" "lazytime: it is kept"
done

test_case "without an option it is as underneath: noatime there"
remount ""
check_reads "noatime underneath" "no no" small large dir
unmount_store "$store" "$mnt"
