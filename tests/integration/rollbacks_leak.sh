#!/bin/bash
# Rollbacks in a row, each after changes, with files opened and closed and directories kept in use across
# them: nothing may accumulate in the daemon or in the store. CKPTFS_ROLLBACKS: number of rollbacks (300; the
# promise covers 10,000).
# shellcheck source-path=SCRIPTDIR source=../lib/harness.sh
. "$(dirname "${BASH_SOURCE[0]}")/../lib/harness.sh"

store=$scratch/store m=$scratch/mnt
rollbacks=${CKPTFS_ROLLBACKS:-300}
warm_up=100

cat >"$scratch/loop.py" <<'PYTHON'
# loop.py MOUNT FIRST COUNT HOW: rolls W back to s, COUNT times, with changes before each.
import ctypes, os, subprocess, sys
mount, first, count, how = sys.argv[1], int(sys.argv[2]), int(sys.argv[3]), sys.argv[4]
libc = ctypes.CDLL(None, use_errno=True)
workspace, snapshot = mount + "/W", mount + "/.snapshots/W/s"
os.chdir(workspace + "/d")  # and stays there
handle = os.open(".", os.O_RDONLY)
block = os.urandom(256 << 10)

for turn in range(first, first + count):
    for name in ("f", "e"):
        with open(name, "wb") as file:
            file.write(block)
    with open("new-%d" % turn, "wb") as file:  # never asked for again
        file.write(block)
    os.mkdir("sub-%d" % turn)
    os.symlink("f", "link-%d" % turn)
    for name in os.listdir("."):
        os.stat(name)
    with open("f", "rb") as file:
        file.read()
        if turn % 3 == 0:  # open across the rollback
            kept_open = os.open("e", os.O_RDONLY)
    writer = None
    if turn % 10 == 7:  # and for writing
        writer = os.open("f", os.O_RDWR)
        subprocess.run(["ckpt", "rollback", "--force", "-s", "s"], check=True, stdout=subprocess.DEVNULL)
        os.pwrite(writer, b"late", 0)
        os.close(writer)
        if how == "undo-off":  # what it wrote late is kept all the same
            kept = os.listdir(mount + "/.snapshots/W")
            kept.remove("s")
            os.rmdir(mount + "/.snapshots/W/" + kept[0])
    else:
        # By name, the root gets a new node, and the kernel drops all that it knows below the old.
        by_name = how == "undo-on" and turn % 5 == 0
        target = workspace if by_name else mount + "/.snapshots/W/.live"
        os.rename(snapshot, target)
        if by_name:
            os.chdir(workspace + "/d")
    if turn % 3 == 0:
        os.fstat(kept_open)
        os.read(kept_open, 10)
        os.close(kept_open)
    names = sorted(os.listdir(workspace + "/d"))
    assert names == ["e", "f"], names
    with open(workspace + "/d/f", "rb") as file:
        assert file.read() == b"first\n"
PYTHON

pid=''
# In KiB.
memory() { awk '/^VmRSS/ {print $2}' "/proc/$pid/status"; }
descriptors() { find "/proc/$pid/fd" -mindepth 1 | wc -l; }
used_mib() { df --output=used -m "$m" | tail -n 1 | tr -d ' '; }

uses_no_more_than() { (($(used_mib) <= $1)); }

# settle: waits until what is done in the background is done.
settle() {
    sync -f "$m/W"
    sleep 1
}

# loop HOW OPTIONS: a mount, a warm-up, and the rollbacks, with figures before and after.
loop() {
    local how=$1 options=$2 start=$SECONDS
    local memory_before descriptors_before used_before memory_after descriptors_after used_after
    mount_store "$store" "$m" "$options" || exit 1
    pid=$(daemon_pid "$store")
    if [[ ! -d $m/W ]]; then
        mkdir -p "$m/W/d" && echo first >"$m/W/d/f" && echo first >"$m/W/d/e"
        mkdir "$m/.snapshots/W/s"
    fi
    check "the warm-up" python3 "$scratch/loop.py" "$m" 0 $warm_up "$how"
    settle
    memory_before=$(memory) descriptors_before=$(descriptors) used_before=$(used_mib)
    check "$rollbacks rollbacks" python3 "$scratch/loop.py" "$m" $warm_up "$rollbacks" "$how"
    settle
    memory_after=$(memory) descriptors_after=$(descriptors) used_after=$(used_mib)
    echo "$rollbacks rollbacks, $how: memory $memory_before to $memory_after KiB," \
        "descriptors $descriptors_before to $descriptors_after," \
        "used $used_before to $used_after MiB, $((SECONDS - start)) s"
    # 400 bytes a rollback are allowed: the kernel keeps names of before until it needs the memory.
    if grep -qaE '__[at]san_init' "$bin/ckptfs"; then
        echo "memory is not compared: a sanitizer keeps what has been freed"
    else
        check "memory" test $((memory_after - memory_before)) -le $((4096 + rollbacks * 4 / 10))
    fi
    check "descriptors" test $((descriptors_after - descriptors_before)) -le 16
    # Each rollback leaves three quarters of a MiB behind, if anything keeps it. btrfs gives back what is deleted in
    # the background, later on a busy machine.
    await 60 "space" uses_no_more_than $((used_before + 48))
    (cd "$m" && ckpt fsck >/dev/null) || fail "ckpt fsck"
}

# outside: with the daemon gone, what is there is what the catalog says.
outside() {
    local rows
    rows=$(query "$store" 'select (select count(*) from snapshot) + (select count(*) from workspace)')
    check_eq 0 "$(query "$store" 'select count(*) from tombstone')" "tombstones"
    open_image "$store" "$scratch/image"
    check_eq "$rows" "$(find "$scratch/image/volumes" -mindepth 1 -maxdepth 1 | wc -l)" "volumes"
    check_eq "$rows" "$(btrfs subvolume list "$scratch/image" | grep -c volumes/)" "subvolumes"
    close_image "$scratch/image"
}

test_case "undo=off: nothing is kept"
loop undo-off undo=off,size=2G
check_eq 1 "$(query "$store" 'select count(*) from snapshot')" "snapshots"
check_eq 1 "$(losetup -n -O NAME -j "$store/volumes.img" | wc -l)" "loop devices"
unmount_store "$store" "$m"
check_eq "" "$(losetup -n -O NAME -j "$store/volumes.img")" "loop devices afterwards"
outside

test_case "undo=on: as many are kept as is said"
loop undo-on undo_keep=5,undo_keep_time=0
check_eq 6 "$(query "$store" 'select count(*) from snapshot')" "snapshots"
check_eq 1 "$(losetup -n -O NAME -j "$store/volumes.img" | wc -l)" "loop devices"
unmount_store "$store" "$m"
outside
