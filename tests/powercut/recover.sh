#!/bin/bash
# Power cuts of the disk on which ckpt recover makes a directory: its PATH is the symlink or the whole directory,
# a second run completes it, and nothing of the first is left. The store is on another disk, which has power.
#
# CKPTFS_POWER_CUTS: a third of the number of cuts.
# shellcheck source=tests/lib/power_cut.sh
. "$(dirname "${BASH_SOURCE[0]}")/../lib/power_cut.sh"

make_disk ext4
live=$scratch/live given=$disk/home/w
mount_store "$scratch/own" "$live" size=256M || exit 1
mkdir -p "$live/w/dir/deep"
for ((i = 0; i < 40; i++)); do head -c $((i * 700)) /dev/urandom >"$live/w/dir/$i"; done
ln "$live/w/dir/7" "$live/w/dir/deep/link"
head -c 3M /dev/urandom >"$live/w/large"
mkdir "$live/.snapshots/w/one"
want=$(manifest "$live/w")

# The symlink alone, on disk.
begin() {
    mount_disk
    rm -rf "${disk:?}/home"
    mkdir "$disk/home" && ln -s "$live/w" "$given"
    sync -f "$disk"
}

# Sets $done_first: whether the command had ended well while there was power.
recover_and_cut() {
    local pid tries
    # After so many writes: the first early on, every fourth when all is done.
    ((number % 4 == 0)) || echo "off $((1 + RANDOM % (number == 1 ? 10 : 80)))" >"$power"
    ckpt recover "$given" >/dev/null 2>"$scratch/said" &
    pid=$!
    processes+=("$pid")
    for ((tries = 0; tries < 300; tries++)); do
        ! is_off || break
        kill -0 "$pid" 2>/dev/null || break
        sleep 0.01
    done
    done_first=no
    if ! is_off && ! kill -0 "$pid" 2>/dev/null; then done_first=yes; fi
    echo off >"$power"
    cut=$(<"$power")
    kill -KILL "$pid" 2>/dev/null
    wait "$pid" 2>/dev/null || done_first=no
    unmount_disk
    echo on >"$power"
}

declare -A seen=()
cuts=$((3 * ${CKPTFS_POWER_CUTS:-4}))
for ((number = 1; number <= cuts; number++)); do
    test_case "cut $number of $cuts"
    begin
    recover_and_cut
    mount_disk || fail "the disk does not mount"
    state=directory
    [[ ! -L $given ]] || state=symlink
    seen[$state]=yes
    echo "    $cut; $state; $(find "$disk/home" | wc -l) names"
    if [[ $state == symlink ]]; then
        check_eq "no $live/w" "$done_first $(readlink "$given")" "the symlink, after a run that had not ended"
    else
        check_eq "$want" "$(manifest "$given")" "the directory"
    fi
    if [[ $state == symlink || $(ls -A "$disk/home") != w ]]; then
        run ckpt recover "$given"
        # Of the very end only an empty work directory may be left, which tells nothing.
        [[ $errors == *"it is a directory"* ]] || check_eq 0 "$status" "the second run: $errors"
    fi
    check_not "the symlink is gone" test -L "$given"
    check_eq "$want" "$(manifest "$given")" "the directory in the end"
    check_eq w "$(ls -A "$disk/home")" "names beside it"
    unmount_disk
done
check_eq "directory symlink" "$(printf '%s\n' "${!seen[@]}" | sort | paste -sd ' ')" "there were cuts before and after"
unmount_store "$scratch/own" "$live"
