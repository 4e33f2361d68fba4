#!/bin/bash
# A file that is open for reading continues to work in every way when the state that it belongs to is deleted.
# shellcheck source-path=SCRIPTDIR source=../lib/harness.sh
. "$(dirname "${BASH_SOURCE[0]}")/../lib/harness.sh"

# used FILE SIZE COMMAND...: opens FILE, runs COMMAND, and uses the file in each way that there is.
used() {
    python3 - "$@" <<'PYTHON'
import os, subprocess, sys
path, size, command = sys.argv[1], int(sys.argv[2]), sys.argv[3:]
fd = os.open(path, os.O_RDONLY)
subprocess.run(["sh", "-c", *command], check=True)
assert os.fstat(fd).st_size == size
assert os.pread(fd, 4, 0) == b"data"
assert os.lseek(fd, 0, os.SEEK_DATA) == 0
os.fsync(fd)
copy = os.open("/proc/self/fd/%d" % fd, os.O_RDONLY)
assert os.pread(copy, 4, 0) == b"data"
os.listxattr(fd)
PYTHON
}

for how in "" without-passthrough; do
    store=$scratch/store$how m=$scratch/mnt$how
    test_case "${how:-with passthrough}"
    serve_store "$store" "$m" "$scratch/log" noatime ${how:+"$harness_directory/$how"}
    mkdir "$m/w"
    for size in 4096 1000000; do
        printf data >"$m/w/file"
        truncate -s "$size" "$m/w/file"
        mkdir "$m/.snapshots/w/s"
        check "a file of a snapshot, $size bytes" used "$m/.snapshots/w/s/file" "$size" \
            "rmdir '$m/.snapshots/w/s'"
        mkdir "$m/.snapshots/w/s"
        echo changed >"$m/w/other-$size"
        check "a file of a state that was replaced, $size bytes" used "$m/w/file" "$size" \
            "mv -T '$m/.snapshots/w/s' '$m/.snapshots/w/.live' && rmdir '$m'/.snapshots/w/pre-*"
        rmdir "$m/.snapshots/w/s"
    done
    unmount_store "$store" "$m"
done
