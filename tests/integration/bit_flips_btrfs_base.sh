#!/bin/bash
# Bit flips on the disk of a store on the disk's own btrfs: in volumes, sidecars and the catalog.
# shellcheck source=tests/lib/bit_flips.sh
. "$(dirname "${BASH_SOURCE[0]}")/../lib/bit_flips.sh"

options=backend=btrfs-base
disk=$scratch/disk
image=$scratch/disk.img
mkdir "$disk"
mounts+=("$disk")
# A disk that was damaged is not used again. This one has taken the place of another: btrfs's number of it is not 1.
new_ground() {
    ! is_mounted "$disk" || unmount "$disk" || return
    store=$disk/store
    local other=$image.other device added
    rm -f "$image" "$other"
    truncate -s 512M "$image" "$other"
    mkfs.btrfs -q "$other" >/dev/null && mount -o loop "$other" "$disk" || return
    device=$(losetup --find --show "$image") || return
    btrfs -q device add "$device" "$disk" >/dev/null && btrfs -q device remove "$(findmnt -n -o SOURCE "$disk")" "$disk"
    added=$?
    losetup -d "$device" # when it is unmounted
    return "$added"
}

# Of which reads then fail: it lies in the same btrfs.
flip_below_catalog() {
    test_case "in the catalog's blocks"
    new_ground || exit 1
    mount_store "$store" "$m" "$options" || exit 1
    mkdir "$m/w"
    echo 1 >"$m/w/file"
    # As SQL has it: in a sidecar the quotation mark has a backslash before it.
    text="text \" of the catalog, $RANDOM"
    # More than SQLite keeps in memory.
    long=$(head -c 60000 /dev/zero | tr '\0' x)
    for ((i = 0; i < 80; i++)); do ckpt checkpoint -w "$m/w" -s "described$i" -m "$text $long" >/dev/null; done
    ckpt checkpoint -w "$m/w" -s other >/dev/null
    check "unmount" unmount_store "$store" "$m"
    mount_store "$store" "$m" || exit 1
    daemon=$(daemon_pid "$store")
    check "places on the disk" test "$(damage marker "$image" "$text")" -ge 1
    forget
    check_eq 1 "$(cat "$m/.snapshots/w/other/file")" "files can be read"
    check "and written" sh -c "echo 2 >>'$m/w/file'"
    run timeout 60 ckpt fsck --mount "$m"
    check_not "fsck: $output $errors" test "$status" -eq 0 -o "$status" -eq 124
    check_match "catalog" "$output$errors" "fsck"
    # Done, or refused with a reason.
    for verb in "mkdir $m/.snapshots/w/after" "mv $m/.snapshots/w/other $m/.snapshots/w/renamed" \
        "mv -T $m/.snapshots/w/described1 $m/.snapshots/w/.live" "rmdir $m/.snapshots/w/described2" "mkdir $m/more"; do
        # shellcheck disable=SC2086 # words
        run timeout 60 $verb
        check "$verb ends" test "$status" -ne 124
        echo "    ${verb%% *}: $status ${errors##*: }"
    done
    check "the daemon lives" kill -0 "$daemon"
    check "unmount" unmount_store "$store" "$m"
    run mount_store "$store" "$m"
    check_eq 0 "$status" "a new mount ($errors)"
    check_eq 1 "$(find "$store" -name 'catalog.db.damaged-*' | wc -l)" "a damaged catalog is kept"
    check_eq "$text $long" "$(getfattr --absolute-names --only-values -n user.ckptfs.message "$m/.snapshots/w/described3")" \
        "a message"
    check "what was made meanwhile" test -e "$m/.snapshots/w/after/file"
    run ckpt fsck --mount "$m"
    check_eq "0 no problems found" "$status $output" "fsck ($errors)"
    check "unmount" unmount_store "$store" "$m"
}

flip_bits
flip_below_catalog
