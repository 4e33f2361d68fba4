#!/bin/bash
# Kills the daemon at every step of the first mount of a store on btrfs, where there is no image.
# shellcheck source=tests/lib/crash.sh
. "$(dirname "${BASH_SOURCE[0]}")/../lib/crash.sh"

mkdir "$scratch/tree"
base_made=$(date -u +%FT%TZ)
truncate -s 300M "$scratch/disk"
mkfs.btrfs -q "$scratch/disk" >/dev/null 2>&1
disk=$scratch/btrfs
mkdir "$disk"
mount -o loop "$scratch/disk" "$disk" || skip_test "cannot mount btrfs"
mounts+=("$disk")

# The store is all that is kept there; a crashed one is put aside within the same filesystem.
run_directory=$disk/run
store=$run_directory/store
# shellcheck disable=SC2034 # start_from takes them by name
first_base=none
# shellcheck disable=SC2034
first_options=backend=btrfs-base

check_outside() {
    check_eq "catalog.db meta reserve volumes" "$(find "$store" -mindepth 1 -maxdepth 1 \
        -printf '%f\n' | sort | xargs)" "$1: files in the store"
    check_eq ok "$(query "$store" 'PRAGMA integrity_check')" "$1: the catalog"
    check_eq "" "$(btrfs subvolume list "$disk")" "$1: subvolumes"
    check_eq "" "$(find "$store/volumes" -mindepth 1)" "$1: volumes"
    check_eq "" "$(find "$store/meta" -mindepth 1 ! -name store.json ! -name generation)" \
        "$1: sidecars"
    check_eq "$disk" "$(findmnt -rn -t btrfs -o TARGET | grep -F "$scratch")" "$1: mounts of btrfs"
}

crash_matrix first

test_case "every failpoint of the backend's creation was passed"
root=$(cd "$tests_lib/../.." && pwd)
mapfile -t named < <(grep -rhoE '\bFailpoint\("base-create\.[^"]+"' --include='*.cc' \
    "$root/backend" | cut -d '"' -f 2 | sort -u)
check "the sources name failpoints" test "${#named[@]}" -gt 2
for name in "${named[@]}"; do check "$name is passed" test "${passed[$name]-}" = yes; done
