#!/bin/bash
# Long calls are done in pieces: the result is the same, and a checkpoint of the same workspace, which waits
# for a piece, need not wait for the whole call.
# shellcheck source-path=SCRIPTDIR source=../lib/harness.sh
. "$(dirname "${BASH_SOURCE[0]}")/../lib/harness.sh"

[[ -x $bin/storms ]] || skip_test "the program storms is not built"
store=$scratch/store m=$scratch/mnt
serve_store "$store" "$m" "$scratch/log" size=12G
cd "$m" || exit 1
mkdir W

test_case "a file of many pieces, made shorter"
# Data, a hole of 1 TiB, and data: 30 MiB in blocks that lie apart.
scattered() {
    python3 - "$1" <<'PYTHON'
import os, sys
fd = os.open(sys.argv[1], os.O_CREAT | os.O_RDWR)
for base in (0, 1 << 40):
    for i in range(4000):
        os.pwrite(fd, b"%04d" % i * 1024, base + i * 8192)
os.fsync(fd)
PYTHON
}
scattered W/scattered
truncate -s 1M W/scattered
check_eq 1048576 "$(stat -c %s W/scattered)" "its size"
check_eq 0127 "$(tail -c +$((127 * 8192 + 1)) W/scattered | head -c 4)" "the last block that is left"
scattered W/scattered
truncate -s $((1 << 39)) W/scattered
check_eq $((1 << 39)) "$(stat -c %s W/scattered)" "its size, cut in the hole"
check_eq 3999 "$(tail -c +$((3999 * 8192 + 1)) W/scattered | head -c 4)" "what is before"
scattered W/scattered
: >W/scattered
check_eq "0 0" "$(stat -c '%s %b' W/scattered)" "truncated by an open"
scattered W/scattered
cp W/scattered W/other
check "removed" rm W/scattered
check_not "and gone" test -e W/scattered
scattered W/scattered
mv W/other W/scattered
check_eq "3999" "$(tail -c +$((3999 * 8192 + 1)) W/scattered | head -c 4)" "replaced"

test_case "a large range, allocated, made a hole and filled with zeros"
head -c 40M /dev/urandom >W/range && cp W/range "$scratch/range"
for how in "-p -o 1000 -l 30000000" "-z -o 5000 -l 33000001" "-l 100000000"; do
    # shellcheck disable=SC2086
    check "fallocate $how" fallocate $how W/range
    # shellcheck disable=SC2086
    fallocate $how "$scratch/range"
    check "the same as elsewhere" cmp W/range "$scratch/range"
done
run fallocate -l 1T W/too-large
check_match "No space left" "$errors" "more than there is"
check_eq 0 "$(stat -c %b W/too-large)" "of which nothing has been done"

test_case "a large copy"
head -c 300M /dev/urandom >W/from
python3 - <<'PYTHON'
import os
source, target = os.open("W/from", os.O_RDONLY), os.open("W/to", os.O_CREAT | os.O_RDWR)
for begin, to in ((0, 0), (1, 300 << 20)):
    done = 0
    while copied := os.copy_file_range(source, target, (300 << 20) - begin - done, begin + done, to + done):
        done += copied
PYTHON
check "its data, shared" cmp -n $((300 << 20)) W/from W/to
check "and copied" cmp <(tail -c +2 W/from) <(tail -c +$(((300 << 20) + 1)) W/to)
rm W/from W/to

# longest N: the longest of so many checkpoints, in ms.
longest() {
    storms checkpoints W --snapshots .snapshots/W --prefix "$RANDOM" --count "$1" | sort -n | tail -n 1 |
        awk '{ print int($1 / 1000) }'
}
# Without pieces it takes seconds, and on a busy machine more. (Large fsyncs of the workspace's own are none of
# this: a checkpoint has to write what is dirty, so it takes as long as the disk. neighbour.sh has others'.)
test_case "checkpoints beside large copies"
mkdir W/large-copies
background storms large-copies W/large-copies --mib 600 >"$scratch/out"
await 120 "it begins" grep -q ready "$scratch/out"
sleep 1
took=$(longest 10)
echo "the longest of 10 took $took ms"
check "the longest took $took ms" test "$took" -lt 4000
kill "${processes[-1]}"
wait "${processes[-1]}" 2>/dev/null

test_case "a large file without checksums, opened after it was unlinked"
python3 - "$scratch/out" <<'PYTHON' &
import array, fcntl, os, sys, time
os.close(os.open("W/late", os.O_CREAT | os.O_RDWR))
path = os.open("W/late", os.O_PATH)
os.unlink("W/late")
fd = os.open(f"/proc/self/fd/{path}", os.O_RDWR)
fcntl.ioctl(fd, 0x40086602, array.array("l", [0x800000]))  # FS_IOC_SETFLAGS, FS_NOCOW_FL
for i in range(400):
    os.write(fd, b"%07d\n" % i * (1 << 17))
with open(sys.argv[1], "w") as out:
    out.write("written\n")
time.sleep(1000)
PYTHON
processes+=($!)
await 120 "it is written" grep -q written "$scratch/out"
free_mib() { sync "$m" && echo $(($(stat -f -c '%f * %S / 1048576' "$m"))); }
free=$(free_mib)
begin=${EPOCHREALTIME/./}
mkdir .snapshots/W/late
echo "the checkpoint took $(((${EPOCHREALTIME/./} - begin) / 1000)) ms"
name=$(ckpt show -w W -s late --format json | jq -r '.unlinked_files[0].name')
copy=.snapshots/W/late/.ckptfs-unlinked/$name
check_eq $((400 << 20)) "$(stat -c %s "$copy")" "its size in a checkpoint"
check_eq 0000399 "$(tail -n 1 "$copy")" "its end"
check_not "nothing was left out" grep -q "too long" "$scratch/log"
taken=$((free - $(free_mib)))
check "its data are shared: $taken MiB were taken" test "$taken" -lt 100
cd / || exit 1
