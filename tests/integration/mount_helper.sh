#!/bin/bash
# mount(8), fstab, findmnt and umount, with the helpers where `cmake --install` puts them. Runs in its own
# mount namespace, so the system's /sbin and fstab stay as they are.
# shellcheck source=tests/lib/mount-namespace.sh
. "$(dirname "${BASH_SOURCE[0]}")/../lib/mount-namespace.sh"
# shellcheck source=tests/lib/harness.sh
. "$(dirname "${BASH_SOURCE[0]}")/../lib/harness.sh"
[[ -n ${CKPTFS_TEST_NAMESPACE-} ]] || skip_test "no mount namespace can be made"
build=$(dirname "$bin")
[[ -f $build/cmake_install.cmake ]] || skip_test "$build is no build directory to install from"

store=$scratch/store
mnt=$scratch/mnt
mkdir "$mnt"

test_case "cmake --install"
check "install" env DESTDIR="$scratch/root" cmake --install "$build" --prefix /usr/local
root=$scratch/root
check "ckptfs" test -x "$root/usr/local/bin/ckptfs"
check "ckpt" test -x "$root/usr/local/bin/ckpt"
for helper in mount.ckptfs mount.fuse.ckptfs; do
    check "$helper" test -L "$root/sbin/$helper"
    check_eq /usr/local/bin/ckptfs "$(readlink "$root/sbin/$helper")" "where $helper leads"
done
check "install into another prefix" env DESTDIR="$scratch/root" cmake --install "$build" --prefix /opt/c
check_eq ../bin/ckptfs "$(readlink "$root/opt/c/sbin/mount.fuse.ckptfs")" "where the helper leads"
check "it is the program" test -x "$root/opt/c/sbin/mount.fuse.ckptfs"

test_case "the helper called as mount(8) does"
helper=$root/opt/c/sbin/mount.fuse.ckptfs
check "SOURCE DIR -o" "$helper" "$store" "$mnt" -o rw,size=256M
check "mounted" mountpoint -q "$mnt"
mounts+=("$mnt")
unmount_store "$store" "$mnt"
check "with -n -s -v and -t" "$helper" "$store" "$mnt" -n -s -v -o rw -t fuse.ckptfs
check "mounted" mountpoint -q "$mnt"
unmount_store "$store" "$mnt"
check "-f does nothing" "$helper" "$store" "$mnt" -f -o rw
check_not "mounted" mountpoint -q "$mnt"
run "$helper" "$store" "$mnt" -o nonsense
check_eq "1 1" "$status $(wc -l <<<"$errors")" "exit status and lines: $errors"
run "$helper" "$scratch/a/b" "$mnt" -o rw
check_eq "32 1" "$status $(wc -l <<<"$errors")" "exit status and lines: $errors"

# A view of /sbin and /etc in which the helpers are installed and fstab is ours.
mkdir "$scratch/sbin.upper" "$scratch/sbin.work" "$scratch/etc.upper" "$scratch/etc.work"
sbin=$(readlink -f /sbin)
show() {
    mount -t overlay overlay -o "lowerdir=$1,upperdir=$2.upper,workdir=$2.work" "$1"
}
if ! show "$sbin" "$scratch/sbin" || ! show /etc "$scratch/etc"; then
    skip_test "no overlay filesystem: mount(8) cannot be shown the helpers"
fi
mounts+=("$sbin" /etc)
ln -s "$bin/ckptfs" /sbin/mount.ckptfs
ln -s "$bin/ckptfs" /sbin/mount.fuse.ckptfs

test_case "mount -t fuse.ckptfs"
check "mount" mount -t fuse.ckptfs "$store" "$mnt"
check_eq "fuse.ckptfs $store" "$(findmnt -rn -o FSTYPE,SOURCE --mountpoint "$mnt")" "findmnt"
check_match ",nodev" ",$(findmnt -rn -o OPTIONS --mountpoint "$mnt")" "nodev"
check "usable at once" mkdir "$mnt/w"
check "umount" unmount_store "$store" "$mnt"
check_not "unmounted" mountpoint -q "$mnt"
check "mount -t ckptfs" mount -t ckptfs "$store" "$mnt" -o noatime,snapdir=visible
check_eq "fuse.ckptfs" "$(findmnt -rn -o FSTYPE --mountpoint "$mnt")" "findmnt"
check_match "\.snapshots" "$(ls -A "$mnt/w")" "snapdir=visible"
check "umount" unmount_store "$store" "$mnt"
# Of these mount(8) knows itself what they mean.
for options in strictatime relatime,lazytime noatime,nodiratime; do
    check "mount -o $options" mount -t fuse.ckptfs "$store" "$mnt" -o "$options"
    shown=,$(findmnt -rn -o OPTIONS --mountpoint "$mnt"),
    case $options in
        strictatime) check_not "shown: $shown" grep -qE ',(relatime|noatime),' <<<"$shown" ;;
        *) check_match ",${options%,*},.*" "$shown" "shown" ;;
    esac
    echo content >"$mnt/w/read"
    touch -a -d @1000000000 "$mnt/w/read"
    cat "$mnt/w/read" >/dev/null
    first=$(stat -c %X "$mnt/w/read")
    [[ $options == noatime* ]] && check_eq 1000000000 "$first" "-o $options: the first read"
    sleep 1.1
    cat "$mnt/w/read" >/dev/null
    again=$([[ $(stat -c %X "$mnt/w/read") == "$first" ]] && echo no || echo yes)
    check_eq "$([[ $options == strictatime ]] && echo yes || echo no)" "$again" "-o $options: the second read counts"
    check "umount" unmount_store "$store" "$mnt"
done
run mount -t fuse.ckptfs "$store" "$mnt" -o nonsense
check "an unknown option is refused ($errors)" test "$status" -ne 0
check_match "nonsense" "$errors" "why"
run mount -t fuse.ckptfs "$scratch/a/b" "$mnt"
check_eq 32 "$status" "a store that cannot be made"

test_case "an fstab line"
echo "$store $mnt fuse.ckptfs noauto,nofail,x-systemd.automount,noatime 0 0" >>/etc/fstab
check "mount MNT" mount "$mnt"
check "findmnt" findmnt --mountpoint "$mnt"
check "findmnt --fstab" findmnt --fstab --mountpoint "$mnt"
check "umount" unmount_store "$store" "$mnt"
check "mount STORE" mount "$store"
check "mounted" mountpoint -q "$mnt"
check "umount" unmount_store "$store" "$mnt"
check "findmnt --verify" findmnt --verify --tab-file /etc/fstab
sed -i "s|^$store .*|$store $mnt fuse.ckptfs ro 0 0|" /etc/fstab
check "mount -a" mount -a -t fuse.ckptfs
check_match "(^|,)ro(,|$)" "$(findmnt -rn -o OPTIONS --mountpoint "$mnt")" "ro"
unmount_store "$store" "$mnt"
