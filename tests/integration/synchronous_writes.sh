#!/bin/bash
# A write with O_SYNC, O_DSYNC, RWF_SYNC or RWF_DSYNC is durable when it returns, whichever way the file's
# data goes: a copy of the image made then, as after a power failure, contains it.
# shellcheck source-path=SCRIPTDIR source=../lib/harness.sh
. "$(dirname "${BASH_SOURCE[0]}")/../lib/harness.sh"

if [[ -n ${CKPTFS_TEST_BACKEND-} ]]; then skip_test "it looks into the image of btrfs-loop"; fi
store=$scratch/store m=$scratch/mnt

# write_all DIRECTORY: prints the files, a line each, that were written to.
write_all() {
    python3 - "$1" <<'PYTHON'
import array, fcntl, os, sys
os.chdir(sys.argv[1])
get_flags, set_flags, append = 0x80086601, 0x40086602, 0x20
kinds = ["plain", "large", "small with a reader", "set-id", "append-only", "append-only with a reader"]
ways = {"neither": (0, 0), "O_SYNC": (os.O_SYNC, 0), "O_DSYNC": (os.O_DSYNC, 0),
        "RWF_SYNC": (0, os.RWF_SYNC), "RWF_DSYNC": (0, os.RWF_DSYNC)}
readers = []

def make(kind, name):
    with open(name, "w") as file:
        file.write("old" + ("." * 300000 if kind == "large" else ""))
    if kind == "set-id":
        os.chmod(name, 0o6755)
    if kind.startswith("append"):
        fd = os.open(name, os.O_RDONLY)
        flags = array.array("l", [0])
        fcntl.ioctl(fd, get_flags, flags)
        flags[0] |= append
        fcntl.ioctl(fd, set_flags, flags)
        os.close(fd)

def write(kind, name, open_flags, write_flags):
    if kind.endswith("reader"):
        readers.append(os.open(name, os.O_RDONLY))
        os.read(readers[-1], 100)
    if kind.startswith("append"):
        open_flags |= os.O_APPEND
    fd = os.open(name, os.O_WRONLY | open_flags)
    os.pwritev(fd, [b"new"], 0, write_flags)
    os.close(fd)

every = [(kind, f"{kind}, {way}", *flags) for way, flags in ways.items() for kind in kinds]
for kind, name, _, _ in every:
    make(kind, name)
os.mkdir("../.snapshots/w/before")  # on disk, with all that is in the workspace
for kind, name, open_flags, write_flags in every:
    write(kind, name, open_flags, write_flags)
    print(name)
PYTHON
}

# look_at_copy NAMES: writes "NAME: CONTENT" of each in a copy of the image to $scratch/found.
look_at_copy() {
    local name live
    cp --sparse=always "$store/volumes.img" "$scratch/copy.img"
    mkdir -p "$scratch/copy"
    mounts+=("$scratch/copy")
    mount -o loop "$scratch/copy.img" "$scratch/copy" ||
        skip_test "this kernel mounts no copy of a btrfs beside it"
    live=$scratch/copy/volumes/$(query "$store" "SELECT volume FROM workspace WHERE name = 'w'")
    while read -r name; do
        echo "$name: $(tr -d . <"$live/$name")"
    done <<<"$1" >"$scratch/found"
    umount "$scratch/copy"
    rm "$scratch/copy.img"
}

# check_all: writes to each kind of file, and looks at a copy of the image. If what nobody synced is there
# too, the filesystem has written out all, which it does now and then, and nothing is shown: once more.
check_all() {
    local names expected attempt
    for attempt in {1..10}; do
        names=$(write_all "$m/w")
        look_at_copy "$names"
        chattr -a "$m"/w/append*
        rm "$m"/w/*
        rmdir "$m/.snapshots/w/before"
        grep -q 'neither: .*new' "$scratch/found" || break
    done
    expected=$(sed -E 's/^(append.*)$/\1: oldnew/; t; s/$/: new/' <<<"$names" |
        sed -E '/neither/ s/: .*/: old/')
    check_eq 30 "$(wc -l <<<"$names")" "files"
    check_eq "$expected" "$(<"$scratch/found")" "what is on the disk, at attempt $attempt"
}

test_case "with passthrough"
mount_store "$store" "$m" || exit
mkdir "$m/w"
check_all
unmount_store "$store" "$m"

test_case "without passthrough"
mounts+=("$m")
"$harness_directory/without-passthrough" "$bin/ckptfs" "$store" "$m" || exit
check_all
unmount_store "$store" "$m"
