#!/bin/bash
# Mounts of other users in a workspace, and workspaces mounted elsewhere: no verb touches a mount in another
# workspace; a rollback of the workspace itself is refused, naming the mount, or with --force reports what it
# unmounted; a rollback by name leaves no bind mount of the workspace dead.
# shellcheck source-path=SCRIPTDIR source=../lib/harness.sh
. "$(dirname "${BASH_SOURCE[0]}")/../lib/harness.sh"

store=$scratch/store m=$scratch/mnt
mount_store "$store" "$m" || exit 1
cd "$m" || exit 1
mkdir A B && mkdir -p B/m B/x/y/m && touch B/file A/content && mkdir .snapshots/A/s .snapshots/B/s || exit 1

mount_in_b() {
    local place
    for place in m x/y/m; do
        mountpoint -q "B/$place" || mount -t tmpfs tmpfs "B/$place"
        touch "B/$place/in"
    done
    mountpoint -q B/file || mount --bind /etc/hostname B/file
}
unmount_in_b() {
    local place
    for place in m x/y/m file; do
        while mountpoint -q "B/$place"; do umount -l "B/$place" || return; done
    done
}
trap 'cd "$m" && unmount_in_b; cleanup' EXIT
# untouched VERB: what is mounted in B is there.
untouched() {
    local place
    for place in m x/y/m file; do check "after $1: B/$place" mountpoint -q "B/$place"; done
    mount_in_b
}

test_case "verbs on another workspace, and on what is no live tree"
mount_in_b
untouched "nothing"
mkdir .snapshots/A/t && untouched "mkdir of a snapshot"
refused "Operation not permitted" mv .snapshots/A/t A/.snapshots/u && untouched "a refused mv"
mv .snapshots/A/t .snapshots/A/u && untouched "mv of a snapshot"
setfattr -n user.ckptfs.message -v hi .snapshots/A/u && untouched "a message"
echo changed >A/content && mv -T .snapshots/A/u .snapshots/A/.live && untouched "a rollback in place"
echo changed >A/content && mv -T .snapshots/A/u A && untouched "a rollback by name"
echo changed >A/content && check_eq 0 "$(rename_flags 2 .snapshots/A/u A)" "exchange" && untouched "an exchange"
ckpt rollback -w A -s u >/dev/null && untouched "ckpt rollback"
mv -T .snapshots/A/u F && untouched "a fork"
mv F G && untouched "mv of a workspace"
mv -T .snapshots/B/s G && untouched "a promotion"
umount B/file && rm -rf G/* && rmdir .snapshots/G/* 2>/dev/null
rmdir G && mount_in_b && untouched "rmdir of a workspace"
rmdir .snapshots/A/u && untouched "rmdir of a snapshot"
mkdir .snapshots/B/own && mv .snapshots/B/own .snapshots/B/own2 && rmdir .snapshots/B/own2
untouched "verbs on its own snapshots"
ckpt checkpoint -w B -s own >/dev/null && ckpt diff -w B -f own >/dev/null && ckpt delete -w B -s own >/dev/null && untouched "ckpt"

test_case "a rollback of the workspace in which something is mounted"
refused "something is mounted in it: tmpfs on $m/B/m" ckpt rollback -w B -s s
refused "Device or resource busy" mv -T .snapshots/B/s .snapshots/B/.live
refused "Device or resource busy" mv -T .snapshots/B/s B
refused "Device or resource busy" mv -T B/.snapshots/s B/.snapshots/.live
check_eq EBUSY "$(rename_flags 2 .snapshots/B/s B)" "exchange"
refused "Device or resource busy" mv -T .snapshots/A/s B
untouched "what was refused"
check_eq s "$(ls .snapshots/B)" "no state was kept"

test_case "--force takes it away, and says so"
echo late >B/late
run ckpt rollback -w B -s s --force
check_eq 0 "$status" "ckpt rollback --force: $errors"
for place in m x/y/m file; do
    check_match "unmounted $m/B/$place" "$output" "what it says"
    check_not "B/$place" mountpoint -q "B/$place"
done
check_not "what came later" test -e B/late
check_eq "" "$(find B/m B/x/y/m -mindepth 1)" "the directories below"
echo late >B/late
run ckpt rollback -w B -s s --force --format json
check_eq "[]" "$(jq -c .unmounted <<<"$output")" "nothing to unmount"

# In a mount namespace of its own: $1 and $2 are run by a shell in which /mnt is W of this mount.
in_namespace() {
    background unshare --mount bash -c "mount --make-rprivate / && mount --bind '$m/B' /mnt && $1"
    holder=$!
    await 10 "the namespace" test -e "$scratch/ready"
    rm "$scratch/ready"
}
leave_namespace() {
    touch "$scratch/leave"
    wait "$holder"
    rm -f "$scratch/leave"
}
# shellcheck disable=SC2016 # for the shell in there
wait_there='touch "$scratch/ready"; while [[ ! -e $scratch/leave ]]; do sleep 0.05; done'
export scratch m

test_case "mounted in another namespace only"
in_namespace "mount -t tmpfs tmpfs /mnt/m && $wait_there && mountpoint -q /mnt/m && echo there >'$scratch/seen'"
check_not "it is not seen here" mountpoint -q B/m
refused "something is mounted in it: tmpfs on /mnt/m (seen by pid" ckpt rollback -w B -s s
refused "Device or resource busy" mv -T .snapshots/B/s .snapshots/B/.live
mv -T .snapshots/A/s .snapshots/A/.live
leave_namespace
check_eq there "$(cat "$scratch/seen")" "it is there still"

test_case "a bind mount of the workspace"
mkdir "$scratch/bound" && mount --bind B "$scratch/bound" && mounts+=("$scratch/bound") || exit 1
echo two >B/content
refused "Device or resource busy" mv -T .snapshots/B/s B
check_eq EBUSY "$(rename_flags 2 .snapshots/B/s B)" "exchange"
check_eq two "$(cat B/content)" "nothing happened"
check "in place" mv -T .snapshots/B/s .snapshots/B/.live
check_not "restored, by the bind mount" test -e "$scratch/bound/content"
echo new >"$scratch/bound/new"
check_eq new "$(cat B/new)" "one tree"
for i in 1 2 3; do
    echo "$i" >B/content && stat "$scratch/bound/absent" >/dev/null 2>&1
    check "again $i" ckpt rollback -w B -s s
    check_not "restored $i" test -e "$scratch/bound/content"
    # What was known not to be there, by the bind mount alone.
    mkdir .snapshots/B/empty && echo "$i" >B/absent && mkdir .snapshots/B/with && ckpt rollback -w B -s empty >/dev/null
    check_not "absent $i" test -e "$scratch/bound/absent"
    ckpt rollback -w B -s with >/dev/null
    check_eq "$i" "$(cat "$scratch/bound/absent")" "what a rollback brought"
    ckpt rollback -w B -s s >/dev/null && rmdir .snapshots/B/empty .snapshots/B/with
done
umount "$scratch/bound"
mkdir -p B/below && mkdir .snapshots/B/below && mount --bind B/below "$scratch/bound" || exit 1
refused "Device or resource busy" mv -T .snapshots/B/below B
umount "$scratch/bound"
check "without it" mv -T .snapshots/B/below B

test_case "a process that stands in another workspace"
mkdir -p B/deep/er
python3 - "$m" <<'PYTHON' >"$scratch/getcwd" &
import os, sys, time
m = sys.argv[1]
os.chdir(m + "/B/deep/er")
failed = calls = 0
end = time.monotonic() + 4
while time.monotonic() < end:
    calls += 1
    try:
        if os.getcwd() != m + "/B/deep/er":
            failed += 1
    except OSError:
        failed += 1
print(f"{failed} of {'many' if calls > 1000 else calls}")
PYTHON
standing=$!
for i in $(seq 40); do
    mkdir ".snapshots/A/r$i" && mv ".snapshots/A/r$i" ".snapshots/A/q$i"
    echo "$i" >A/content
    mv -T ".snapshots/A/q$i" .snapshots/A/.live
    mv -T ".snapshots/A/q$i" A
    rmdir ".snapshots/A/q$i"
done
wait "$standing"
check_eq "0 of many" "$(<"$scratch/getcwd")" "calls of getcwd that failed"
