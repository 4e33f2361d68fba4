# Sourced by hostile_store.sh and hostile_catalog.sh: a store with two workspaces, objects to put in the place
# of its files, and attempts to mount the result.
#
# A store may come from an attacker, on a disk or as a download, with anything in it: FIFOs, devices,
# directories and symbolic links where files should be, crafted rows and sidecars, a damaged image. Within
# seconds, a mount of it works, with a warning, or fails with one line; what was intact is available; and
# nothing outside the store is opened, read, changed or removed.
#
# shellcheck shell=bash
# shellcheck disable=SC2034 # the scripts use what is set here
# shellcheck source-path=SCRIPTDIR source=harness.sh
. "$(dirname "${BASH_SOURCE[0]}")/harness.sh"

# Some three hundred stores are made and mounted: in memory, if there is room. Not in /dev/shm, where devices
# may not be opened.
ram=$scratch/ram
mkdir "$ram"
if (($(awk '$1 == "MemAvailable:" { print $2 }' /proc/meminfo) > 4 << 20)); then
    mount -t tmpfs tmpfs "$ram" || exit 1
    mounts+=("$ram")
fi
store=$ram/store
mnt=$scratch/mnt
image=$scratch/image
saved=$ram/saved
outside=$ram/outside
# Time limit of an attempt; on an idle machine it takes less than a second.
readonly seconds_max=${CKPTFS_HOSTILE_SECONDS:-10}
mkdir "$mnt" "$image" "$outside" "$outside/directory"
mounts+=("$mnt" "$image")
# The mount may succeed, so it cannot be left hanging: each attempt ends within this time.
coproc watcher { exec "$harness_directory/touched.py" "$outside" "$seconds_max" 2>>"$scratch/told-by-commands"; }

restore() {
    rm -rf --one-file-system "$store"
    cp -a --sparse=always "$saved" "$store"
}

# watched_run PATH... -- COMMAND...: see touched.py. Sets $status, $errors, and $told, one line per event.
told=''
watched_run() {
    local line words=''
    for line; do words+=${words:+$'\t'}$line; done
    : >"$scratch/told-by-commands"
    printf '%s\n' "$words" >&"${watcher[1]}"
    told='' status=''
    while IFS= read -r line <&"${watcher[0]}"; do
        [[ ! $line =~ ^-?[0-9]+$ ]] || {
            status=$line
            break
        }
        told+=$line$'\n'
    done
    errors=$(<"$scratch/told-by-commands")
    [[ -n $status ]] || {
        fail "the watch has ended: $errors"
        exit 1
    }
}

# attempt WHAT [OPTION] [PATH...]: mounts the store while watching all files outside, and these paths.
# $outcome is "mounted", "refused" or "hung".
outcome=''
attempt() {
    local what=$1 options=${2-}
    shift $(($# < 2 ? $# : 2))
    ! mountpoint -q "$mnt" || release # where something else was expected
    watched_run "$@" -- ckptfs ${options:+-o "$options"} "$store" "$mnt"
    case $status in
    0) outcome=mounted ;;
    124) outcome=hung ;;
    *) outcome=refused ;;
    esac
    # What was planted in the store may be moved or removed.
    told=$(grep -v "^\(removed\|attributes changed\): $store/" <<<"${told%$'\n'}")
    check_eq "" "$told" "$what: touched"
    if [[ $outcome == refused ]]; then
        check_match '^ckptfs: [^:]+: .+' "$errors" "$what: the error"
        check_eq "32 1" "$status $(wc -l <<<"$errors")" "$what: status and lines of the error"
    fi
    check_not "$what" test "$outcome" = hung
}

warnings() { ckpt status --mount "$mnt" --format json | jq -r '.warnings[]'; }
# What damage to one part must never lose.
readonly all_names="other/c w/a w/b"
# look: sets $warned, one line per warning, and $named, the names of all snapshots.
look() {
    local said
    # One jq for both: it starts slowly.
    said=$(cd "$mnt" && { ckpt status --format json && ckpt list --format json; } |
        jq -rs '([.[1][] | .workspace + "/" + .name] | sort | join(" ")), .[0].warnings[]')
    named=${said%%$'\n'*}
    warned=${said#"$named"}
}
content() { cat "$mnt/.snapshots/w/a/file" "$mnt/w/file" 2>&1 | xargs; }
await_free() {
    local i
    for ((i = 0; i < 500; i++)); do
        # Also the image: the next one may get its inode number, and would be taken for it.
        [[ -e $store/lock ]] || grep -qsF "$store/volumes.img" /sys/block/loop*/loop/backing_file || return 0
        sleep 0.01
    done
}
release() {
    unmount "$mnt" && await_free
}

# usable WHAT [WARNING]: it is mounted, complete, and can be changed. The first repaired store of each test
# case is mounted again: then nothing is left to repair.
mended_in=''
usable() {
    local what=$1 warning=${2-}
    checks=$((checks + 1))
    if [[ $outcome != mounted ]]; then
        fail "$what: $outcome: $errors"
        return
    fi
    look
    [[ -z $warning ]] || check_match "$warning" "$warned" "$what: warnings"
    check_eq "$all_names" "$named" "$what: snapshots"
    check_eq "1 2" "$(content)" "$what: content"
    check "$what: checkpoint" mkdir "$mnt/.snapshots/w/after"
    check "$what: delete" rmdir "$mnt/.snapshots/w/after"
    check "$what: new workspace" mkdir "$mnt/fresh"
    check "$what: unmount" release
    [[ -n $warning && $mended_in != "$current_case" ]] || return 0
    mended_in=$current_case
    attempt "$what, again"
    check_eq mounted "$outcome" "$what: the second mount ($errors)"
    [[ $outcome == mounted ]] || return 0
    check_not "$what: mended twice" grep -q rebuilt <<<"$(warnings)"
    check "$what: unmount again" release
}

# either WHAT: refused or mounted; then some work, which may fail but must end, and an unmount.
either() {
    [[ $outcome == mounted ]] || return 0
    checks=$((checks + 1))
    # shellcheck disable=SC2016 # it is that shell's
    timeout "$seconds_max" bash -c 'cd "$1" && { ckpt status; ckpt list; ls -lR . .snapshots; mkdir .snapshots/w/after
        ckpt fsck; ckpt df; }' _ "$mnt" >/dev/null 2>&1
    [[ $? -ne 124 ]] || fail "$1: work in the mount hangs"
    check "$1: unmount" release
}

test_case "a store"
check "mount" ckptfs -o size=128M,backend=btrfs-loop "$store" "$mnt"
mkdir "$mnt/w" "$mnt/other"
echo 1 >"$mnt/w/file"
ckpt checkpoint -w "$mnt/w" -s a -m "message" >/dev/null
echo 2 >"$mnt/w/file"
ckpt checkpoint -w "$mnt/w" -s b >/dev/null
ckpt checkpoint -w "$mnt/other" -s c >/dev/null
check "unmount" release
cp -a --sparse=always "$store" "$saved"
volume_of() { sqlite3 "$saved/catalog.db" "SELECT volume FROM $1 WHERE name = '$2'"; }
live=$(volume_of workspace w)
snapshot=$(volume_of snapshot a)

echo secret >"$outside/file"
echo secret >"$outside/directory/file"
chmod 600 "$outside/file"

# plant KIND PATH: puts such an object there.
plant() {
    rm -rf --one-file-system "$2"
    case $1 in
    fifo) mkfifo "$2" ;;
    zeros) mknod "$2" c 1 5 ;;
    disk) mknod "$2" b 240 0 ;;
    directory) mkdir -p "$2/in/it" ;;
    link) ln -s "$outside/file" "$2" ;;
    directory-link) ln -s "$outside/directory" "$2" ;;
    dangling-link) ln -s "$outside/new" "$2" ;;
    socket) python3 -c 'import socket, sys; socket.socket(socket.AF_UNIX).bind(sys.argv[1])' "$2" ;;
    huge) truncate -s 1T "$2" ;;
    esac
}
readonly kinds=(fifo zeros disk directory link directory-link dangling-link socket huge)
# Whether the watch covers it: directories are listed, and a link itself is not opened.
watched() { case $1 in fifo | zeros | disk | socket) echo "$2" ;; esac }

# in_image COMMAND: runs it in the directory of the image's files.
in_image() {
    mount -o loop "$store/volumes.img" "$image" && (cd "$image" && eval "$1")
    local code=$?
    umount "$image"
    check_eq 0 "$code" "$1"
}
