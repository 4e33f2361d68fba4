#!/bin/bash
# The first mount of a store: if it fails or is killed half-way, nothing is left of it, and the next mount
# chooses afresh.
# shellcheck source=tests/lib/harness.sh
. "$(dirname "${BASH_SOURCE[0]}")/../lib/harness.sh"
unshare --mount true 2>/dev/null || skip_test "no mount namespace can be made"

new=$scratch/new
found=$scratch/found
mnt=$scratch/mnt
mkdir -p "$mnt" "$found/lost+found"

listing() { find "$new" "$found" -printf '%P %y %m\n' 2>/dev/null | sort; }
before=$(listing)

# fails PATTERN WHAT COMMAND...: a mount of a directory that is not there, and of an empty one (both are
# added to the command), fails with one line, and leaves both as they were.
fails() {
    local pattern=$1 what=$2 store
    shift 2
    for store in "$new" "$found"; do
        run "$@" "$store" "$mnt"
        check_eq "32 1" "$status $(wc -l <<<"$errors")" "$what: exit status and lines: $errors"
        check_match "$pattern" "$errors" "$what"
        check_not "$what: it is mounted" mountpoint -q "$mnt"
        check_eq "$before" "$(listing)" "$what: what is left in ${store##*/}"
    done
}

# without FILE: COMMAND... where that file is none that does anything.
without() {
    local file=$1
    shift
    # shellcheck disable=SC2016 # for the inner one
    unshare --mount bash -c 'mount --bind /dev/null "$1" && shift && exec "$@"' - "$file" "$@"
}

test_case "something that a mount needs is not there"
fails "mkfs.btrfs" "without mkfs" without "$(PATH=$PATH:/usr/sbin:/sbin command -v mkfs.btrfs)" \
    ckptfs -o backend=btrfs-loop,size=200M
fails "loop" "without loop devices" without /dev/loop-control ckptfs -o backend=btrfs-loop,size=200M
fails "mount on|fuse" "without FUSE" without /dev/fuse ckptfs -o backend=btrfs-loop,size=200M
fails "too small" "a size that is too small" ckptfs -o backend=btrfs-loop,size=1M
fails "btrfs" "a backend that the place cannot give" ckptfs -o backend=btrfs-base

test_case "device-mapper's node is there, and no driver"
# A /dev of its own: the system's is not to be given such a node.
if ! grep -qw device-mapper /proc/misc; then
    dev=$scratch/dev
    mkdir "$dev"
    mount -t tmpfs -o mode=755 none "$dev"
    mounts+=("$dev")
    cp -a /dev/null /dev/zero /dev/random /dev/urandom /dev/fuse /dev/loop* "$dev"
    # shellcheck disable=SC2016
    in_dev() { unshare --mount bash -c 'mount --move "$1" /dev && shift && exec "$@"' - "$dev" "$@"; }
    for backend in dm-thin dm-snapshot; do
        fails "device-mapper" "$backend without a node" in_dev ckptfs -o "backend=$backend,size=200M"
        check_not "$backend makes a node" test -e "$dev/mapper/control"
    done
    mkdir "$dev/mapper"
    mknod "$dev/mapper/control" c 10 236
    for backend in dm-thin dm-snapshot; do
        fails "device-mapper" "$backend with a node" in_dev ckptfs -o "backend=$backend,size=200M"
    done
    check_not "the tests take the node for the driver" \
        in_dev bash -c "$(declare -f has_driver has_device_mapper); has_device_mapper"
    umount "$dev"
fi

test_case "no space for one more file, at each of them"
few=$scratch/few
mkdir "$few"
for ((inodes = 2; inodes < 40; inodes++)); do
    mount -t tmpfs -o "size=400M,nr_inodes=$inodes" none "$few"
    run ckptfs -o backend=btrfs-loop,size=200M "$few/store" "$mnt"
    ((status != 0)) || break
    check_eq "" "$(ls -A "$few")" "left with room for $inodes files ($errors)"
    umount "$few"
done
check "it fails a few times, and then it does not ($inodes)" test "$inodes" -gt 5 -a "$status" -eq 0
mounts+=("$few" "$mnt")
unmount_store "$few/store" "$mnt"
umount "$few"

# What a first mount passes, for each backend that this place can give.
host=$scratch/host
mkdir "$host"
truncate -s 300M "$scratch/host.img"
mkfs.btrfs -q "$scratch/host.img" >/dev/null 2>&1
mount -o loop "$scratch/host.img" "$host"
mounts+=("$host")
new=$host/new
found=$host/found
mkdir -p "$found/lost+found"
before=$(listing)

# points OPTIONS: the failpoints of a first mount.
points() {
    CKPTFS_FAILPOINT_TRACE=$scratch/trace mount_store "$host/traced" "$mnt" "$1"
    unmount_store "$host/traced" "$mnt"
    rm -rf "$host/traced"
    # After the last of these somebody is served.
    sed '/^first.before-finish$/q' "$scratch/trace" | sort -u
    rm "$scratch/trace"
}

for options in backend=btrfs-loop,size=120M backend=btrfs-base; do
    mapfile -t all < <(points "$options")
    check "$options passes some points (${#all[@]})" test "${#all[@]}" -gt 10

    test_case "$options: an error at each step"
    for point in "${all[@]}"; do
        fails "" "$options, an error at $point" env CKPTFS_FAILPOINT="$point=5" ckptfs -o "$options"
    done

    test_case "$options: killed at each step"
    other=backend=btrfs-base
    [[ $options != "$other" ]] || other=backend=btrfs-loop,size=120M
    for point in "${all[@]}"; do
        CKPTFS_FAILPOINT=$point ckptfs -o "$options" "$found" "$mnt" 2>/dev/null
        run ckptfs -o nocreate "$found" "$mnt"
        check_eq 32 "$status" "nocreate after a kill at $point"
        after=$(listing)
        run ckptfs -o ro "$found" "$mnt"
        check_eq "32 $after" "$status $(listing)" "ro after a kill at $point"
        # Refused, but it cleans up.
        run ckptfs -o backend=btrfs-loop,size=1M "$found" "$mnt"
        check_eq "32 $before" "$status $(listing)" "what is left of a kill at $point ($errors)"

        CKPTFS_FAILPOINT=$point ckptfs -o "$options" "$new" "$mnt" 2>/dev/null
        check "another backend after a kill at $point" mount_store "$new" "$mnt" "$other"
        check_eq "${other%%,*}" "backend=$(ckpt status --mount "$mnt" --format json | jq -r .backend.type)" "its backend"
        check "it works" mkdir "$mnt/w" "$mnt/.snapshots/w/s"
        unmount_store "$new" "$mnt"
        check_not "a note is left" test -e "$new/unfinished"
        check "mount again" mount_store "$new" "$mnt"
        check "what was made is there" test -d "$mnt/.snapshots/w/s"
        unmount_store "$new" "$mnt"
        btrfs subvolume delete "$new"/volumes/* >/dev/null 2>&1
        rm -rf "$new"
    done
done

test_case "a store that was there stays, whatever fails"
new=$scratch/store
check "mount" mount_store "$new" "$mnt" backend=btrfs-loop,size=200M
mkdir "$mnt/w" "$mnt/.snapshots/w/s"
unmount_store "$new" "$mnt"
before=$(listing)
run without /dev/fuse ckptfs "$new" "$mnt"
check_eq "32 $before" "$status $(listing)" "without FUSE ($errors)"
# A note that is wrong, as somebody may have put it there.
echo found >"$new/unfinished"
check "mount" mount_store "$new" "$mnt"
check "what is in it" test -d "$mnt/.snapshots/w/s"
unmount_store "$new" "$mnt"
check_eq "$before" "$(listing)" "the note has gone"
