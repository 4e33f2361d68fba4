#!/bin/bash
# A container in a user namespace that has one workspace: its root and its users may use the verbs as the
# owner may, and nothing more: they get no access to other workspaces or to the store, no rights that their
# owner lacks, and cannot obstruct anybody.
# shellcheck disable=SC2016,SC2317
# shellcheck source=tests/lib/mount-namespace.sh
. "$(dirname "${BASH_SOURCE[0]}")/../lib/mount-namespace.sh"
# shellcheck source=tests/lib/harness.sh
. "$(dirname "${BASH_SOURCE[0]}")/../lib/harness.sh"
[[ -n ${CKPTFS_TEST_NAMESPACE-} ]] || skip_test "no mount namespace can be made"

readonly owner=12345 stranger=23456
store=$scratch/store m=$scratch/mnt
chmod 755 "$scratch"
mount_store "$store" "$m" || exit 1
daemon=$(daemon_pid "$store")
mkdir "$m/mine" "$m/theirs" "$m/theirs/secret"
chown "$owner:$owner" "$m/mine"
chmod 755 "$m/theirs"
chmod 700 "$m/theirs/secret"
echo secret >"$m/theirs/secret/file"
mkdir "$m/.snapshots/theirs/s"
mkdir -m 755 "$scratch/bin"
cp "$bin/ckpt" "$scratch/bin/"
export PATH=$scratch/bin:$PATH

# contained USER COMMAND...: as root of a container of that user's: a user and a mount namespace.
contained() {
    local user=$1
    shift
    timeout 60 setpriv --reuid "$user" --regid "$user" --clear-groups \
        unshare --user --map-root-user --mount "$@"
}
contained "$owner" true 2>/dev/null || skip_test "no user namespaces for users"

# What the others and the daemon must not notice.
undisturbed() {
    check_eq "$daemon" "$(daemon_pid "$store")" "$1: the daemon"
    check_eq secret "$(timeout 20 cat "$m/theirs/secret/file")" "$1: another workspace"
    check "$1: a checkpoint of it" timeout 20 mkdir "$m/.snapshots/theirs/again"
    check "$1: its rollback" timeout 20 mv -T "$m/.snapshots/theirs/again" "$m/.snapshots/theirs/.live"
    check "$1: its deletion" timeout 20 rmdir "$m/.snapshots/theirs/again"
}

test_case "the container's root uses its workspace"
for verb in "mkdir $m/.snapshots/mine/one" "ckpt checkpoint -w $m/mine -s two -m text" \
    "mv -T $m/.snapshots/mine/one $m/.snapshots/mine/.live" "ckpt rollback -w $m/mine -s two" \
    "mv $m/.snapshots/mine/two $m/.snapshots/mine/three" "rmdir $m/.snapshots/mine/three"; do
    # shellcheck disable=SC2086 # words
    check "$verb" contained "$owner" $verb
done
check_eq "$owner" "$(stat -c %u "$m/mine")" "whose the workspace is after rollbacks"

test_case "it has no rights but its owner's"
# shellcheck disable=SC2016 # for the container, as below
attack='
cd "$1/mine" || exit
mknod block b 7 0 && echo "a block device"
mknod character c 1 1 && echo "a character device"
setfattr -n trusted.evil -v 1 . && echo "a trusted attribute"
setfattr -n trusted.ckptfs.last_path -v /etc/shadow . && echo "an attribute of ckptfs"
chown 1:1 . && echo "an owner that the container has not"
cat "$1/theirs/secret/file" && echo "a file of others"
ls "$1/.snapshots/theirs/s/secret" && echo "a snapshot of others"
for verb in "mkdir $1/.snapshots/theirs/evil" "rmdir $1/.snapshots/theirs/s" "mv -T $1/.snapshots/theirs/s $1/mine" \
    "mv -T $1/.snapshots/mine/one $1/theirs" "mv -T $1/.snapshots/mine/one $1/.snapshots/theirs/.live" \
    "mkdir $1/evil" "rmdir $1/theirs" "mv $1/theirs $1/evil" "ckpt rollback -w theirs -s s --mount $1" \
    "ckpt fsck --repair --mount $1" "ckpt delete -w $1/theirs -s s"; do
    $verb && echo "$verb"
done
umount "$1" && echo "the mount is gone"
umount -l "$1" && echo "the mount is gone"
fusermount3 -u "$1" && echo "the mount is gone"
mount -o remount,suid,dev "$1" && echo "other options"
mount -o bind,remount,suid,dev "$1" && echo "other options of a bind mount"
kill -0 "$2" && echo "signals to the daemon"
cat "/proc/$2/maps" "/proc/$2/environ" && echo "the memory of the daemon"
ls "/proc/$2/fd" "/proc/$2/root/" && echo "the files of the daemon"
cat "$3/catalog.db" "$3/volumes.img" && echo "the store"
true'
for user in "$owner" "$stranger"; do
    run contained "$user" bash -c "$attack" bash "$m" "$daemon" "$store"
    [[ $user == "$stranger" ]] || check_eq 0 "$status" "the attacks ran ($errors)"
    check_eq '' "$output" "what user $user got"
done
# A set-id program is its owner's at most, and this mount heeds none.
contained "$owner" sh -c 'cp /usr/bin/id "$1/mine/id" && chmod 6755 "$1/mine/id"' sh "$m"
check_eq "$owner" "$(stat -c %u "$m/mine/id")" "whose a set-id program is"
check_eq 65534 "$(setpriv --reuid 65534 --regid 65534 --clear-groups "$m/mine/id" -u)" "whom it runs as"
undisturbed "after that"

test_case "file handles open nothing of others"
python3 "$harness_directory/handles.py" save "$scratch/book" "$m/theirs/secret/file" "$m/theirs/secret" \
    "$m/.snapshots/theirs/s/secret/file" || fail "no handles are made"
chmod 644 "$scratch/book"
cp "$harness_directory/handles.py" "$scratch/handles.py"
for what in same noted; do
    run contained "$owner" python3 "$scratch/handles.py" "$what" "$m" "$scratch/book"
    check_not "a handle was opened: $output" grep -qE ' [1-9][0-9]* opened| secret' <<<"$(tail -n 1 <<<"$output")"
done
undisturbed "after that"

test_case "mounts of its own stand in nobody's way"
# Over the workspaces of both, while it lives; none of them is seen outside.
# shellcheck disable=SC2016
hold_mounts='
for at in "$1/theirs" "$1/mine" "$1/.snapshots" "$1"; do mount -t tmpfs none "$at" || echo "no mount on $at"; done
echo ready
while [ ! -e "$2" ]; do sleep 0.1; done'
for user in "$owner" "$stranger"; do
    background contained "$user" sh -c "$hold_mounts" sh "$m" "$scratch/end-$user" >"$scratch/holds" 2>&1
    holder=$!
    await 20 "the mounts" grep -q ready "$scratch/holds"
    undisturbed "with mounts of user $user"
    # As root, which sees them: in a workspace that user has no right to change.
    run timeout 20 ckpt rollback -w "$m/theirs" -s s
    check_eq 0 "$status" "a rollback of another's workspace, with mounts of user $user ($errors)"
    touch "$scratch/end-$user"
    wait "$holder"
done

test_case "overlays and mappings of ids"
# shellcheck disable=SC2016
run contained "$owner" sh -c '
    mkdir -p "$1/mine/upper" "$1/mine/work" "$1/mine/merged" &&
        mount -t overlay -o "userxattr,lowerdir=$1/theirs,upperdir=$1/mine/upper,workdir=$1/mine/work" none "$1/mine/merged" &&
        { cat "$1/mine/merged/secret/file" && echo "read"; echo x >"$1/mine/merged/new"; }
    true' sh "$m"
check_eq '' "$output" "what an overlay shows ($errors)"
check_not "it wrote into the other workspace" test -e "$m/theirs/new"
mkdir "$scratch/mapped"
if mount --bind -o X-mount.idmap="b:0:$owner:1" "$m/mine" "$scratch/mapped" 2>/dev/null; then
    mounts+=("$scratch/mapped")
    touch "$scratch/mapped/made"
    check_match "^(0|$owner)$" "$(stat -c %u "$m/mine/made")" "whose a file made through a mapping is"
else
    echo "    this kernel maps no ids of FUSE filesystems, or of this one"
fi
undisturbed "after that"

test_case "rubbish by way of the control file"
# shellcheck disable=SC2016
run contained "$owner" python3 -c '
import fcntl, os, sys
for path in (sys.argv[1] + "/mine/.ckptfs-control", sys.argv[1] + "/.ckptfs-control"):
    for flags in (os.O_RDONLY, os.O_RDWR):
        try:
            fd = os.open(path, flags)
        except OSError:
            continue
        for number in list(range(0, 65536, 97)) + [0xC0105A01, 0xFFFFFFFF]:
            for size in (0, 4096):
                try:
                    fcntl.ioctl(fd, number, bytearray(os.urandom(size)) if size else 0)
                except OSError:
                    pass
        try:
            os.write(fd, b"{" * 100000)
        except OSError:
            pass
print("ended")' "$m"
check_eq ended "$output" "the attack ($errors)"
undisturbed "after that"
run ckpt fsck --mount "$m"
check_eq "0 no problems found" "$status $output" "fsck ($errors)"
