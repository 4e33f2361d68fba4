#!/bin/bash
# A volume that is gone makes its snapshot MISSING and affects nothing else; once it is back, all is as
# before.
# shellcheck source=tests/lib/harness.sh
. "$(dirname "${BASH_SOURCE[0]}")/../lib/harness.sh"

store=$scratch/store
mnt=$scratch/mnt
image=$scratch/image
# What an EIO looks like to programs.
io_error="Input/output error"

# missing NAME: what `ckpt list` and the attribute say.
missing() {
    ckpt list -w "$mnt/w" --format json | jq -c --arg name "$1" '.[] | select(.name == $name).missing'
}
volume_of() {
    query "$store" "SELECT s.volume FROM snapshot s JOIN workspace w ON w.id = s.workspace_id
        WHERE w.name = 'w' AND s.name = '$1'"
}

test_case "a store with three snapshots"
check "mount" mount_store "$store" "$mnt"
mkdir "$mnt/w"
for name in one two three; do
    echo "$name" >"$mnt/w/file"
    mkdir "$mnt/.snapshots/w/$name"
done
ckpt checkpoint -w "$mnt/w" -s pinned -m "text" --pin >/dev/null
echo live >"$mnt/w/file"
two=$(manifest "$mnt/.snapshots/w/two")
row=$(ckpt list -w "$mnt/w" --format json | jq -cS '.[] | select(.name == "two")')
check "unmount" unmount_store "$store" "$mnt"
volume_one=$(volume_of one) volume_two=$(volume_of two) volume_pinned=$(volume_of pinned)

test_case "volumes go"
check "open the image" open_image "$store" "$image"
check "delete one" btrfs subvolume delete "$image/volumes/$volume_one"
check "delete pinned" btrfs subvolume delete "$image/volumes/$volume_pinned"
check "move two away" mv "$image/volumes/$volume_two" "$image/volumes/$volume_two.away"
check "something foreign beside them" mkdir "$image/volumes/foreign" "$image/foreign"
echo foreign >"$image/meta/foreign"
echo foreign >"$image/volumes/foreign/file"
close_image "$image"
echo foreign >"$store/foreign"

test_case "their snapshots are missing, and nothing else is"
check "mount" mount_store "$store" "$mnt"
check_eq "true true false true" \
    "$(missing one) $(missing two) $(missing three) $(missing pinned)" "missing"
check_match "MISSING" "$(ckpt list -w "$mnt/w" | grep '^one')" "the list for people"
check_match "data of snapshot w/one is missing.*$volume_one" \
    "$(ckpt status --mount "$mnt" --format json | jq -r '.warnings[]')" "warnings"
check_eq "missing" "$(getfattr --only-values -n user.ckptfs.state "$mnt/.snapshots/w/one")" "state"
check_eq "ok" "$(getfattr --only-values -n user.ckptfs.state "$mnt/.snapshots/w/three")" "state"
check_eq "text" "$(getfattr --only-values -n user.ckptfs.message "$mnt/.snapshots/w/pinned")" \
    "the message of a missing one"
check_eq "one pinned three two" "$(find "$mnt/.snapshots/w" -mindepth 1 -maxdepth 1 -printf '%f\n' |
    sort | xargs)" "names in the list"
check "ls -l of the list" ls -l "$mnt/.snapshots/w"
check_eq live "$(cat "$mnt/w/file")" "the live tree"
check_eq three "$(cat "$mnt/.snapshots/w/three/file")" "another snapshot"

test_case "using one is EIO"
refused "$io_error" ls "$mnt/.snapshots/w/one"
refused "$io_error" cat "$mnt/.snapshots/w/one/file"
refused "$io_error" ls "$mnt/w/.snapshots/two"
refused "$io_error" mv -T "$mnt/.snapshots/w/one" "$mnt/w"
refused "$io_error" mv -T "$mnt/.snapshots/w/one" "$mnt/.snapshots/w/.live"
refused "$io_error" mv -T "$mnt/.snapshots/w/one" "$mnt/forked"
check_eq EIO "$(rename_flags 2 "$mnt/.snapshots/w/one" "$mnt/w")" "exchange"
refused "$io_error" rmdir "$mnt/.snapshots/w/one"
check_not "nothing was forked" test -e "$mnt/forked"
check_eq live "$(cat "$mnt/w/file")" "the live tree"

test_case "ckpt says why, and the way out"
refused "data is missing" ckpt rollback -w "$mnt/w" -s one
check_eq "1 1" "$status $(wc -l <<<"$errors")" "exit status and lines of '$errors'"
check_match "ckpt delete --force" "$errors" "the way out"
refused "data is missing" ckpt fork -w "$mnt/w" -s one forked
refused "data is missing" ckpt diff -w "$mnt/w" -f one
refused "data is missing" ckpt delete -w "$mnt/w" -s one
check_match "ckpt delete --force" "$errors" "the way out"
run ckpt fsck --mount "$mnt"
check_match "one.*missing" "$output" "fsck"
check_eq 1 "$status" "fsck's exit status"
check "show" ckpt show -w "$mnt/w" -s one

test_case "renaming and describing still work"
check "rename" mv "$mnt/.snapshots/w/two" "$mnt/.snapshots/w/zwei"
check "rename back" mv "$mnt/.snapshots/w/zwei" "$mnt/.snapshots/w/two"
check "describe" setfattr -n user.ckptfs.message -v note "$mnt/.snapshots/w/one"

test_case "ckpt delete --force removes the entry"
check "force" ckpt delete -w "$mnt/w" -s one --force
check_not "it is gone" test -e "$mnt/.snapshots/w/one"
check_eq "" "$(missing one)" "in the list"
run ckpt delete -w "$mnt/w" -s pinned --force
check_eq 5 "$status" "a pinned one is kept ($errors)"
check "unpin" ckpt unpin -w "$mnt/w" -s pinned
check "force" ckpt delete -w "$mnt/w" -s pinned --force
check "unmount" unmount_store "$store" "$mnt"
check_eq 0 "$(query "$store" "SELECT count(*) FROM snapshot WHERE volume IN
    ('$volume_one', '$volume_pinned')")" "rows"

test_case "a volume that is back is recovered by the next mount, and what is foreign left alone"
open_image "$store" "$image"
check_eq foreign "$(cat "$image/meta/foreign")" "a foreign file among the sidecars"
check_eq foreign "$(cat "$image/volumes/foreign/file")" "a foreign directory among the volumes"
check "a foreign directory beside them" test -d "$image/foreign"
check "move two back" mv "$image/volumes/$volume_two.away" "$image/volumes/$volume_two"
rm -r "$image/meta/foreign" "$image/volumes/foreign" "$image/foreign"
close_image "$image"
check_eq foreign "$(cat "$store/foreign")" "a foreign file in the store"
check "mount" mount_store "$store" "$mnt"
check_eq false "$(missing two)" "missing"
check_eq "$two" "$(manifest "$mnt/.snapshots/w/two")" "its content"
check_eq "$row" "$(ckpt list -w "$mnt/w" --format json | jq -cS '.[] | select(.name == "two") |
    .parent = "one"')" "its row"
run ckpt fsck --mount "$mnt"
check_eq "0 no problems found" "$status $output" "fsck ($errors)"
check "rollback to it" mv -T "$mnt/.snapshots/w/two" "$mnt/w"
check_eq two "$(cat "$mnt/w/file")" "the live tree"

test_case "a live tree that is gone"
check "unmount" unmount_store "$store" "$mnt"
live=$(query "$store" "SELECT volume FROM workspace WHERE name = 'w'")
open_image "$store" "$image"
check "delete the live volume" btrfs subvolume delete "$image/volumes/$live"
close_image "$image"
check "mount" mount_store "$store" "$mnt"
check_match "data of workspace w is missing" \
    "$(ckpt status --mount "$mnt" --format json | jq -r '.warnings[]')" "warnings"
refused "$io_error" ls "$mnt/w"
refused "$io_error" mkdir "$mnt/.snapshots/w/four"
check_eq three "$(cat "$mnt/.snapshots/w/three/file")" "its snapshots"
check "rollback brings it back" mv -T "$mnt/.snapshots/w/three" "$mnt/w"
check_eq three "$(cat "$mnt/w/file")" "the live tree"
run ckpt fsck --mount "$mnt"
check_eq "0 no problems found" "$status $output" "fsck ($errors)"
unmount_store "$store" "$mnt"

test_case "a volume that nobody knows is reported and left alone"
open_image "$store" "$image"
stranger=$(cat /proc/sys/kernel/random/uuid)
check "make one" btrfs subvolume create "$image/volumes/$stranger"
echo mine >"$image/volumes/$stranger/file"
close_image "$image"
check "mount" mount_store "$store" "$mnt"
check_match "$stranger" "$(ckpt status --mount "$mnt" --format json | jq -r '.warnings[]')" "warnings"
run ckpt fsck --mount "$mnt"
check_match "$stranger" "$output" "fsck"
check_eq 1 "$status" "fsck's exit status"
unmount_store "$store" "$mnt"
open_image "$store" "$image"
check_eq mine "$(cat "$image/volumes/$stranger/file")" "its content"
close_image "$image"
