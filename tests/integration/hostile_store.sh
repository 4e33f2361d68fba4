#!/bin/bash
# A store whose files, directories and image were replaced by an attacker: see the library.
# shellcheck source-path=SCRIPTDIR source=../lib/hostile_store.sh
. "$(dirname "${BASH_SOURCE[0]}")/../lib/hostile_store.sh"

# --- Things of another kind, where files should be ------------------------------------------------------------

for name in catalog.db catalog.db-wal catalog.db-shm catalog.db-journal; do
    test_case "$name"
    for kind in "${kinds[@]}"; do
        restore
        plant "$kind" "$store/$name"
        # shellcheck disable=SC2046 # no path at all, where it is none to watch
        attempt "$kind" "" $(watched "$kind" "$store/$name")
        # A log of zeros, or an index of the log, of any size is none to SQLite.
        if [[ $kind == huge && $name != catalog.db && $name != *journal ]]; then
            either "$kind"
        else
            usable "$kind" "rebuilt from the sidecars"
        fi
    done
    restore
    plant fifo "$store/$name"
    attempt "fifo, ro" ro "$store/$name"
    check_eq mounted "$outcome" "fifo, ro ($errors)"
    check_eq "1 2" "$(content)" "fifo, ro"
    check "fifo, ro: unmount" release
    restore
    plant huge "$store/$name"
    attempt "huge, ro" ro
    either "huge, ro"
done

for name in lock unfinished reserve reserve.new catalog.db.new volumes.img.partial; do
    test_case "$name"
    for kind in "${kinds[@]}"; do
        restore
        plant "$kind" "$store/$name"
        # shellcheck disable=SC2046
        attempt "$kind" "" $(watched "$kind" "$store/$name")
        case $name-$kind in
        lock-huge | reserve-* | reserve.new-* | unfinished-* | volumes.img.partial-*) usable "$kind" ;;
        lock-*) check_eq refused "$outcome" "$kind" ;;
        *) either "$kind" ;;
        esac
    done
done

test_case "volumes.img"
for kind in "${kinds[@]}"; do
    restore
    plant "$kind" "$store/volumes.img"
    # shellcheck disable=SC2046
    attempt "$kind" "" $(watched "$kind" "$store/volumes.img")
    check_eq refused "$outcome" "$kind"
done

test_case "nothing but such things"
for kind in "${kinds[@]}"; do
    rm -rf "$store"
    mkdir "$store"
    for name in lock unfinished catalog.db-wal reserve; do plant "$kind" "$store/$name"; done
    attempt "$kind"
    # A file of any content is a note that a first mount was cut short: it is done anew.
    if [[ $kind == huge ]]; then either "$kind"; else check_eq refused "$outcome" "$kind"; fi
done

# --- In the image --------------------------------------------------------------------------------------------

for name in "meta/$live.json" "meta/$snapshot.json" meta/store.json "meta/$live.json.new" "meta/$snapshot.json.new"; do
    title=${name/$snapshot/SNAPSHOT}
    test_case "${title/$live/LIVE}"
    for kind in fifo directory link huge; do
        restore
        in_image "plant $kind $name"
        attempt "$kind"
        usable "$kind"
        [[ $kind == fifo || $kind == directory ]] || continue
        # Once more, with all sidecars looked at: for a catalog, and after a crash.
        restore
        in_image "plant $kind $name"
        echo 1 >"$store/lock"
        attempt "$kind, after a crash"
        either "$kind, after a crash"
        restore
        in_image "plant $kind $name"
        rm "$store/catalog.db"
        attempt "$kind, without a catalog"
        either "$kind, without a catalog"
    done
done

test_case "directories of the image"
for name in volumes meta; do
    for kind in fifo link directory-link dangling-link; do
        restore
        in_image "mv $name kept && plant $kind $name"
        attempt "$name: $kind"
        check_eq refused "$outcome" "$name: $kind"
    done
done

test_case "volumes"
crafted=(
    "a link in the place of a volume|mv volumes/$live moved && ln -s $outside volumes/$live"
    "a directory in the place of a volume|mv volumes/$live moved && mkdir volumes/$live"
    "a FIFO in the place of a volume|btrfs -q subvolume delete volumes/$snapshot && mkfifo volumes/$snapshot"
    "names that are none|btrfs -q subvolume create volumes/no-uuid && mkdir volumes/..x && mkfifo volumes/-f"
    "a volume in a volume|btrfs -q subvolume create volumes/$live/inner"
    "unlinked files: a link|ln -s $outside/directory volumes/$live/.ckptfs-unlinked"
    "unlinked files: a FIFO|mkfifo volumes/$live/.ckptfs-unlinked"
    "unlinked files: somebody's|mkdir -m 777 volumes/$live/.ckptfs-unlinked && chown 65534 volumes/$live/.ckptfs-unlinked"
    "unlinked files: of all kinds|cd volumes/$live && mkdir -m 700 .ckptfs-unlinked && cd .ckptfs-unlinked && mkdir d d/e && mkfifo 257 && mknod 258 b 240 0 && mknod 259 c 1 5 && ln -s $outside/file 260 && cp /bin/true 261 && chmod 6755 261"
    "names of ours|cd volumes/$live && mkdir .snapshots && mkfifo .ckptfs-control"
    "attributes of ours|setfattr -n trusted.ckptfs.last_path -v \$(printf '../%.0s' {1..1000}) volumes/$live/file"
    "a generation that is none|setfattr -n user.ckptfs.generation -v 99999999999999999999999999999999999999999 meta"
    "a generation beyond all|setfattr -n user.ckptfs.generation -v 18446744073709551615 meta"
    "a generation of text|setfattr -n user.ckptfs.generation -v x meta"
)
for case in "${crafted[@]}"; do
    restore
    in_image "${case#*|}"
    attempt "${case%%|*}"
    either "${case%%|*}"
done
restore
in_image "${crafted[8]#*|}"
attempt "set-id and devices in .ckptfs-unlinked"
check_eq mounted "$outcome" "it is mounted"
check_not "nobody else comes to them" setpriv --reuid=65534 --clear-groups ls "$mnt/w/.ckptfs-unlinked"
check "unmount" release

# --- Images ---------------------------------------------------------------------------------------------------

# scribble SEED COUNT FROM TO: so many blocks of random bytes somewhere in that part of the image.
scribble() {
    python3 - "$store/volumes.img" "$@" <<'PYTHON'
import random, sys
path, (seed, count, begin, end) = sys.argv[1], map(int, sys.argv[2:])
random.seed(seed)
with open(path, "r+b") as image:
    for _ in range(count):
        image.seek(random.randrange(begin, end) & ~511)
        image.write(random.randbytes(512))
PYTHON
}

test_case "a damaged image"
size=$(stat -c %s "$saved/volumes.img")
for seed in 1 2 3; do
    restore
    scribble "$seed" 1 65536 69632
    attempt "superblock, $seed"
    either "superblock, $seed"
    restore
    scribble "$seed" 200 1048576 67108864
    attempt "trees, $seed"
    either "trees, $seed"
done
for bytes in 0 70000 1000000 $((size - 4096)); do
    restore
    truncate -s "$bytes" "$store/volumes.img"
    attempt "cut to $bytes"
    check_eq refused "$outcome" "cut to $bytes"
done
restore
truncate -s 0 "$store/volumes.img"
truncate -s 1T "$store/volumes.img"
attempt "a terabyte of nothing"
check_eq refused "$outcome" "a terabyte of nothing"
restore
mkfs.ext4 -qF "$store/volumes.img"
attempt "ext4"
check_eq refused "$outcome" "ext4"

# --- On btrfs itself ------------------------------------------------------------------------------------------

test_case "btrfs-base"
base=$scratch/base
mkdir "$base"
truncate -s 512M "$scratch/base.img"
mkfs.btrfs -q "$scratch/base.img" >/dev/null
mounts+=("$base")
mount -o loop "$scratch/base.img" "$base"
store=$base/store
saved=$base/saved
check "mount" ckptfs "$store" "$mnt"
mkdir "$mnt/w"
check "checkpoint" mkdir "$mnt/.snapshots/w/a"
check "unmount" release
for name in volumes meta; do
    for kind in fifo link directory-link dangling-link; do
        mv "$store/$name" "$base/kept"
        plant "$kind" "$store/$name"
        attempt "$name: $kind"
        check_eq refused "$outcome" "$name: $kind"
        rm "$store/$name"
        mv "$base/kept" "$store/$name"
    done
done
sidecar=$(find "$store/meta" -name '*-*.json' | head -n 1)
for kind in fifo link huge; do
    cp -p "$sidecar" "$base/kept"
    plant "$kind" "$sidecar"
    echo 1 >"$store/lock"
    attempt "a sidecar: $kind"
    check_eq mounted "$outcome" "a sidecar: $kind ($errors)"
    check "a sidecar: $kind: unmount" release
    check "a sidecar: $kind: written anew" cmp "$sidecar" "$base/kept"
done
