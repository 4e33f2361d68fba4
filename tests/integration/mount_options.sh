#!/bin/bash
# Mount options: the effect of each, and that unknown ones are refused.
# shellcheck source=tests/lib/harness.sh
. "$(dirname "${BASH_SOURCE[0]}")/../lib/harness.sh"

store=$scratch/store
mnt=$scratch/mnt
mkdir "$mnt"

options_of() { findmnt -rn -o OPTIONS --mountpoint "$mnt"; }
has_option() { [[ ,$(options_of), == *,$1,* ]]; }

# refused_option OPTIONS PATTERN: one line that says why, a usage error, and nothing is made.
refused_option() {
    run ckptfs -o "$1" "$store" "$mnt"
    check_eq "1 1" "$status $(wc -l <<<"$errors")" "exit status and lines for -o '$1': $errors"
    check_match "^ckptfs: .*$2" "$errors" "-o '$1'"
    check_not "-o '$1' makes no store" test -e "$store"
    check_not "-o '$1' mounts nothing" mountpoint -q "$mnt"
}

test_case "options that do not exist, are given twice, or have bad values"
refused_option nonsense "nonsense.*no such option"
refused_option size=256M,nonsense=1 "nonsense"
refused_option Size=256M "Size"
refused_option size=256M,size=256M "size.*twice"
refused_option backend=auto,backend=auto "backend.*twice"
refused_option nocreate,nocreate "nocreate.*twice"
refused_option size "size"
refused_option size= "size"
for size in abc 12X -5M 1.5G 0 "1 G" 99999999999999999999 16777216T 0x100000 M 10MM; do
    refused_option "size=$size" "size '$size'"
done
refused_option snapdir=maybe "hidden.*off.*visible"
refused_option busy=yes "detach.*refuse"
refused_option undo=1 "off.*on"
for count in -1 many 1.5; do refused_option "undo_keep=$count" "undo_keep|number '$count'"; done
for time in -1h 1w h; do refused_option "undo_keep_time=$time" "undo_keep_time|time '$time'"; done
refused_option io_uring=perhaps "auto"
refused_option remount "remount"
refused_option rw=1 "takes no value.*as rw"
for flag in ro nocreate noatime suid nolazytime defaults; do
    for value in '' 1 on; do refused_option "$flag=$value" "$flag=$value.*takes no value.*Give it as $flag"; done
done
for name in backend size pool_data pool_metadata snapdir busy undo undo_keep undo_keep_time io_uring; do
    refused_option "$name=" "'$name='.*needs a value: $name=VALUE.*leave the option out"
    refused_option "$name" "'$name'.*needs a value: $name=VALUE.*leave the option out"
done

test_case "a bad command line"
for arguments in "" "$store" "$store $mnt extra" "-x $store $mnt" "$store $mnt -o"; do
    # shellcheck disable=SC2086
    run ckptfs $arguments
    check_eq "1 1" "$status $(wc -l <<<"$errors")" "exit status and lines for '$arguments': $errors"
    check_not "no store is made" test -e "$store"
done
check_match "usage: ckptfs" "$(ckptfs --help)" "--help"
check_match "^ckptfs [0-9]" "$(ckptfs -V)" "-V"

test_case "sizes that make no sense here"
run ckptfs -o size=1M "$store" "$mnt"
check "a tiny one is refused" test "$status" -eq 32
check_match "too small" "$errors" "why"
check_not "no store is left" test -e "$store"

test_case "nocreate"
run ckptfs -o nocreate "$store" "$mnt"
check_eq 32 "$status" "exit status"
check_match "does not exist.*without nocreate" "$errors" "why, and the mend"
check_not "no store is made" test -e "$store"
mkdir "$store"
run ckptfs -o nocreate "$store" "$mnt"
check_match "no store.*without nocreate" "$errors" "an empty directory"
check_eq "" "$(ls -A "$store")" "nothing is made"
rmdir "$store"

test_case "size: made, then the same says nothing, a smaller one is refused, a larger one grows"
check "mount" mount_store "$store" "$mnt" size=256M
check_eq "256" "$(($(stat -c %s "$store/volumes.img") >> 20))" "MiB of the image"
check "it is sparse" test "$(stat -c %b "$store/volumes.img")" -lt $((128 << 11))
mkdir "$mnt/w"
size=$(df --output=size -m "$mnt" | tail -n 1)
check "df shows it ($size MiB)" test "$size" -gt 200 -a "$size" -le 256
unmount_store "$store" "$mnt"
run mount_store "$store" "$mnt" size=256M
check_eq "0 " "$status $errors" "the same"
unmount_store "$store" "$mnt"
run mount_store "$store" "$mnt" size=128M
check_eq "32 1" "$status $(wc -l <<<"$errors")" "smaller: $errors"
check_match "never shrunk" "$errors" "smaller"
check_eq "" "$(losetup -n -O NAME -j "$store/volumes.img")" "no loop device is left"
run mount_store "$store" "$mnt" size=512M
check_eq "0 " "$status $errors" "larger"
check_eq "512" "$(($(stat -c %s "$store/volumes.img") >> 20))" "MiB of the image"
size=$(df --output=size -m "$mnt/w" | tail -n 1)
check "df shows it ($size MiB)" test "$size" -gt 400 -a "$size" -le 512
total=$(ckpt status --mount "$mnt" --format json | jq .fs_total_bytes)
check "ckpt status shows it" test "$((total >> 20))" -gt 400
unmount_store "$store" "$mnt"
check "without size" mount_store "$store" "$mnt"
check_eq "512" "$(($(stat -c %s "$store/volumes.img") >> 20))" "MiB of the image"
unmount_store "$store" "$mnt"

test_case "nosuid and nodev unless asked otherwise"
mount_store "$store" "$mnt"
check_match "fuse.ckptfs $store" "$(findmnt -rn -o FSTYPE,SOURCE --mountpoint "$mnt")" "findmnt"
check "nosuid" has_option nosuid
check "nodev" has_option nodev
check "rw" has_option rw
check "allow_other" has_option allow_other
check "default_permissions" has_option default_permissions
check_not "noexec" has_option noexec
mknod "$mnt/w/null" c 1 3
check_not "a device node cannot be opened" dd if=/dev/zero of="$mnt/w/null" bs=1 count=1
unmount_store "$store" "$mnt"
mount_store "$store" "$mnt" suid,dev,noexec
check_not "nosuid" has_option nosuid
check_not "nodev" has_option nodev
check "noexec" has_option noexec
check "a device node can be opened" dd if=/dev/zero of="$mnt/w/null" bs=1 count=1
printf '#!/bin/sh\n' >"$mnt/w/program"
chmod +x "$mnt/w/program"
check_not "a program cannot be started" "$mnt/w/program"
unmount_store "$store" "$mnt"
# The last one counts, as with mount(8).
mount_store "$store" "$mnt" suid,nosuid,nodev,dev
check "nosuid" has_option nosuid
check_not "nodev" has_option nodev
unmount_store "$store" "$mnt"

test_case "words of mount(8) and fstab are no errors"
check "mount" mount_store "$store" "$mnt" \
    defaults,rw,nofail,_netdev,noauto,x-systemd.automount,X-mount.mkdir,relatime,user,sync
check "sync" has_option sync
check "program" "$mnt/w/program"
unmount_store "$store" "$mnt"

test_case "noatime"
mount_store "$store" "$mnt"
echo content >"$mnt/w/read"
touch -a -d @1000000000 "$mnt/w/read"
unmount_store "$store" "$mnt"
mount_store "$store" "$mnt" noatime
cat "$mnt/w/read" >/dev/null
check_eq 1000000000 "$(stat -c %X "$mnt/w/read")" "atime after a read"
unmount_store "$store" "$mnt"
mount_store "$store" "$mnt"
cat "$mnt/w/read" >/dev/null
check "atime after a read without noatime" test "$(stat -c %X "$mnt/w/read")" -gt 1000000000
mkdir "$mnt/.snapshots/w/s"
unmount_store "$store" "$mnt"

test_case "ro"
before=$(sha256sum "$store/catalog.db" "$store/volumes.img")
check "mount" mount_store "$store" "$mnt" ro
check "ro" has_option ro
check_eq content "$(cat "$mnt/w/read")" "reading"
check_eq content "$(cat "$mnt/.snapshots/w/s/read")" "reading a snapshot"
check_eq true "$(ckpt status --mount "$mnt" --format json | jq .read_only)" "ckpt status"
for attempt in "touch $mnt/w/x" "mkdir $mnt/x" "mkdir $mnt/.snapshots/w/t" \
    "rmdir $mnt/.snapshots/w/s" "mv -T $mnt/.snapshots/w/s $mnt/w" \
    "mv $mnt/.snapshots/w/s $mnt/.snapshots/w/t" \
    "setfattr -n user.ckptfs.pinned -v 1 $mnt/.snapshots/w/s"; do
    # shellcheck disable=SC2086
    refused "Read-only file system" $attempt
done
refused "read-only" ckpt checkpoint -w "$mnt/w" -s t
run ckpt diff -w "$mnt/w" -f s
check "ckpt diff says something ($errors)" test "$status" -eq 0 -o "$(wc -l <<<"$errors")" -eq 1
check "unmount" unmount_store "$store" "$mnt"
check_eq "$before" "$(sha256sum "$store/catalog.db" "$store/volumes.img")" "nothing was written"
check_not "no lock is left" test -e "$store/lock"
run ckptfs -o ro "$scratch/none" "$mnt"
check_match "does not exist.*without ro" "$errors" "ro makes no store"
check_not "no store is made" test -e "$scratch/none"
