#!/bin/bash
# A damaged or lost catalog.db is set aside and rebuilt from the sidecars, with every name, parent, message,
# metadata and pin. A damaged sidecar affects only itself. An old catalog.db, restored from a backup, makes
# the store read-only until it is repaired.
# shellcheck source=tests/lib/harness.sh
. "$(dirname "${BASH_SOURCE[0]}")/../lib/harness.sh"

store=$scratch/store
mnt=$scratch/mnt
image=$scratch/image
saved=$scratch/saved

# All that is to survive. Of the directories in .snapshots the times do not.
everything() {
    (cd "$mnt" && ckpt list --format json) | jq -cS 'sort_by(.workspace, .name)[]'
    ckpt status --mount "$mnt" --format json | jq -cS '.backend, .workspaces'
    manifest "$mnt"
    manifest "$mnt/.snapshots" | sed -E 's|^(\./[^/\t]*\t.*) [0-9.]+ *$|\1|'
    stat -c '%n %a %u:%g %i' "$mnt" "$mnt"/* "$mnt"/.snapshots/*/*
}
warnings() { ckpt status --mount "$mnt" --format json | jq -r '.warnings[]'; }
restore() {
    rm -rf "$store"
    cp -a --sparse=always "$saved" "$store"
}

test_case "a store with everything in it"
check "mount" mount_store "$store" "$mnt" size=256M
chmod 1777 "$mnt"
mkdir "$mnt/w" "$mnt/other" "$mnt/empty" "$mnt/käse & brot"
chown 1000:1000 "$mnt/other"
chmod 750 "$mnt/other"
head -c 100000 /dev/urandom >"$mnt/w/data"
ckpt checkpoint -w "$mnt/w" -s first -m $'two\nlines, "quoted"' --metadata '{"a": {"b": [1, null]}}' \
    >/dev/null
echo 2 >"$mnt/w/file"
ckpt checkpoint -w "$mnt/w" -s second --pin >/dev/null
mkdir "$mnt/.snapshots/w/ name with spaces " "$mnt/.snapshots/käse & brot/ünïcödé"
mv -T "$mnt/.snapshots/w/first" "$mnt/w"
echo 3 >"$mnt/w/file"
mv -T "$mnt/.snapshots/w/second" "$mnt/fork"
mkdir "$mnt/.snapshots/fork/of the fork"
mv "$mnt/.snapshots/w/second" "$mnt/.snapshots/w/second renamed"
setfattr -n user.ckptfs.message -v later "$mnt/.snapshots/fork/of the fork"
mv -T "$mnt/empty" "$mnt/empty renamed"
mkdir "$mnt/.snapshots/w/gone"
rmdir "$mnt/.snapshots/w/gone"
# What is older than the catalog's last transaction is in the log only.
sleep 0.5
expected=$(everything)
check "unmount" unmount_store "$store" "$mnt"
cp -a --sparse=always "$store" "$saved"

# rebuilt WHAT: the next mount rebuilds the catalog, says so, and all is there; twice.
rebuilt() {
    local what=$1
    check "$what: mount" mount_store "$store" "$mnt"
    check_match "rebuilt from the sidecars" "$(warnings)" "$what: warnings"
    check_eq "$expected" "$(everything)" "$what: what is there"
    run ckpt fsck --mount "$mnt"
    check_eq "0 no problems found" "$status $output" "$what: fsck ($errors)"
    check "$what: writable" mkdir "$mnt/.snapshots/w/after"
    check "$what: deletable" rmdir "$mnt/.snapshots/w/after"
    check "$what: unmount" unmount_store "$store" "$mnt"
    check "$what: mount again" mount_store "$store" "$mnt"
    check_not "$what: rebuilt twice" grep -q rebuilt <<<"$(warnings)"
    check "$what: unmount again" unmount_store "$store" "$mnt"
}

# set_aside WHAT: what was there before is kept.
set_aside() {
    checks=$((checks + 1))
    compgen -G "$store/catalog.db.damaged-*" >/dev/null || fail "$1: it is not set aside"
}

test_case "zeros in place of it"
size=$(stat -c %s "$store/catalog.db")
head -c "$size" /dev/zero >"$store/catalog.db"
rebuilt zeros
set_aside zeros
check "the very zeros" cmp "$store"/catalog.db.damaged-* <(head -c "$size" /dev/zero)
restore

test_case "empty"
: >"$store/catalog.db"
rebuilt empty
restore

test_case "cut short"
truncate -s 6000 "$store/catalog.db"
rebuilt truncated
set_aside truncated
restore

test_case "garbage in the middle"
head -c 8192 /dev/urandom | dd of="$store/catalog.db" bs=4096 seek=2 conv=notrunc status=none
rebuilt garbage
set_aside garbage
restore

test_case "a text file"
echo "no database" >"$store/catalog.db"
rebuilt text
set_aside text
restore

test_case "a database of something else"
rm "$store/catalog.db"
sqlite3 "$store/catalog.db" 'CREATE TABLE t (a); INSERT INTO t VALUES (1)'
rebuilt "another database"
set_aside "another database"
restore

test_case "gone"
rm "$store/catalog.db"
rebuilt gone
restore

test_case "gone, with nocreate"
rm "$store/catalog.db"
check "mount" mount_store "$store" "$mnt" nocreate
check_eq "$expected" "$(everything)" "what is there"
unmount_store "$store" "$mnt"
restore

test_case "after kill -9: with a log, without the database"
for damage in delete zeros delete-both; do
    check "mount" mount_store "$store" "$mnt"
    touch -d @1000000000 "$mnt/w/data"
    mkdir "$mnt/.snapshots/w/last"
    sync -f "$mnt/w/data"
    now=$(everything)
    kill_daemon "$store"
    case $damage in
    delete) rm "$store/catalog.db" ;;
    zeros) head -c 8192 /dev/zero | dd of="$store/catalog.db" conv=notrunc status=none ;;
    delete-both) rm "$store"/catalog.db* ;;
    esac
    check "$damage: mount" mount_store "$store" "$mnt"
    # The log may hold the whole database: then nothing is lost, and nothing has to be rebuilt.
    check_eq "$now" "$(everything)" "$damage: what is there"
    run ckpt fsck --mount "$mnt"
    check_eq "0 no problems found" "$status $output" "$damage: fsck ($errors)"
    unmount_store "$store" "$mnt"
    restore
done

test_case "a damaged sidecar costs nothing while the catalog is there"
volume=$(query "$store" "SELECT volume FROM snapshot WHERE name = 'second renamed'")
open_image "$store" "$image"
echo '{"half":' >"$image/meta/$volume.json"
close_image "$image"
check "mount" mount_store "$store" "$mnt"
check_eq "$expected" "$(everything)" "what is there"
refused "problem" ckpt fsck --mount "$mnt"
check "repair" ckpt fsck --mount "$mnt" --repair
check_eq "$expected" "$(everything)" "what is there"
run ckpt fsck --mount "$mnt"
check_eq "0 no problems found" "$status $output" "fsck ($errors)"
unmount_store "$store" "$mnt"

test_case "a damaged sidecar and no catalog: only that name is lost"
for damage in text zeros gone; do
    restore
    open_image "$store" "$image"
    case $damage in
    text) echo '{"half":' >"$image/meta/$volume.json" ;;
    zeros) head -c 300 /dev/zero >"$image/meta/$volume.json" ;;
    gone) rm "$image/meta/$volume.json" ;;
    esac
    close_image "$image"
    rm "$store/catalog.db"
    check "$damage: mount" mount_store "$store" "$mnt"
    check_eq "$(grep -v '"second renamed"' <<<"$expected" | grep -c '"workspace":')" \
        "$(everything | grep '"workspace":' | grep -vc '"recovered-')" "$damage: other snapshots"
    # Whose it is, is guessed from what derives from it: of w itself and of a fork.
    check_eq 1 "$(find "$mnt/.snapshots" -mindepth 2 -maxdepth 2 -name 'recovered-*' | wc -l)" \
        "$damage: the one without a name"
    check_eq 2 "$(cat "$mnt/.snapshots"/*/recovered-*/file)" "$damage: its content"
    check_match "$volume" "$(warnings)" "$damage: warnings"
    unmount_store "$store" "$mnt"
done
restore

test_case "a catalog put back from a backup: read-only until it is repaired"
check "mount" mount_store "$store" "$mnt"
mkdir "$mnt/.snapshots/w/new"
setfattr -n user.ckptfs.message -v "since the backup" "$mnt/.snapshots/w/new"
mkdir "$mnt/new workspace"
rmdir "$mnt/.snapshots/w/ name with spaces "
sleep 0.5
now=$(everything)
unmount_store "$store" "$mnt"
cp "$saved/catalog.db" "$store/catalog.db"
check "mount" mount_store "$store" "$mnt"
check_match "older than the store" "$(warnings)" "warnings"
refused "Read-only file system" mkdir "$mnt/.snapshots/w/x"
refused "Read-only file system" rmdir "$mnt/.snapshots/w/first"
refused "Read-only file system" touch "$mnt/w/x"
refused "Read-only file system" mkdir "$mnt/x"
refused "Read-only file system" mv -T "$mnt/.snapshots/w/first" "$mnt/w"
check "reading goes on" cat "$mnt/w/file"
unmount_store "$store" "$mnt"
check "mount again" mount_store "$store" "$mnt"
check_match "older than the store" "$(warnings)" "warnings, at the second mount"
run ckpt fsck --mount "$mnt" --repair
check "repair ($output$errors)" test "$status" -eq 0 -o -n "$output"
unmount_store "$store" "$mnt"
check "mount after the repair" mount_store "$store" "$mnt"
check "writable" mkdir "$mnt/.snapshots/w/x"
rmdir "$mnt/.snapshots/w/x"
check_eq "$(grep '"workspace":' <<<"$now")" \
    "$(everything | grep '"workspace":' | grep -v '" name with spaces "')" "snapshots"
check "the workspace made since" test -d "$mnt/new workspace"
unmount_store "$store" "$mnt"
