#!/bin/bash
# The backend that a store was made with is recorded and binding: if it is not available, the store is refused
# with the reason, the workspaces concerned and the remedy, and nothing is created in its place.
# shellcheck source=tests/lib/harness.sh
. "$(dirname "${BASH_SOURCE[0]}")/../lib/harness.sh"

store=$scratch/store
mnt=$scratch/mnt
saved=$scratch/saved

# refused_store WHY HINT [OPTIONS]: a mount is refused with one line that holds all it should, and
# leaves the store, the loop devices and the mount point as they were.
refused_store() {
    local why=$1 hint=$2 options=${3-} before
    before=$(contents)
    run mount_store "$store" "$mnt" "$options"
    check_eq 32 "$status" "exit status"
    check_eq 1 "$(wc -l <<<"$errors")" "lines of '$errors'"
    check_match "^ckptfs: .*$why" "$errors" "the reason"
    check_match "$hint" "$errors" "the mend"
    check_eq "$before" "$(contents)" "what is in the store"
    check_eq "" "$(losetup -n -O NAME -j "$store/volumes.img")" "loop devices"
    check_not "a mount is left" mountpoint -q "$mnt"
}

contents() {
    (cd "$store" && find . -type f -printf '%p %s %i\n' | sort &&
        find . -type f ! -name catalog.db-shm -size -64M -print0 | sort -z | xargs -0r sha256sum)
}

# Puts the store back as it was saved.
restore() {
    rm -rf "$store"
    cp -a --sparse=always "$saved" "$store"
}

concerned='concerned: alpha, beta'

test_case "type, selection and time are recorded"
before=$(date +%s)
check "mount" mount_store "$store" "$mnt" size=256M
mkdir "$mnt/alpha" "$mnt/beta" "$mnt/.snapshots/alpha/one"
echo content >"$mnt/alpha/file"
status_json=$(ckpt status --mount "$mnt" --format json)
check_eq btrfs-loop "$(jq -r .backend.type <<<"$status_json")" "type"
check_match '.' "$(jq -r .backend.selection <<<"$status_json")" "selection"
selected=$(date -d "$(jq -r .backend.selected_at <<<"$status_json")" +%s)
check "selected when mounted" test "$selected" -ge $((before - 1)) -a "$selected" -le "$(date +%s)"
check_eq true "$(jq .clean_start <<<"$status_json")" "clean_start"
check_eq '["alpha","beta"]' "$(jq -c '[.workspaces[].name]' <<<"$status_json")" "workspaces"
check "unmount" unmount_store "$store" "$mnt"
row=$(sqlite3 "$store/catalog.db" \
    'SELECT backend_type, backend_selection, backend_selected_ns / 1000000000 FROM store')
check_eq "btrfs-loop|$(jq -r .backend.selection <<<"$status_json")|$selected" "$row" "the row"
cp -a --sparse=always "$store" "$saved"

test_case "a backend asked for that is not the recorded one"
refused_store "its backend is btrfs-loop" "backend=" backend=btrfs-base
check_match btrfs-base "$errors" "the one asked for"
check "the recorded one" mount_store "$store" "$mnt" backend=btrfs-loop
unmount_store "$store" "$mnt"
check "auto" mount_store "$store" "$mnt" backend=auto
check_eq "$(jq -c .backend <<<"$status_json")" \
    "$(ckpt status --mount "$mnt" --format json | jq -c .backend)" "unchanged"
unmount_store "$store" "$mnt"
restore

test_case "the image is missing"
rm "$store/volumes.img"
refused_store "missing.*$concerned" "[Pp]ut the image back"
refused_store "missing" "[Pp]ut the image back" size=256M
refused_store "missing" "[Pp]ut the image back" backend=auto
refused_store "missing" "[Pp]ut the image back" ro
ln -s /nonexistent "$store/volumes.img"
refused_store "not a regular file" "[Pp]ut the image back"
rm "$store/volumes.img"
mkdir "$store/volumes.img"
refused_store "not a regular file" "[Pp]ut the image back"
restore

test_case "the image is cut short"
for size in 200M 1M 65536 4096 0; do
    truncate -s "$size" "$store/volumes.img"
    refused_store "cut short.*$concerned" "[Pp]ut the image back"
done
refused_store "cut short.*$concerned" "[Pp]ut the image back" size=256M
restore

test_case "the image is another filesystem, or none"
truncate -s 0 "$store/volumes.img"
truncate -s 256M "$store/volumes.img"
refused_store "no btrfs filesystem.*$concerned" "[Pp]ut the image back"
mkfs.ext4 -q -F "$store/volumes.img"
refused_store "no btrfs filesystem.*$concerned" "[Pp]ut the image back"
mkfs.btrfs -q -f "$store/volumes.img"
refused_store "$concerned" "another btrfs filesystem"
head -c 1M /dev/urandom | dd of="$store/volumes.img" conv=notrunc status=none
refused_store "no btrfs filesystem.*$concerned" "[Pp]ut the image back"
restore
check "the right one" mount_store "$store" "$mnt"
check_eq content "$(cat "$mnt/alpha/file")" "its content"
unmount_store "$store" "$mnt"

test_case "the recorded type was changed by hand"
for type in btrfs-base dm-snapshot dm-thin nonsense ""; do
    restore
    sqlite3 "$store/catalog.db" "UPDATE store SET backend_type = '$type'"
    refused_store "$concerned" "backend_type"
    check_match "${type:-no such type}" "$errors" "the type"
done
sqlite3 "$store/catalog.db" "UPDATE store SET backend_type = 'btrfs-loop'"
check "changed back" mount_store "$store" "$mnt"
unmount_store "$store" "$mnt"

test_case "devices for a pool are refused where there is none"
restore
run mount_store "$store" "$mnt" pool_data=/dev/null,pool_metadata=/dev/null
check_match "the backend btrfs-loop has no thin pool" "$errors" "the reason"
check_match "Leave them out" "$errors" "what to do"
check_eq 1 "$(wc -l <<<"$errors")" "lines of '$errors'"

test_case "an unknown type is refused for a new store too"
mkdir "$scratch/new"
for type in nonsense zfs-pool BTRFS-LOOP; do
    run mount_store "$scratch/new" "$mnt" "backend=$type,size=256M"
    check "$type is refused" test "$status" -ne 0
    check_eq 1 "$(wc -l <<<"$errors")" "lines of '$errors'"
    check_match "btrfs-loop" "$errors" "which there are"
    check_eq "" "$(ls -A "$scratch/new")" "nothing is made"
done
