#!/bin/bash
# What makes written data durable: fsync(2), fsync of a directory, fsync of the mount's root, sync(2), a
# checkpoint. Checked on a copy of the image, as a power failure would leave it. (syncfs(2) does not: the
# kernel does not report it to a FUSE filesystem.)
# shellcheck source=tests/lib/harness.sh
. "$(dirname "${BASH_SOURCE[0]}")/../lib/harness.sh"

store=$scratch/store
mnt=$scratch/mnt
copy=$scratch/copy
cut=$scratch/cut
mkdir "$mnt" "$cut"
check "mount" mount_store "$store" "$mnt" size=256M
mkdir "$mnt/w" "$mnt/w/dir" "$mnt/v"
sync

# fsync PATH: of a file or a directory.
fsync() { python3 -c 'import os, sys; os.fsync(os.open(sys.argv[1], os.O_RDONLY))' "$1"; }

# A commit of btrfs's own accord would make the test see more than a command did. None is due for half a
# minute after this.
commit() {
    python3 -c 'import fcntl, os, sys
btrfs_ioc_sync = 0x9408
fcntl.ioctl(os.open(sys.argv[1], os.O_RDONLY), btrfs_ioc_sync)' "$inside"
}
bytes=300000
fill() { head -c "$bytes" /dev/urandom >"$1"; }

# left NAME FILE: how many files of that name are there after a power cut, and are like FILE.
left() {
    cp --sparse=always "$store/volumes.img" "$copy.img"
    mount -o loop "$copy.img" "$cut"
    find "$cut/volumes" -name "$1" -exec cmp -s {} "$2" \; -print | wc -l
    umount "$cut"
    rm "$copy.img"
}

# after_power_cut FILE COMMAND...: the same of a file that is written before the command.
after_power_cut() {
    local file=$1
    shift
    commit
    fill "$mnt/$file"
    "$@" >/dev/null || echo "'$*' failed"
    left "${file##*/}" "$mnt/$file"
}

# A directory of the daemon's in the image.
pid=$(daemon_pid "$store")
inside=
for fd in "/proc/$pid/fd/"*; do
    [[ -d $fd && $(stat -Lf -c %T "$fd") == btrfs ]] && inside=$fd && break
done
check "a descriptor of the daemon's" test -n "$inside"

test_case "nothing is asked for"
check_eq 0 "$(after_power_cut w/none true)" "nothing is there, or this test shows nothing"

test_case "fsync"
check_eq 1 "$(after_power_cut w/file fsync "$mnt/w/file")" "of a file"
check_eq 1 "$(after_power_cut w/dir/deep fsync "$mnt/w/dir/deep")" "of a file in a directory"
fill "$mnt/w/dir/final"
commit
fill "$mnt/w/temporary"
fsync "$mnt/w/temporary" && mv "$mnt/w/temporary" "$mnt/w/dir/final" && fsync "$mnt/w/dir"
check_eq 1 "$(left final "$mnt/w/dir/final")" "of a directory, after a rename"
check_eq 1 "$(after_power_cut w/root fsync "$mnt")" "of the mount's root"
check_eq 1 "$(after_power_cut v/other sync "$mnt")" "sync MOUNTPOINT, of another workspace"

test_case "sync(2), and a checkpoint"
check_eq 1 "$(after_power_cut w/all sync)" "sync(2)"
check_eq 2 "$(after_power_cut w/checkpoint mkdir "$mnt/.snapshots/w/s")" "in the workspace, and the snapshot"

# Not checked: a later kernel may tell.
echo "    sync -f: $(after_power_cut w/syncfs sync -f "$mnt/w/syncfs") files written"
unmount_store "$store" "$mnt"
