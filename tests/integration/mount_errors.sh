#!/bin/bash
# Unusable sources and mount points: one clear line each, and nothing is left behind.
# shellcheck source=tests/lib/harness.sh
. "$(dirname "${BASH_SOURCE[0]}")/../lib/harness.sh"

store=$scratch/store
mnt=$scratch/mnt
mkdir "$mnt"

# Loop devices and mounts below $scratch, and files in a directory.
leftovers() {
    losetup -n -O NAME,BACK-FILE | grep -F "$scratch/" | grep -vF "$scratch/disk"
    findmnt -rn -o TARGET | grep "^$scratch/"
    find "$scratch" -xdev ! -path "$scratch/.stderr" | sort
}

# refused_mount PATTERN ARGUMENTS...: exit status 32, one line, nothing left; in the foreground too.
refused_mount() {
    local pattern=$1 before mode
    shift
    before=$(leftovers)
    for mode in "" -f; do
        run timeout 20 ckptfs ${mode:+"$mode"} "$@"
        check_eq 32 "$status" "exit status of ckptfs $mode $*"
        check_eq 1 "$(grep -vc ': info: ' <<<"$errors")" "lines of '$errors'"
        check_match "ckptfs: .*$pattern" "$errors" "ckptfs $mode $*"
        check_eq "$before" "$(leftovers)" "what is left of ckptfs $mode $*"
    done
}

test_case "SOURCE is a file, a device, a broken link, or below what is not there"
echo text >"$scratch/file"
refused_mount "no directory" "$scratch/file" "$mnt"
refused_mount "Not a directory|no directory" "$scratch/file/below" "$mnt"
refused_mount "no directory" /dev/null "$mnt"
ln -s nowhere/at/all "$scratch/broken"
refused_mount "$scratch/broken" "$scratch/broken" "$mnt"
refused_mount "directory above" "$scratch/not/there" "$mnt"
refused_mount "/proc" /proc/ckptfs-store "$mnt"

test_case "SOURCE holds other files"
mkdir "$scratch/foreign"
echo mine >"$scratch/foreign/file"
refused_mount "other files.*empty" "$scratch/foreign" "$mnt"
check_eq "file" "$(ls -A "$scratch/foreign")" "what is in it"

test_case "SOURCE on a read-only filesystem"
truncate -s 300M "$scratch/disk"
mkfs.ext4 -q "$scratch/disk"
mkdir "$scratch/disk.mnt"
mount -o loop "$scratch/disk" "$scratch/disk.mnt"
mounts+=("$scratch/disk.mnt")
mkdir "$scratch/disk.mnt/empty"
mount -o remount,ro "$scratch/disk.mnt"
refused_mount "[Rr]ead-only" "$scratch/disk.mnt/store" "$mnt"
refused_mount "[Rr]ead-only" "$scratch/disk.mnt/empty" "$mnt"

test_case "SOURCE on a full disk"
mount -o remount,rw "$scratch/disk.mnt"
head -c 400M /dev/zero >"$scratch/disk.mnt/filler" 2>/dev/null
refused_mount "[Nn]o space|left|space" "$scratch/disk.mnt/store" "$mnt"
refused_mount "[Nn]o space|left|space" -o size=200M "$scratch/disk.mnt/store" "$mnt"
check_eq "" "$(ls -A "$scratch/disk.mnt/empty")" "nothing in the empty directory"
refused_mount "space" "$scratch/disk.mnt/empty" "$mnt"
rm "$scratch/disk.mnt/filler"

test_case "a disk that fills up under a store: reading, deleting and mounting go on"
rmdir "$scratch/disk.mnt/empty"
check "mount" mount_store "$scratch/disk.mnt/store" "$mnt" size=256M
mkdir "$mnt/w"
echo content >"$mnt/w/file"
mkdir "$mnt/.snapshots/w/s" "$mnt/.snapshots/w/t"
sync -f "$mnt/w/file"
head -c 400M /dev/zero >"$scratch/disk.mnt/filler" 2>/dev/null
check_eq content "$(cat "$mnt/w/file")" "reading"
check "deleting" rmdir "$mnt/.snapshots/w/s"
check "unmount" unmount_store "$scratch/disk.mnt/store" "$mnt"
check "mount on the full disk" mount_store "$scratch/disk.mnt/store" "$mnt"
check_eq content "$(cat "$mnt/.snapshots/w/t/file")" "reading"
check "deleting" rmdir "$mnt/.snapshots/w/t"
check "unmount" unmount_store "$scratch/disk.mnt/store" "$mnt"
umount "$scratch/disk.mnt"

test_case "SOURCE on tmpfs"
mkdir "$scratch/memory"
mount -t tmpfs -o size=400M none "$scratch/memory"
mounts+=("$scratch/memory")
if run mount_store "$scratch/memory/store" "$mnt" size=256M && ((status == 0)); then
    mkdir "$mnt/w"
    echo content >"$mnt/w/file"
    check "checkpoint" mkdir "$mnt/.snapshots/w/s"
    check_eq content "$(cat "$mnt/.snapshots/w/s/file")" "its content"
    check "unmount" unmount_store "$scratch/memory/store" "$mnt"
else
    check_eq 1 "$(wc -l <<<"$errors")" "lines of '$errors'"
fi
umount "$scratch/memory"

test_case "MOUNTPOINT is missing, a file, not empty, or in the store"
refused_mount "mkdir" "$store" "$scratch/missing"
refused_mount "directory" "$store" "$scratch/file"
refused_mount "not empty" "$store" "$scratch/foreign"
mkdir -p "$scratch/foreign2/.hidden"
refused_mount "not empty" "$store" "$scratch/foreign2"
mkdir "$store"
refused_mount "store itself" "$store" "$store"
rmdir "$store"
check_not "no store was made" test -e "$store"
check "make a store" mount_store "$store" "$mnt"
unmount_store "$store" "$mnt"
mkdir "$store/below"
refused_mount "store itself" "$store" "$store/below"
rmdir "$store/below"

test_case "SOURCE is in MOUNTPOINT"
mkdir "$scratch/outer"
ln -s outer "$scratch/outer.link"
refused_mount "contains the store.*elsewhere" "$scratch/outer/store" "$scratch/outer"
refused_mount "contains the store.*elsewhere" "$scratch/outer/store" "$scratch/outer.link"
refused_mount "contains the store.*elsewhere" "$scratch/outer.link/store" "$scratch/outer"
mkdir "$scratch/bound"
mount --bind "$scratch/outer" "$scratch/bound"
mounts+=("$scratch/bound")
refused_mount "contains the store.*elsewhere" "$scratch/bound/store" "$scratch/outer"
umount "$scratch/bound"
rmdir "$scratch/bound" "$scratch/outer"
rm "$scratch/outer.link"

test_case "MOUNTPOINT by a symlink, relative, and with odd characters"
odd="$scratch/a mount, with \\odd\\ 'characters' and ünïcödé"
mkdir "$odd"
ln -s "$odd" "$scratch/link"
check "mount by a symlink" mount_store "$store" "$scratch/link"
check "it is mounted" mountpoint -q "$odd"
check "it works" mkdir "$odd/w"
check "umount" umount "$odd"
odd_store="$scratch/a store, with \\odd\\ 'characters' and ünïcödé"
check "mount a store with such a name" env -C "$scratch" \
    ckptfs -o size=256M "${odd_store##*/}" "${odd##*/}"
mounts+=("$odd")
check_eq "$odd_store" "$(ckpt status --mount "$odd" --format json | jq -r .source)" "its source"
check_eq "$odd" "$(ckpt status --mount "$odd" --format json | jq -r .mountpoint)" "its mount point"
check_eq "$odd_store" "$(LC_ALL=C.UTF-8 findmnt -n -o SOURCE --mountpoint "$odd")" "findmnt"
check "checkpoint" bash -c "cd '${odd//\'/\'\\\'\'}' && mkdir w .snapshots/w/s"
check "umount" unmount_store "$odd_store" "$odd"

test_case "not root"
chmod 755 "$scratch"
cp "$bin/ckptfs" "$scratch/ckptfs"
for mode in "" -f; do
    run setpriv --reuid 65534 --regid 65534 --clear-groups \
        "$scratch/ckptfs" ${mode:+"$mode"} "$store" "$mnt"
    check_eq "32 1" "$status $(wc -l <<<"$errors")" "exit status and lines: $errors"
    check_match "root" "$errors" "what to do"
done
check_not "no lock is left" test -e "$store/lock"

test_case "the caller has closed its standard descriptors"
for closed in '<&-' '>&-' '<&- >&- 2>&-'; do
    check "$closed: the command returns" timeout 60 bash -c "exec ckptfs \"\$@\" $closed" - "$store" "$mnt"
    check "$closed: a checkpoint" mkdir "$mnt/closed" "$mnt/.snapshots/closed/s"
    rmdir "$mnt/.snapshots/closed/s" "$mnt/closed"
    unmount_store "$store" "$mnt"
done

test_case "the command returns when the mount is usable"
for ((round = 0; round < 5; round++)); do
    check "mount" ckptfs "$store" "$mnt"
    check "usable at once" mkdir "$mnt/usable-$round"
    check "ckpt at once" ckpt list -w "$mnt/usable-$round"
    unmount_store "$store" "$mnt"
done

test_case "nothing is left in the end"
check_eq "" "$(losetup -n -O NAME,BACK-FILE | grep -F "$scratch/")" "loop devices"
check_eq "" "$(findmnt -rn -o TARGET | grep "^$scratch/")" "mounts"

test_case "an image that is too small to grow by a little"
check "mount" mount_store "$scratch/small" "$mnt" size=120M
unmount_store "$scratch/small" "$mnt"
refused_mount "resized to 256 MiB or more.*size=256M" -o size=200M "$scratch/small" "$mnt"
check_eq $((120 << 20)) "$(stat -c %s "$scratch/small/volumes.img")" "size of the image"
check "mount as before" mount_store "$scratch/small" "$mnt" size=120M
unmount_store "$scratch/small" "$mnt"
check "mount with the least size" mount_store "$scratch/small" "$mnt" size=256M
unmount_store "$scratch/small" "$mnt"
