#!/bin/bash
# ckpt where only a workspace is visible, and for users other than root: users who may write a workspace may
# use it; others can change nothing.
# shellcheck source=tests/lib/mount-namespace.sh
. "$(dirname "${BASH_SOURCE[0]}")/../lib/mount-namespace.sh"
# shellcheck source=tests/lib/harness.sh
. "$(dirname "${BASH_SOURCE[0]}")/../lib/harness.sh"
[[ -n ${CKPTFS_TEST_NAMESPACE-} ]] || skip_test "no mount namespace can be made"

store=$scratch/store
mnt=$scratch/mnt
owner=12345
stranger=23456
chmod 755 "$scratch"

check "mount" mount_store "$store" "$mnt"
mkdir "$mnt/w" "$mnt/other"
chown "$owner:$owner" "$mnt/w"
echo one >"$mnt/w/file"
chown "$owner:$owner" "$mnt/w/file"
mkdir "$mnt/.snapshots/other/theirs"
# Programs that everybody can run.
mkdir "$scratch/bin"
cp "$bin/ckpt" "$scratch/bin/"
as() {
    local user=$1
    shift
    setpriv --reuid "$user" --regid "$user" --clear-groups "$@"
}

# A root directory with nothing of ours but one workspace, at /work.
new_root=$scratch/root
make_root() {
    local directory
    mkdir "$new_root"
    mount -t tmpfs none "$new_root"
    mounts+=("$new_root")
    for directory in /usr /etc /proc /dev; do
        mkdir "$new_root$directory"
        mount --rbind "$directory" "$new_root$directory"
        mounts+=("$new_root$directory")
    done
    for directory in bin lib lib64 sbin; do
        [[ -L /$directory ]] && ln -s "usr/$directory" "$new_root/$directory"
    done
    mkdir "$new_root/work" "$new_root/ckpt" "$new_root/tmp"
    mount --bind "$mnt/w" "$new_root/work"
    mounts+=("$new_root/work")
    mount --bind "$scratch/bin" "$new_root/ckpt"
    mounts+=("$new_root/ckpt")
}
inside() { chroot "$new_root" /usr/bin/env -C /work PATH=/ckpt:/usr/bin:/bin "$@"; }
inside_as() {
    local user=$1
    shift
    chroot --userspec="$user:$user" --groups="$user" "$new_root" \
        /usr/bin/env -C /work PATH=/ckpt:/usr/bin:/bin "$@"
}

# names FORMAT-JSON: names in a list.
names() { jq -r '[.[].name] | sort | join(" ")'; }

test_case "in a chroot that sees only the workspace"
make_root
check "checkpoint" inside ckpt checkpoint -s one -m "from inside"
check "checkpoint by mkdir" inside mkdir .snapshots/two
inside sh -c 'echo three >file; echo new >added'
check_eq "one two" "$(inside ckpt list --format json | names)" "list"
check_eq "one two" "$(inside ls .snapshots | xargs)" "ls"
check_eq "from inside" "$(inside ckpt show -s one --format json | jq -r .message)" "show"
check_match "\\+ added" "$(inside ckpt diff -f one)" "diff"
check_match "M file" "$(inside ckpt diff -f one)" "diff"
check "pin" inside ckpt pin -s two
run inside ckpt delete -s two
check_eq 5 "$status" "delete of a pinned one: $errors"
check "unpin" inside ckpt unpin -s two
check "delete" inside ckpt delete -s two
check "rollback" inside ckpt rollback -s one
check_eq one "$(inside cat file)" "rolled back"
check_not "added is gone" test -e "$mnt/w/added"
check "rollback by mv" inside sh -c 'echo four >file; mv -T .snapshots/one .snapshots/.live; cat file'
check_eq one "$(cat "$mnt/w/file")" "rolled back by mv"
check "status" inside ckpt status
check_eq '["w"]' "$(inside ckpt status --format json | jq -c '[.workspaces[].name]')" \
    "workspaces that can be seen from inside"
check_not "others are reached from inside" inside ckpt list -w other
check_not "the whole store is checked from inside" inside ckpt fsck

test_case "beside the workspace, and in a part of another: nothing is taken for the one that is meant"
mkdir "$mnt/other/part" "$new_root/part"
mount --bind "$mnt/other/part" "$new_root/part"
mounts+=("$new_root/part")
before=$(ls "$mnt/.snapshots/w" "$mnt/.snapshots/other")
for directory in /tmp /part; do
    for command in "rollback -n 1" checkpoint "diff -f one" "delete -s one"; do
        # shellcheck disable=SC2086 # words
        run inside env -C "$directory" ckpt $command
        check_eq 2 "$status" "in $directory: ckpt $command"
        check_match "the current directory is not in a workspace.*-w" "$errors" "in $directory: ckpt $command"
    done
done
check_eq "$before" "$(ls "$mnt/.snapshots/w" "$mnt/.snapshots/other")" "snapshots"
check_match "^one " "$(inside env -C /tmp ckpt list -w /work --format json | names)" "with -w"
check_match "^one " "$(inside env -C /tmp ckpt list -w w --format json | names)" "by its name"
run inside env -C /part ckpt list -w w
check_match "only a part of a workspace" "$errors" "a name, in a part of another workspace"
check_eq 3 "$status" "exit status"

test_case "its owner, who is not root, in the container"
check "checkpoint" inside_as "$owner" ckpt checkpoint -s mine
inside_as "$owner" sh -c 'echo five >file'
check "rollback" inside_as "$owner" ckpt rollback -s mine
check_eq one "$(cat "$mnt/w/file")" "rolled back"
check "delete" inside_as "$owner" ckpt delete -s mine
check "mkdir" inside_as "$owner" mkdir .snapshots/mine
check "rmdir" inside_as "$owner" rmdir .snapshots/mine

test_case "in a user namespace"
if unshare --user --map-root-user true 2>/dev/null; then
    # Root there is the owner here; and somebody else's root is nobody here.
    check "checkpoint as the owner" as "$owner" unshare --user --map-root-user \
        "$scratch/bin/ckpt" checkpoint -w "$mnt/w" -s namespace
    check "list" as "$owner" unshare --user --map-root-user "$scratch/bin/ckpt" list -w "$mnt/w"
    check "rollback" as "$owner" unshare --user --map-root-user \
        "$scratch/bin/ckpt" rollback -w "$mnt/w" -s namespace
    check "delete" as "$owner" unshare --user --map-root-user \
        "$scratch/bin/ckpt" delete -w "$mnt/w" -s namespace
    refused "you may not" as "$stranger" unshare --user --map-root-user \
        "$scratch/bin/ckpt" checkpoint -w "$mnt/w" -s namespace
    refused "" as "$owner" unshare --user --map-root-user \
        "$scratch/bin/ckpt" delete -w "$mnt/other" -s theirs
else
    echo "    no user namespaces here"
fi

test_case "on the mount: the owner may, another user may not"
check "checkpoint" as "$owner" "$scratch/bin/ckpt" checkpoint -w "$mnt/w" -s owned -m text
before=$(cd "$mnt" && ckpt list --format json && manifest . && manifest .snapshots)
for arguments in "checkpoint -s no" "delete -s owned" "rollback -s owned" "rollback -s owned --force" \
    "pin -s owned" "delete -s owned --force"; do
    # shellcheck disable=SC2086
    run as "$stranger" "$scratch/bin/ckpt" ${arguments%% *} -w "$mnt/w" ${arguments#* }
    check_eq "1 1" "$status $(wc -l <<<"$errors")" "ckpt $arguments: $errors"
    check_match "^ckpt: .*you may not.*owner" "$errors" "ckpt $arguments"
done
run as "$stranger" "$scratch/bin/ckpt" fork -w "$mnt/w" -s owned stolen
check "fork is refused ($errors)" test "$status" -eq 1
run as "$stranger" "$scratch/bin/ckpt" fsck --repair --mount "$mnt"
check "fsck --repair is refused ($errors)" test "$status" -eq 1
run as "$stranger" "$scratch/bin/ckpt" init "$mnt/made"
check "init is refused ($errors)" test "$status" -eq 1
refused "ermission denied" as "$stranger" mkdir "$mnt/.snapshots/w/no"
refused "ermission denied" as "$stranger" rmdir "$mnt/.snapshots/w/owned"
refused "ermission denied" as "$stranger" mv "$mnt/.snapshots/w/owned" "$mnt/.snapshots/w/no"
refused "ermission denied" as "$stranger" mv -T "$mnt/.snapshots/w/owned" "$mnt/w"
refused "ermission denied" as "$stranger" mv -T "$mnt/.snapshots/w/owned" "$mnt/w/.snapshots/.live"
refused "ermission denied" as "$stranger" mv -T "$mnt/.snapshots/w/owned" "$mnt/stolen"
for name in message pinned metadata; do
    check_not "$name" as "$stranger" setfattr -n "user.ckptfs.$name" -v 1 "$mnt/.snapshots/w/owned"
done
check_eq "$before" "$(cd "$mnt" && ckpt list --format json && manifest . && manifest .snapshots)" \
    "nothing has changed"
check "a stranger may read what is readable" as "$stranger" cat "$mnt/.snapshots/w/owned/file"
chmod 700 "$mnt/w"
check "checkpoint of a private one" mkdir "$mnt/.snapshots/w/private"
refused "ermission denied" as "$stranger" ls "$mnt/.snapshots/w/private"
refused "you may not" as "$stranger" "$scratch/bin/ckpt" diff -w "$mnt/w" -f private
check "the owner reads it" as "$owner" ls "$mnt/.snapshots/w/private"
