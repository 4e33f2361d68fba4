#!/bin/bash
# Templates of a store on device-mapper: added from a directory, an image and a snapshot, used, verified,
# removed.
# Names here are plain, and `a && b || fail` is meant as it stands.
# shellcheck disable=SC2012,SC2015
# shellcheck source-path=SCRIPTDIR source=../lib/harness.sh
. "$(dirname "${BASH_SOURCE[0]}")/../lib/harness.sh"
has_device_mapper || skip_test "this kernel has no device-mapper; tests/vm runs this"

store=$scratch/store m=$scratch/mnt
mount_store "$store" "$m" "backend=${CKPTFS_TEST_BACKEND:-dm-snapshot},size=256M" || exit 1
cd "$m" || exit 1
names() { ckpt template list --format json | jq -r '[.[].name] | join(" ")'; }
field() { ckpt template list --format json | jq -r ".[] | select(.name == \"$1\") | .$2"; }

test_case "a new store has an empty one"
check_eq default "$(names)" "names"
check_eq "ext4 268435456 0" "$(field default filesystem) $(field default size_bytes) $(field default 'users | length')" "what it is"
mkdir plain
check_eq '' "$(ls -A plain)" "a workspace made from it"
check_eq plain "$(field default 'users[0]')" "its user"

test_case "from a directory"
mkdir -p "$scratch/tree/sub" && echo hello >"$scratch/tree/file" && ln "$scratch/tree/file" "$scratch/tree/hard"
ln -s file "$scratch/tree/soft" && setfattr -n user.a -v b "$scratch/tree/sub" && truncate -s 40M "$scratch/tree/sparse"
run ckpt template add tree "$scratch/tree"
check_eq 0 "$status" "exit status ($errors)"
check_match '^template tree: ext4, 256\.0 MiB, takes [0-9.]+ [KM]iB$' "$output" "what is said"
check_eq "default tree" "$(names)" "names"
run ckpt init --template tree "$m/one"
check_eq "0 made workspace one" "$status $output" "ckpt init ($errors)"
manifest "$scratch/tree" | grep -v '^\. \|^\.\s' >"$scratch/wanted"
manifest one | grep -v '^\. \|^\.\s' >"$scratch/found"
check "all of it" diff "$scratch/wanted" "$scratch/found"
echo changed >one/file
ckpt init --template tree two
check_eq "changed hello" "$(cat one/file two/file | paste -sd ' ')" "each has its own"

test_case "from a snapshot, which it needs no more"
echo more >one/more && rm one/soft && mkdir .snapshots/one/s
run ckpt template add flat --from one/s
check_eq 0 "$status" "exit status ($errors)"
check "its user goes" ckpt delete -w one -s s
check "a workspace from it" ckpt init --template flat three
check_eq "changed more" "$(cat three/file three/more | paste -sd ' ')" "its content"
check_not "what was removed" test -L three/soft
check_eq 2 "$(stat -c %h three/hard)" "hard links"

test_case "from an image"
truncate -s 64M "$scratch/image" && mkfs.ext4 -q -b 4096 "$scratch/image"
mkdir "$scratch/in" && mount -o loop "$scratch/image" "$scratch/in" && echo inside >"$scratch/in/f"
umount "$scratch/in"
check "ckpt template add" ckpt template add image "$scratch/image"
check_eq "67108864 ext4" "$(field image size_bytes) $(field image filesystem)" "what it is"
check "a workspace from it" ckpt init --template image four
check_eq inside "$(cat four/f)" "its content"
if modprobe xfs 2>/dev/null || grep -qw xfs /proc/filesystems; then
    check "of xfs" ckpt template add x "$scratch/tree" --filesystem xfs --size 512M
    check "a workspace from it" ckpt init --template x five
    echo first >five/file && mkdir .snapshots/five/s && echo second >five/file
    check_eq "first second" "$(cat .snapshots/five/s/file five/file | paste -sd ' ')" "a checkpoint of it"
    check "a rollback" mv -T .snapshots/five/s .snapshots/five/.live
    check_eq first "$(cat five/file)" "after the rollback"
    check "deleted" rm -r five/file five/sub five/hard five/soft five/sparse
    for s in .snapshots/five/*; do rmdir "$s"; done
    check "and gone" rmdir five
    check "with its template" ckpt template rm x
fi

test_case "what is refused"
refused "is a template tree already" ckpt template add tree "$scratch/tree"
check_eq 4 "$status" "exit status"
refused "there is neither ext4 nor xfs in it" ckpt template add none "$bin/ckpt"
truncate -s 8M "$scratch/small" && mkfs.ext4 -q -b 1024 "$scratch/small"
refused "has blocks of 1024 bytes; at least 4096 are needed" ckpt template add none "$scratch/small"
truncate -s 32M "$scratch/simple" && mkfs.ext4 -q -b 4096 -O ^has_journal "$scratch/simple"
refused "has no has_journal" ckpt template add none "$scratch/simple"
check_match "tune2fs -O has_journal" "$errors" "what to do"
refused "No such file or directory" ckpt template add none "$scratch/nothing"
refused "there is no template nix" ckpt init --template nix six
check_eq 3 "$status" "exit status"
refused "must not start with a hyphen" ckpt template add -- -x "$scratch/tree"
mkdir "$scratch/bad" "$scratch/bad/.snapshots"
refused ".snapshots" ckpt template add bad "$scratch/bad"
refused "is not of the form WORKSPACE/SNAPSHOT" ckpt template add bad --from one
refused "PATH or --from" ckpt template add bad
check_eq 2 "$status" "exit status"
refused "needs at least 16 MiB" ckpt template add small "$scratch/tree" --size 1M
check_eq "default flat image tree" "$(names)" "names"
check_eq '' "$(find "$store/bases" -name '*.partial')" "nothing is left over"

test_case "removed when nobody needs it"
refused "2 workspaces and snapshots need it: one, two" ckpt template rm tree
check_eq 5 "$status" "exit status"
rm -r four/* && rmdir four
check "the last user is gone" ckpt template rm image
check_eq "default flat tree" "$(names)" "names"
refused "there is no such template" ckpt template rm image
check_eq 3 "$(find "$store/bases" -name '*.img' | wc -l)" "images"

test_case "what it costs"
check_match 'tree +256\.0 MiB +[0-9.]+ [KM]iB' "$(ckpt df)" "ckpt df"
check_match '\(live\) +[0-9.]+ [KM]iB' "$(ckpt df --snapshots)" "ckpt df --snapshots"

test_case "one loop device for all that share one"
check_eq 1 "$(losetup -nO BACK-FILE | grep -c "$(field tree id)")" "loop devices of template tree"

test_case "they stay over a new mount"
cd / && check "unmount" unmount_store "$store" "$m" && mount_store "$store" "$m" || exit 1
cd "$m" || exit 1
check_eq "default flat tree" "$(names)" "names"
check_eq "hello more" "$(cat two/file three/more | paste -sd ' ')" "contents"

test_case "a lost catalog"
cd / && check "unmount" unmount_store "$store" "$m"
rm "$store/catalog.db" && mount_store "$store" "$m" size=256M || exit 1
cd "$m" || exit 1
check_eq "default flat tree" "$(names)" "names"
check_eq "hello more" "$(cat two/file three/more | paste -sd ' ')" "contents"

test_case "a template that the catalog has forgotten, and a workspace needs"
cd / && check "unmount" unmount_store "$store" "$m"
query "$store" "DELETE FROM template WHERE name = 'flat'"
mount_store "$store" "$m" || exit 1
check_eq "default tree" "$(ckpt template list --mount "$m" --format json | jq -r '[.[].name] | join(" ")')" "names"
check_eq more "$(cat "$m/three/more")" "the workspace"
check_match "template flat .* has no entry in the catalog" "$(ckpt fsck --mount "$m" 2>&1)" "ckpt fsck"
check_match "template flat has an entry" "$(ckpt fsck --repair --mount "$m")" "ckpt fsck --repair"
check_eq "default flat tree" "$(ckpt template list --mount "$m" --format json | jq -r '[.[].name] | join(" ")')" "names"
cd "$m" || exit 1

test_case "an image that has changed is refused, and what is made from another is not"
image=$store/bases/$(field flat id).img
cd / && check "unmount" unmount_store "$store" "$m"
chmod u+w "$image" && printf x | dd of="$image" bs=1 seek=100000000 conv=notrunc status=none
mount_store "$store" "$m" || exit 1
check_eq hello "$(cat "$m/two/file")" "another workspace"
check_not "the one that needs it" cat "$m/three/file"
check_match "template flat.*has changed: its content" "$(ckpt status --mount "$m" --format json | jq -r '.warnings[]')" "the reason"
refused "has changed" ckpt init --template flat "$m/six"
check_match "template flat: its image .* has changed" "$(ckpt fsck --mount "$m" 2>&1)" "ckpt fsck"
check "the rest can be unmounted" unmount_store "$store" "$m"
printf '\0' | dd of="$image" bs=1 seek=100000000 conv=notrunc status=none
mount_store "$store" "$m" || exit 1
check_eq more "$(cat "$m/three/more")" "put back"

test_case "a copy of the store works, though its files are others"
check "unmount" unmount_store "$store" "$m"
cp -a --sparse=always "$store" "$scratch/copy"
mount_store "$scratch/copy" "$m" || exit 1
check_eq "hello more" "$(cat "$m/two/file" "$m/three/more" | paste -sd ' ')" "contents"
check "unmount" unmount_store "$scratch/copy" "$m"
mount_store "$store" "$m" || exit 1

test_case "nothing is left over"
check "unmount" unmount_store "$store" "$m"
check_eq '' "$(dmsetup ls | grep CKPTFS)" "devices"
check_eq '' "$(losetup -nO BACK-FILE | grep "$store")" "loop devices"

test_case "a store without templates says so"
mount_store "$scratch/btrfs" "$m" backend=btrfs-loop || exit 1
refused "the backend btrfs-loop has no templates" ckpt template add --mount "$m" tree "$scratch/tree"
check_eq '[]' "$(ckpt template list --mount "$m" --format json)" "list"
check "unmount" unmount_store "$scratch/btrfs" "$m"
