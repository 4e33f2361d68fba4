#!/bin/bash
# A store that runs full: writers get the same error as on any disk, and deleting frees space.
# shellcheck source=tests/lib/harness.sh
. "$(dirname "${BASH_SOURCE[0]}")/../lib/harness.sh"

store=$scratch/store
mnt=$scratch/mnt
mount_store "$store" "$mnt" size=256M || exit
mkdir "$mnt/w"

# fill HOW FILE: writes until it fails; prints how.
fill() {
    python3 - "$@" <<'PYTHON'
import errno, mmap, os, sys
how, path = sys.argv[1:]
fd = os.open(path, os.O_RDWR | os.O_CREAT, 0o644)
block = os.urandom(1 << 20)
try:
    if how == "write":
        while True:
            os.write(fd, block)
    elif how == "fsync":
        while True:
            os.write(fd, block)
            os.fsync(fd)
    elif how == "fallocate":
        for offset in range(1 << 12):
            os.posix_fallocate(fd, offset << 20, 1 << 20)
    elif how == "direct":
        fd = os.open(path, os.O_RDWR | os.O_DIRECT)
        page = mmap.mmap(-1, 1 << 20)
        page.write(block)
        for offset in range(1 << 12):
            os.pwritev(fd, [page], offset << 20)
    elif how == "mmap":
        size = 1 << 30
        os.ftruncate(fd, size)
        with mmap.mmap(fd, size) as mapping:
            for offset in range(0, size, 1 << 20):
                mapping[offset:offset + len(block)] = block
    print("0")
except OSError as error:
    print(errno.errorcode[error.errno])
PYTHON
    local code=$?
    ((code == 0)) || echo "signal $((code - 128))"
}

for how in write fsync fallocate direct; do
    test_case "$how until the disk is full"
    check_eq ENOSPC "$(fill "$how" "$mnt/w/$how")" "$how on a full disk"
    check "what is there can be read" cat "$mnt/w/$how"
    check "a file can be deleted" rm "$mnt/w/$how"
    sync -f "$mnt"
    # Files have room again when they are closed, of which the kernel tells a FUSE filesystem without waiting for it.
    await 5 "there is room again" dd if=/dev/urandom of="$mnt/w/again" bs=1M count=20 status=none
    check "... and stays there" cmp -n $((20 << 20)) "$mnt/w/again" "$mnt/w/again"
    rm "$mnt/w/again"
done

test_case "a mapped store without room is a bus error"
check_eq "signal 7" "$(fill mmap "$mnt/w/mapped" 2>/dev/null)" "mapped store on a full disk"
check "the file can be deleted" rm "$mnt/w/mapped"
await 5 "there is room again" dd if=/dev/urandom of="$mnt/w/again" bs=1M count=20 status=none
rm "$mnt/w/again"

# MiB that df says are free.
room() { df --output=avail -m "$mnt" | tail -n 1; }
has_room() { (($(room) >= $1)); }

test_case "df tells soon what a removal gives back"
check_eq ENOSPC "$(fill write "$mnt/w/large")" "the disk is full"
# As btrfs would do by itself every half minute: so it is not about to.
sync
check "df: $(room) MiB are left" test "$(room)" -lt 16
size=$(($(stat -c %s "$mnt/w/large") >> 20))
check "remove it" rm "$mnt/w/large"
await 3 "df tells of $((size / 2)) MiB" has_room $((size / 2))
for ((i = 0; i < 3; i++)); do
    check_eq ENOSPC "$(fill write "$mnt/w/a$i")" "full again"
    rm "$mnt/w/a$i"
    await 3 "df tells of it, too ($i)" has_room $((size / 2))
done

test_case "metadata"
check_eq ENOSPC "$(fill write "$mnt/w/ballast")" "the disk is full"
check "names can be listed" ls -la "$mnt/w"
check "a full disk can be unmounted" unmount_store "$store" "$mnt"
mount_store "$store" "$mnt" || exit
check "and mounted, and freed" rm "$mnt/w/ballast"
await 5 "there is room again" dd if=/dev/urandom of="$mnt/w/again" bs=1M count=20 status=none
