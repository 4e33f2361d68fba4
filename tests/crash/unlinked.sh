#!/bin/bash
# Kills the daemon at each step of its handling of open files without a name, and at each step of the cleanup
# afterwards: the live tree no longer has them, snapshots have them completely, and a name exists or not,
# never half.
# shellcheck source=tests/lib/crash.sh
. "$(dirname "${BASH_SOURCE[0]}")/../lib/crash.sh"

readonly hidden=.ckptfs-unlinked
sources=$(cd "$tests_lib/../.." && pwd)
options=noatime,size=256M

# show SNAPSHOT: its unlinked files: path and content.
show() {
    local name path
    ckpt show --workspace "$mnt/W" -s "$1" --format json >"$scratch/shown"
    jq -r '.unlinked_files[] | "\(.name) \(.path)"' "$scratch/shown" | while read -r name path; do
        echo "${path/\#*/#} $(<"$mnt/.snapshots/W/$1/$hidden/$name")"
    done | sort
}

# What is done to a workspace, each line a command of holder.py. The daemon dies somewhere in it.
commands() {
    cat <<COMMANDS
open a $mnt/W/doomed
unlink $mnt/W/doomed
open b $mnt/W/replaced
rename $mnt/W/new $mnt/W/replaced
tmpfile c $mnt/W
write c temporary
path d $mnt/W/late
unlink $mnt/W/late
reopen d e
mkdir $mnt/.snapshots/W/crash
link c $mnt/W/given
close a
close b
rename $mnt/.snapshots/W/base $mnt/F
COMMANDS
    # A closed file is let go of by the daemon's own time.
    sleep 0.2
}
use() { commands | python3 "$tests_lib/holder.py" >"$scratch/answers" 2>&1; }

make_unlinked_base() {
    mount_store "$scratch/base" "$mnt" "$options" || fail "cannot mount the first store"
    mkdir "$mnt/W" "$mnt/W/sub"
    for name in doomed late; do echo "$name" >"$mnt/W/$name"; done
    echo old >"$mnt/W/replaced"
    echo new >"$mnt/W/new"
    {
        echo "create a $mnt/W/sub/one"
        echo "write a first"
        echo "unlink $mnt/W/sub/one"
        echo "tmpfile b $mnt/W/sub"
        echo "write b second"
        echo "mkdir $mnt/.snapshots/W/base"
    } | python3 "$tests_lib/holder.py" >"$scratch/answers"
    base_shown=$(show base)
    check_eq $'sub/# second\nsub/one first' "$base_shown" "the first snapshot"
    unmount_store "$scratch/base" "$mnt"
}

check_live_tree() {
    local what=$1 file state
    state="$(<"$mnt/W/replaced") $(test -e "$mnt/W/new" && echo there)"
    check_match '^(old there|new )$' "$state" "$what: a file that is replaced"
    for file in "$mnt"/W/*; do
        [[ -f $file ]] || continue
        check_eq 1 "$(stat -c %h "$file")" "$what: links of $file"
    done
    [[ ! -e $mnt/W/doomed ]] || check_eq doomed "$(<"$mnt/W/doomed")" "$what: doomed"
    [[ ! -e $mnt/W/given ]] || check_eq temporary "$(<"$mnt/W/given")" "$what: given"
    check_not "$what: the directory is shown" test -e "$mnt/W/$hidden"
}

check_snapshots() {
    local what=$1 expected=$'# temporary\ndoomed doomed\nlate late\nreplaced old'
    check_eq "$base_shown" "$(show base)" "$what: the first snapshot"
    [[ -d $mnt/.snapshots/W/crash ]] || return 0
    check_eq "$expected" "$(show crash)" "$what: the second snapshot"
    check_eq 4 "$(jq .unlinked_open "$scratch/shown")" "$what: how many it says it has"
}

# With the daemon gone: no live tree has a file left, nor one with a note on its last path.
check_live_volumes() {
    local what=$1 image=$scratch/image volume
    mkdir -p "$image"
    mount -o loop,ro "$store/volumes.img" "$image" || {
        fail "$what: cannot mount the image"
        return
    }
    for volume in $(sqlite3 "$store/catalog.db" 'SELECT volume FROM workspace'); do
        check_eq "" "$(find "$image/volumes/$volume/$hidden" -type f 2>/dev/null)" "$what: files left"
    done
    umount "$image"
}

# recover_unlinked WHAT
recover_unlinked() {
    mount_store "$store" "$mnt" "$options" || fail "$1: the store does not mount"
    check_live_tree "$1"
    check_snapshots "$1"
    run ckpt fsck --mount "$mnt"
    check_eq "0 no problems found" "$status $output" "$1: fsck ($errors)"
    end_daemon
    check_outside "$1"
    check_live_volumes "$1"
}

# A dead mount holds the backing files of what was open when its daemon died, and with them the loop
# device; a living one is left to end_daemon.
end_killed() {
    [[ -d $mnt/.snapshots ]] || umount "$mnt"
    end_daemon
}

# start_killing POINT: a copy of the base, with a daemon that dies at POINT.
start_killing() {
    rm -rf "$run_directory"
    mkdir "$run_directory"
    cp -a --sparse=always "$scratch/base" "$store"
    CKPTFS_FAILPOINT=$1 mount_store "$store" "$mnt" "$options" || fail "$1: cannot mount"
}

test_case "not killed"
make_unlinked_base
start_killing ''
use
check_eq ok "$(sort -u "$scratch/answers")" "every command"
end_daemon
recover_unlinked "not killed"

mapfile -t points < <(grep -rhoE '\bFailpoint\("unlinked\.[^"]+"' --include='*.cc' \
    "$sources/catalog" "$sources/fs" | cut -d '"' -f 2 | sort -u)
check "the sources name failpoints" test "${#points[@]}" -gt 6
# Links and removals come twice: of an unlink, and of a rename.
for point in "${points[@]/%/@1}" unlinked.after-link@2 unlinked.after-removal@2 \
    checkpoint.after-snapshot@1 checkpoint.before-commit@1 checkpoint.after-commit@1 \
    fork.after-commit@1; do
    test_case "killed at $point"
    start_killing "$point"
    use
    end_killed
    check "a daemon was killed at $point" test -e "$store/lock"
    if [[ $point == unlinked.after-gather-copy@1 ]]; then  # with the most files that are left
        for again in unlinked.before-clear@2 recovery.after-unlinked; do
            CKPTFS_FAILPOINT=$again mount_store "$store" "$mnt" "$options" 2>/dev/null
            end_daemon
            check "a recovery was killed at $again" test -e "$store/lock"
        done
    fi
    recover_unlinked "killed at $point"
done
