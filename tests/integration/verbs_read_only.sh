#!/bin/bash
# The content of a snapshot is read-only for every user and every call, in both places; and it is read with
# the permissions that it has.
# Names here are plain, and `a && b || fail` is meant as it stands.
# shellcheck disable=SC2010,SC2012,SC2015,SC2086
# shellcheck source-path=SCRIPTDIR source=../lib/harness.sh
. "$(dirname "${BASH_SOURCE[0]}")/../lib/harness.sh"

store=$scratch/store m=$scratch/mnt
chmod 755 "$scratch"
mount_store "$store" "$m" || exit 1
cd "$m" || exit 1
mkdir W && mkdir -p W/dir/sub W/empty && echo content >W/file && echo in >W/dir/file && ln -s file W/soft
setfattr -n user.x -v y W/file
install -m 600 -o 4321 -g 4321 /dev/null W/secret && echo secret >W/secret
install -m 640 -o 4321 -g 4330 /dev/null W/grouped && echo grouped >W/grouped
install -m 600 -o 4321 -g 4321 /dev/null W/listed && echo listed >W/listed && setfacl -m u:4323:r W/listed
install -d -m 700 -o 4321 -g 4321 W/private && echo inside >W/private/file
mkdir .snapshots/W/s && manifest .snapshots/W/s >"$scratch/before"
echo two >W/file && mv -T .snapshots/W/s .snapshots/W/.live
kept=$(find .snapshots/W -mindepth 1 -maxdepth 1 -name 'pre-rollback-*' -printf '%f')

# as UID [GROUP]: runs the rest as that user.
as() {
    local uid=$1
    shift
    setpriv --reuid "$uid" --regid "$uid" --clear-groups "$@"
}

test_case "every call that writes"
every_write=$scratch/every-write.py
cat >"$every_write" <<'PYTHON'
# Prints each call on the snapshot argv[1] that does not fail with EROFS. argv[2] is a directory of
# a live tree.
import array, errno, fcntl, mmap, os, stat, sys
s, live = sys.argv[1], sys.argv[2]
fs_ioc_setflags = 0x40086602
def setflags(path):
    fd = os.open(path, os.O_RDONLY)
    try:
        fcntl.ioctl(fd, fs_ioc_setflags, array.array("l", [0x40]))
    finally:
        os.close(fd)
def fchmod(path):
    fd = os.open(path, os.O_RDONLY)
    try:
        os.fchmod(fd, 0o600)
    finally:
        os.close(fd)
calls = {"chattr": lambda: setflags(s + "/file"), "fchmod": lambda: fchmod(s + "/file")}
for where in ("", "/dir", "/dir/sub"):
    d = s + where
    calls.update({
        "mkdir in " + d: lambda d=d: os.mkdir(d + "/new"),
        "mknod in " + d: lambda d=d: os.mknod(d + "/new", stat.S_IFREG | 0o600),
        "mkfifo in " + d: lambda d=d: os.mkfifo(d + "/new"),
        "symlink in " + d: lambda d=d: os.symlink("x", d + "/new"),
        "creat in " + d: lambda d=d: os.open(d + "/new", os.O_CREAT | os.O_WRONLY),
        "creat for reading in " + d: lambda d=d: os.open(d + "/new", os.O_CREAT | os.O_RDONLY),
        "unnamed file in " + d: lambda d=d: os.open(d, os.O_TMPFILE | os.O_WRONLY),
        "link in " + d: lambda d=d: os.link(s + "/file", d + "/new"),
        "link from the live tree in " + d: lambda d=d: os.link(live + "/file", d + "/new"),
        "rename in " + d: lambda d=d: os.rename(s + "/file", d + "/new"),
        "rename of a directory in " + d: lambda d=d: os.rename(s + "/empty", d + "/new"),
        "rename from the live tree in " + d: lambda d=d: os.rename(live + "/file", d + "/new"),
        "chmod " + d: lambda d=d: os.chmod(d, 0o777),
        "chown " + d: lambda d=d: os.chown(d, 1, 1),
        "utime " + d: lambda d=d: os.utime(d),
        "setxattr " + d: lambda d=d: os.setxattr(d, "user.y", b"z"),
    })
for name in ("file", "dir/file"):
    f = s + "/" + name
    calls.update({
        "unlink " + f: lambda f=f: os.unlink(f),
        "rename to the live tree " + f: lambda f=f: os.rename(f, live + "/new"),
        "chmod " + f: lambda f=f: os.chmod(f, 0o777),
        "chown " + f: lambda f=f: os.chown(f, 1, 1),
        "truncate " + f: lambda f=f: os.truncate(f, 0),
        "utime " + f: lambda f=f: os.utime(f, ns=(1, 1)),
        "utime now " + f: lambda f=f: os.utime(f),
        "open for writing " + f: lambda f=f: os.open(f, os.O_WRONLY),
        "open for both " + f: lambda f=f: os.open(f, os.O_RDWR),
        "open to append " + f: lambda f=f: os.open(f, os.O_WRONLY | os.O_APPEND),
        "open to truncate " + f: lambda f=f: os.open(f, os.O_RDONLY | os.O_TRUNC),
        "setxattr " + f: lambda f=f: os.setxattr(f, "user.x", b"z"),
        "set ACL " + f: lambda f=f: os.setxattr(f, "system.posix_acl_access",
            bytes.fromhex("0200000001000600ffffffff04000400ffffffff20000400ffffffff")),
    })
calls["rmdir"] = lambda: os.rmdir(s + "/empty")
calls["removexattr"] = lambda: os.removexattr(s + "/file", "user.x")
calls["unlink a symlink"] = lambda: os.unlink(s + "/soft")
calls["chown a symlink"] = lambda: os.lchown(s + "/soft", 1, 1)
calls["write through a symlink"] = lambda: os.open(s + "/soft", os.O_WRONLY)
for name, call in calls.items():
    try:
        call()
        print(name, "succeeded")
    except OSError as error:
        if error.errno != errno.EROFS:
            print(name, errno.errorcode[error.errno])
# A mapping for writing needs a file that is open for writing.
fd = os.open(s + "/file", os.O_RDONLY)
try:
    mmap.mmap(fd, 1, mmap.MAP_SHARED, mmap.PROT_READ | mmap.PROT_WRITE)
    print("mmap succeeded")
except PermissionError:
    pass
private = mmap.mmap(fd, 1, mmap.MAP_PRIVATE, mmap.PROT_READ | mmap.PROT_WRITE)
private[0] = 0x58
try:
    os.write(fd, b"x")
    print("write succeeded")
except OSError as error:
    if error.errno != errno.EBADF:
        print("write", errno.errorcode[error.errno])
PYTHON
for snapshot in .snapshots/W/s W/.snapshots/s ".snapshots/W/$kept" "W/.snapshots/$kept"; do
    check_eq '' "$(python3 "$every_write" "$snapshot" W 2>&1)" "calls that are not refused in $snapshot"
done
manifest .snapshots/W/s >"$scratch/after"
check "the snapshot" diff "$scratch/before" "$scratch/after"

test_case "by the usual programs"
for s in .snapshots/W/s W/.snapshots/s; do
    refused "Read-only file system" touch $s/new
    refused "Read-only file system" touch $s/file
    refused "Read-only file system" rm -f $s/file
    refused "Read-only file system" rm -rf $s/dir
    refused "Read-only file system" cp W/file $s/
    refused "Read-only file system" mv W/file $s/
    refused "Read-only file system" mv W/empty $s/
    refused "Read-only file system" mv $s/file W/moved
    refused "Read-only file system" mv $s/dir W/moved
    refused "Read-only file system" ln -s x $s/x
    refused "Read-only file system" chmod 777 $s/file
    refused "Read-only file system" chmod 777 $s
    refused "Read-only file system" chown 1 $s
    refused "Read-only file system" setfattr -n user.x -v z $s
    refused "Read-only file system" setfacl -m u:1:r $s/file
    refused "Read-only file system" truncate -s 0 $s/file
    refused "Read-only file system" dd if=/dev/null of=$s/file status=none
    run bash -c "echo x >>$s/file"
    check_match "Read-only file system" "$errors" "a redirection"
    check "cp out of it" cp -a $s/dir W/copied
    check "ln to another workspace's file is refused" test "$(errno_of link $s/file W/linked)" = EXDEV
    rm -r W/copied
done
manifest W >"$scratch/after"
check "the live tree" diff "$scratch/before" "$scratch/after"

test_case "read with the permissions that it has"
chmod 644 W/secret W/grouped && chmod 755 W/private && setfacl -b W/listed
for s in .snapshots/W/s W/.snapshots/s; do
    check_eq content "$(as 4324 cat $s/file)" "anybody reads what all may read"
    refused "Permission denied" as 4324 cat $s/secret
    check_eq secret "$(as 4321 cat $s/secret)" "the owner reads his own"
    refused "Permission denied" as 4324 cat $s/grouped
    check_eq grouped "$(setpriv --reuid 4324 --regid 4324 --groups 4330 cat $s/grouped)" "the group reads"
    refused "Permission denied" as 4324 cat $s/listed
    check_eq listed "$(as 4323 cat $s/listed)" "who is in the ACL reads"
    refused "Permission denied" as 4324 ls $s/private
    refused "Permission denied" as 4324 cat $s/private/file
    check_eq inside "$(as 4321 cat $s/private/file)" "the owner goes in"
    refused "Read-only file system" as 4321 touch $s/secret
    refused "Permission denied" as 4324 bash -c "echo >$s/secret"
done
check_eq secret "$(as 4324 cat W/secret)" "the live file is open to all"
cd /
