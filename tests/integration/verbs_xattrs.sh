#!/bin/bash
# The extended attributes of snapshots: read, listed, set, checked, refused.
# Names here are plain, and `a && b || fail` is meant as it stands.
# shellcheck disable=SC2010,SC2012,SC2015,SC2086
# shellcheck source-path=SCRIPTDIR source=../lib/harness.sh
. "$(dirname "${BASH_SOURCE[0]}")/../lib/harness.sh"

store=$scratch/store m=$scratch/mnt
mount_store "$store" "$m" || exit 1
cd "$m" || exit 1
mkdir W && echo one >W/file && setfattr -n user.own -v mine W && setfacl -m u:4323:rwx W
mkdir .snapshots/W/s1
echo two >W/file && mkdir .snapshots/W/s2
s=.snapshots/W/s1 inside=W/.snapshots/s1

get() { getfattr --absolute-names --only-values -n "user.ckptfs.$1" "$2"; }
set_to() { setfattr -n "user.ckptfs.$1" -v "$2" "$3"; }

test_case "what a new snapshot says"
check_eq '' "$(get message $s)" "message"
check_eq '{}' "$(get metadata $s)" "metadata"
check_eq 0 "$(get pinned $s)" "pinned"
check_match '^[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}$' "$(get id $s)" "id"
check_match '^[0-9]{4}-[0-9]{2}-[0-9]{2}T[0-9:]{8}(\.[0-9]+)?Z$' "$(get created $s)" "created"
check_eq "$(stat -c %Y $s)" "$(date -d "$(get created $s)" +%s)" "created is the directory's time"
check_eq manual "$(get kind $s)" "kind"
check_eq ok "$(get state $s)" "state"
check_eq one "$(get moment $s)" "moment"
check_eq '' "$(get parent $s)" "parent of the first"
check_eq s1 "$(get parent .snapshots/W/s2)" "parent of the second"
check_match '^[0-9]+$' "$(get exclusive_bytes $s)" "exclusive_bytes"
check_match '^[0-9]+$' "$(get referenced_bytes $s)" "referenced_bytes"
check_not "ids differ" test "$(get id $s)" = "$(get id .snapshots/W/s2)"
mv .snapshots/W/s1 .snapshots/W/renamed
check_eq renamed "$(get parent .snapshots/W/s2)" "parent follows a rename"
mv .snapshots/W/renamed .snapshots/W/s1

test_case "listing"
names=$(getfattr --absolute-names -m - $s | grep -v '^#' | sort | tr '\n' ' ')
for name in message metadata pinned id created parent kind state moment exclusive_bytes referenced_bytes; do
    check_match " ?user\.ckptfs\.$name " "$names" "listed: $name"
done
check_match "user\.own " "$names" "the tree's own are listed"
check_eq mine "$(getfattr --only-values -n user.own $s)" "the tree's own are read"
check "getfattr -d" getfattr -d -m - $s
check_eq "$(getfattr -d -m - $s | tail -n +2)" "$(getfattr -d -m - $inside | tail -n +2)" "the same inside"
check_match "user:4323:rwx" "$(getfacl -cn $s)" "the root's ACL"
check_eq '' "$(getfattr -d -m 'user.ckptfs' W 2>&1)" "the workspace has none"
check_eq '' "$(getfattr -d -m 'user.ckptfs' $s/file 2>&1)" "nor have files of a snapshot"
refused "No such attribute" getfattr -n user.ckptfs.message W
refused "No such attribute" getfattr -n user.ckptfs.unknown $s
refused "No such attribute" getfattr -n user.unknown $s

test_case "names that are ckptfs's own, on ordinary files"
for path in W W/file; do
    refused "Operation not permitted" setfattr -n trusted.ckptfs.last_path -v x $path
    refused "Operation not permitted" setfattr -n trusted.ckptfs.other -v x $path
    refused "Operation not permitted" setfattr -x trusted.ckptfs.last_path $path
    refused "No such attribute" getfattr -n trusted.ckptfs.last_path $path
    check_eq '' "$(getfattr -d -m 'trusted' $path 2>&1)" "none"
done
# A file that was open without a name, and has one again.
python3 -c 'import os
fd = os.open("W/given", os.O_CREAT | os.O_RDWR)
os.unlink("W/given")
assert os.listxattr(fd) == [], os.listxattr(fd)
os.mkdir(".snapshots/W/open")'
hidden=$(find .snapshots/W/open/.ckptfs-unlinked -type f)
check_eq given "$(getfattr --only-values -n trusted.ckptfs.last_path "$hidden")" "in a snapshot"
check "a copy of it" cp -a "$hidden" W/copy
rmdir .snapshots/W/open && rm W/copy
mkdir "$scratch/import"
echo x >"$scratch/import/file"
if setfattr -n trusted.ckptfs.last_path -v x "$scratch/import/file" 2>/dev/null; then
    setfattr -n trusted.mine -v y "$scratch/import/file"
    check "ckpt init" ckpt init --mount "$m" "$scratch/import"
    check_eq trusted.mine "$(getfattr --absolute-names -m trusted "$m/import/file" | sed -n 2,3p | xargs)" "imported"
    mkdir .snapshots/import/s
    check_eq trusted.mine "$(getfattr -m trusted .snapshots/import/s/file | sed -n 2,3p | xargs)" "in a snapshot"
fi

test_case "message"
for text in "before the refactoring" "" $'two\nlines' "ümläut 日本語" "$(printf 'x%.0s' {1..10000})"; do
    check "set" set_to message "$text" $s
    check_eq "$text" "$(get message $inside)" "read"
done
refused "Invalid argument" setfattr -n user.ckptfs.message -v 0xff41 $s # not UTF-8
refused "Invalid argument" setfattr -n user.ckptfs.message -v 0x410042 $s # a NUL
check "set inside" set_to message "from inside" $inside
check_eq "from inside" "$(get message $s)" "read outside"
check_eq "from inside" "$(ckpt show -w W -s s1 --format json | jq -r .message)" "as ckpt says"

test_case "metadata is a JSON object"
check "set" set_to metadata '{"author": "me", "n": [1, 2.5, null], "deep": {"a": true}}' $s
check_eq '{"a":true}' "$(get metadata $inside | jq -c .deep)" "read"
for json in '' '[]' '[1,2]' '"text"' 1 null true '{' '{"a":}' '{"a":1} x' 'x{}' "{'a':1}" '{"a":1,}'; do
    refused "Invalid argument" set_to metadata "$json" $s
done
refused "Invalid argument" setfattr -n user.ckptfs.metadata -v "0x$(printf '{"a":"\xff"}' | od -An -tx1 | tr -d ' \n')" $s
check_eq me "$(get metadata $s | jq -r .author)" "after what was refused"
check "an empty object" set_to metadata '{}' $s

test_case "pinned is 0 or 1"
for value in '' 2 -1 yes true 01 ' 1' 10; do
    refused "Invalid argument" set_to pinned "$value" $s
done
check "pin" set_to pinned 1 $s
check_eq 1 "$(get pinned $inside)" "read"
refused "Device or resource busy" rmdir $s
check "pin again" set_to pinned 1 $inside
check "unpin" set_to pinned 0 $inside
check_eq 0 "$(get pinned $s)" "read"
check "ckpt pin" ckpt pin -w W -s s1
check_eq 1 "$(get pinned $s)" "after ckpt pin"
check "ckpt unpin" ckpt unpin -w W -s s1
check_eq 0 "$(get pinned $s)" "after ckpt unpin"

test_case "the others are read-only"
for name in id created parent kind state moment exclusive_bytes referenced_bytes unknown; do
    refused "Operation not permitted" set_to "$name" 1 $s
    refused "Operation not permitted" set_to "$name" 1 $inside
done
refused "Operation not permitted" setfattr -x user.ckptfs.message $s
refused "Operation not permitted" setfattr -x user.ckptfs.id $s
refused "Read-only file system" setfattr -n user.own -v x $s
refused "Read-only file system" setfattr -x user.own $s
refused "Read-only file system" setfattr -n user.ckptfs.message -v x $s/file
check_eq "$(get id $s)" "$(get id $inside)" "id after what was refused"
check_eq EEXIST "$(python3 -c '
import errno, os, sys
try:
    os.setxattr(sys.argv[1], "user.ckptfs.message", b"x", os.XATTR_CREATE)
except OSError as error:
    print(errno.errorcode[error.errno])' $s)" "XATTR_CREATE"
check_eq ERANGE "$(python3 - $s <<'PYTHON'
import ctypes, errno, os, sys
libc = ctypes.CDLL(None, use_errno=True)
buffer = ctypes.create_string_buffer(4)
libc.getxattr(os.fsencode(sys.argv[1]), b"user.ckptfs.id", buffer, 4)
print(errno.errorcode[ctypes.get_errno()])
PYTHON
)" "a buffer that is too small"

test_case "SELinux labels"
# labels_asked DIRECTORY: how often `ls -l` asks for one.
labels_asked() { strace -qq -e trace=lgetxattr ls -l "$1" 2>&1 >/dev/null | grep -c security.selinux; }
mkdir W/many && touch W/many/{1..50}
if grep -qw selinuxfs /proc/filesystems; then
    echo "note: this kernel has SELinux: files without a label were not tested"
elif [[ $(labels_asked "$scratch") -eq 0 ]]; then
    echo "note: this ls asks for no labels, or cannot be traced"
else
    check_eq 1 "$(labels_asked W/many)" "labels that ls asks for, of 50 files"
    check_eq 1 "$(labels_asked .snapshots/W)" "labels that ls asks for, of snapshots"
    refused "Operation not supported" getfattr -n security.selinux W/many/1
    refused "No such attribute" getfattr -n security.other W/many/1
fi
check "set one" setfattr -n security.selinux -v system_u:object_r:etc_t:s0 W/many/1
check_eq system_u:object_r:etc_t:s0 "$(getfattr --only-values -n security.selinux W/many/1)" "one that is there"

test_case "they survive"
set_to message kept $s && set_to metadata '{"k":1}' $s && set_to pinned 1 $s
before=$(getfattr -d -m 'user.ckptfs.(message|metadata|pinned|id|created|parent|kind|state)' $s .snapshots/W/s2)
cd / && unmount_store "$store" "$m" && mount_store "$store" "$m" && cd "$m" || exit 1
check_eq "$before" "$(getfattr -d -m 'user.ckptfs.(message|metadata|pinned|id|created|parent|kind|state)' $s .snapshots/W/s2)" "a remount"
mv -T $s W
check_eq kept "$(get message $s)" "a rollback"
mv -T $s N
check_eq kept "$(get message $s)" "a fork"
check_eq '{"k":1}' "$(get metadata $inside)" "metadata"

test_case "who may set them"
chmod 755 "$scratch"
chown 4321 W && chmod 755 W && setfacl -b W && mkdir .snapshots/W/theirs
check "the owner" setpriv --reuid 4321 --regid 4321 --clear-groups setfattr -n user.ckptfs.message -v x .snapshots/W/theirs
refused "Permission denied" setpriv --reuid 5000 --regid 5000 --clear-groups setfattr -n user.ckptfs.message -v y .snapshots/W/theirs
refused "Permission denied" setpriv --reuid 5000 --regid 5000 --clear-groups setfattr -n user.ckptfs.pinned -v 1 W/.snapshots/theirs
check_eq x "$(setpriv --reuid 5000 --regid 5000 --clear-groups getfattr --only-values -n user.ckptfs.message .snapshots/W/theirs)" "all may read"
cd /
