#!/bin/bash
# Access rights: a check for each cell of the manual's table (WHO MAY DO WHAT in ckptfs(7)), of each verb by
# the directory tree and by ckpt.
# Names here are plain.
# shellcheck disable=SC2012
# shellcheck source=tests/lib/mount-namespace.sh
. "$(dirname "${BASH_SOURCE[0]}")/../lib/mount-namespace.sh"
# shellcheck source-path=SCRIPTDIR source=../lib/harness.sh
. "$(dirname "${BASH_SOURCE[0]}")/../lib/harness.sh"
[[ -n ${CKPTFS_TEST_NAMESPACE-} ]] || skip_test "no mount namespace can be made"

# As in the manual. What stands before the first row is the heading of the columns.
table=$(
    cat <<'TABLE'
                                 root  owner  group  ACL  other  contained  read-only
W 0775, mount root 0755
    look at                       +      +      +     +     +        +          +
    checkpoint                    +      +      +     +     -        +          -
    pin, message                  +      +      +     +     -        +          -
    rename, delete                +      +      +     +     -        +          -
    roll back, exchange           +      +      +     +     -        +          -
    settings, cleanup             +      +      +     +     -        +          -
    fork                          +      -      -     -     -        -          -
    new workspace                 +      -      -     -     -        -          -
    rename, remove W              +      -      -     -     -        -          -
    forget W                      +      -      -     -     -        -          -
    roll back by name             +      -      -     -     -        -          -
    promote to V                  +      -      -     -     -        -          -
    names of workspaces           +      +      +     +     +        +          +
    manage the store              +      -      -     -     -        -          -
W 1777, mount root 1777
    look at                       +      +      +     +     +        +          +
    checkpoint                    +      +      +     +     +        +          -
    pin, message                  +      +      -     -     -        +          -
    rename, delete                +      +      -     -     -        +          -
    roll back, exchange           +      +      -     -     -        +          -
    settings, cleanup             +      +      -     -     -        +          -
    fork                          +      +      -     -     -        +          -
    new workspace                 +      +      +     +     +        +          -
    rename, remove W              +      +      -     -     -        +          -
    forget W                      +      +      -     -     -        +          -
    roll back by name             +      +      -     -     -        +          -
    promote to V                  +      +      -     -     -        +          -
W 0775, mount root 1777
    fork                          +      +      +     +     -        +          -
    new workspace                 +      +      +     +     +        +          -
    rename, remove W              +      +      -     -     -        +          -
    forget W                      +      +      -     -     -        +          -
    roll back by name             +      +      -     -     -        +          -
    manage the store              +      -      -     -     -        -          -
W 0775, mount root 0777
    rename, remove W              +      +      +     +     +        +          -
    forget W                      +      +      +     +     -        +          -
    roll back by name             +      +      +     +     -        +          -
    promote to V                  +      +      -     -     -        +          -
W 0750, mount root 0711
    look at                       +      +      +     +     -        +          +
    names of workspaces           +      -      -     -     -        -          +
TABLE
)

test_case "the manual has the same table"
manual=$(dirname "${BASH_SOURCE[0]}")/../../man/ckptfs.7.scd
if [[ -e $manual ]]; then
    # shellcheck disable=SC2016 # the marks of a literal block
    check_eq "$table" "$(sed -n '/^# WHO MAY DO WHAT/,/^# /p' "$manual" | sed -n '/^```/,/^```/{/^```/!p}')" "the table"
fi

# --- Who -----------------------------------------------------------------------------------------

# The container's users; 0 in it is the first.
first=100000 owner=100005 team=100006 member=100011 named=100012 stranger=100013
store=$scratch/store m=$scratch/mnt ro=$scratch/read-only
chmod 755 "$scratch"
mkdir "$scratch/bin" && cp "$bin/ckpt" "$scratch/bin/"
PATH=$scratch/bin:$PATH
mount_store "$store" "$m" undo=off || exit 1
mkdir "$ro" && mount --bind "$m" "$ro" && mount -o remount,bind,ro "$ro" || exit 1
mounts+=("$ro")

background unshare --user sleep infinity
container=$!
while ! { echo "0 $first 65536" >"/proc/$container/uid_map"; } 2>/dev/null; do
    kill -0 "$container" 2>/dev/null || break
    sleep 0.02
done
echo "0 $first 65536" >"/proc/$container/gid_map"
have_container=no
[[ $(nsenter --target "$container" --user --setuid 0 --setgid 0 id -u) != 0 ]] || have_container=yes
check_eq yes "$have_container" "a user namespace"

user() { setpriv --reuid "$1" --regid "$1" "${@:2}"; }
as() {
    local who=$1
    shift
    case $who in
    root | read-only) "$@" ;;
    owner) user "$owner" --clear-groups "$@" ;;
    group) user "$member" --groups "$team" "$@" ;;
    ACL) user "$named" --clear-groups "$@" ;;
    other) user "$stranger" --clear-groups "$@" ;;
    contained) nsenter --target "$container" --user --setuid 0 --setgid 0 "$@" ;;
    esac
}

# --- What ----------------------------------------------------------------------------------------

# Each row's ways. A way W is a function do_W WHO, in which $p is the mount as WHO sees it, and perhaps a
# function did_W: whether it was done, as root sees it.
declare -A ways=(
    ["look at"]="ls ckpt_list ckpt_show ckpt_diff"
    [checkpoint]="mkdir mkdir_inside ckpt_checkpoint"
    ["pin, message"]="setfattr ckpt_pin"
    ["rename, delete"]="mv rmdir ckpt_delete"
    ["roll back, exchange"]="mv_live mv_live_inside ckpt_rollback exchange_live"
    ["settings, cleanup"]="ckpt_config ckpt_cleanup"
    [fork]="mv_fork ckpt_fork"
    ["new workspace"]="mkdir_workspace ckpt_init ckpt_init_directory"
    ["rename, remove W"]="mv_workspace rmdir_workspace"
    ["forget W"]="ckpt_forget"
    ["roll back by name"]="mv_over exchange_over"
    ["promote to V"]="mv_promote"
    ["names of workspaces"]="ls_root ls_snapshots ckpt_status ckpt_df"
    ["manage the store"]="ckpt_fsck ckpt_gc"
)
cat >"$scratch/exchange.py" <<'PYTHON'
import ctypes, os, sys
libc = ctypes.CDLL(None, use_errno=True)
if libc.renameat2(-100, os.fsencode(sys.argv[1]), -100, os.fsencode(sys.argv[2]), 2) != 0:
    sys.exit("exchange: " + os.strerror(ctypes.get_errno()))
PYTHON
exchange() { as "$1" /usr/bin/python3 "$scratch/exchange.py" "$2" "$3"; }

do_ls() { as "$1" ls "$p/.snapshots/W" "$p/W/.snapshots"; }
do_ckpt_list() { as "$1" ckpt list -w "$p/W"; }
do_ckpt_show() { as "$1" ckpt show -w "$p/W" -s S; }
do_ckpt_diff() { as "$1" ckpt diff -w "$p/W" -f S; }

do_mkdir() { as "$1" mkdir "$p/.snapshots/W/new"; }
do_mkdir_inside() { as "$1" mkdir "$p/W/.snapshots/new"; }
do_ckpt_checkpoint() { as "$1" ckpt checkpoint -w "$p/W" -s new; }
did_mkdir() { [[ -d $m/.snapshots/W/new ]]; }
did_mkdir_inside() { did_mkdir; }
did_ckpt_checkpoint() { did_mkdir; }

do_setfattr() { as "$1" setfattr -n user.ckptfs.message -v "by $1" "$p/.snapshots/W/S"; }
did_setfattr() { [[ -n $(getfattr --only-values -n user.ckptfs.message "$m/.snapshots/W/S") ]]; }
do_ckpt_pin() { as "$1" ckpt pin -w "$p/W" -s S; }
did_ckpt_pin() { [[ $(getfattr --only-values -n user.ckptfs.pinned "$m/.snapshots/W/S") == 1 ]]; }

do_mv() { as "$1" mv -T "$p/.snapshots/W/S" "$p/.snapshots/W/T"; }
do_rmdir() { as "$1" rmdir "$p/.snapshots/W/S"; }
do_ckpt_delete() { as "$1" ckpt delete -w "$p/W" -s S; }
did_mv() { [[ ! -d $m/.snapshots/W/S ]]; }
did_rmdir() { did_mv; }
did_ckpt_delete() { did_mv; }

do_mv_live() { as "$1" mv -T "$p/.snapshots/W/S" "$p/.snapshots/W/.live"; }
do_mv_live_inside() { as "$1" mv -T "$p/W/.snapshots/S" "$p/W/.snapshots/.live"; }
do_ckpt_rollback() { as "$1" ckpt rollback -w "$p/W" -s S; }
do_exchange_live() { exchange "$1" "$p/.snapshots/W/S" "$p/.snapshots/W/.live"; }
did_mv_live() { [[ ! -e $m/W/mark ]]; }
did_mv_live_inside() { did_mv_live; }
did_ckpt_rollback() { did_mv_live; }
did_exchange_live() { did_mv_live; }

do_ckpt_config() { as "$1" ckpt config -w "$p/W" keep.last 5; }
did_ckpt_config() { [[ $(ckpt config -w "$m/W" keep.last 2>/dev/null) == 5 ]]; }
do_ckpt_cleanup() { as "$1" ckpt cleanup -w "$p/W" --keep-last 5; }

do_mv_fork() { as "$1" mv -T "$p/.snapshots/W/S" "$p/N"; }
do_ckpt_fork() { as "$1" ckpt fork -w "$p/W" -s S N; }
do_mkdir_workspace() { as "$1" mkdir "$p/N"; }
do_ckpt_init() { as "$1" ckpt init "$p/N"; }
do_ckpt_init_directory() {
    rm -rf "${scratch:?}/home" && mkdir -m 777 "$scratch/home"
    as "$1" mkdir "$scratch/home/N"
    as "$1" ckpt init "$scratch/home/N" --mount "$p"
}
did_mv_fork() { [[ -d $m/N ]]; }
did_ckpt_fork() { did_mv_fork; }
did_mkdir_workspace() { did_mv_fork; }
did_ckpt_init() { did_mv_fork; }
did_ckpt_init_directory() { did_mv_fork; }

do_mv_workspace() { as "$1" mv -T "$p/W" "$p/N"; }
did_mv_workspace() { did_mv_fork; }
do_rmdir_workspace() { as "$1" rmdir "$p/empty"; }
did_rmdir_workspace() { [[ ! -d $m/empty ]]; }

do_ckpt_forget() { as "$1" ckpt forget --yes "$p/W"; }
did_ckpt_forget() { [[ ! -d $m/W ]]; }

do_mv_over() { as "$1" mv -T "$p/.snapshots/W/S" "$p/W"; }
do_exchange_over() { exchange "$1" "$p/.snapshots/W/S" "$p/W"; }
did_mv_over() { did_mv_live; }
did_exchange_over() { did_mv_live; }
do_mv_promote() { as "$1" mv -T "$p/.snapshots/W/S" "$p/V"; }
did_mv_promote() { [[ -e $m/V/of-W ]]; }

# These succeed if a name is told.
tells() { as "$@" | grep -q '\bW\b'; }
do_ls_root() { tells "$1" ls "$p"; }
do_ls_snapshots() { tells "$1" ls "$p/.snapshots"; }
do_ckpt_status() { tells "$1" ckpt status --mount "$p"; }
do_ckpt_df() { tells "$1" ckpt df --mount "$p" --format json; }
do_ckpt_fsck() { as "$1" ckpt fsck --repair --mount "$p"; }
do_ckpt_gc() { as "$1" ckpt gc --mount "$p"; }

# --- The cells -----------------------------------------------------------------------------------

# remove_workspace NAME
remove_workspace() {
    [[ -d $m/$1 ]] || return 0
    find "$m/$1" -mindepth 1 -delete
    local snapshot
    for snapshot in "$m/.snapshots/$1"/*; do
        [[ ! -d $snapshot ]] || { setfattr -n user.ckptfs.pinned -v 0 "$snapshot" && rmdir "$snapshot"; }
    done
    rmdir "$m/$1"
}

# reset MODE: the workspaces as a section finds them.
reset() {
    local name
    cd / || exit
    for name in N V W empty; do remove_workspace "$name"; done
    mkdir -m 755 "$m/V" "$m/W" "$m/empty"
    touch "$m/W/of-W"
    chown "$owner:$owner" "$m/V" "$m/empty"
    chown "$owner:$team" "$m/W" && chmod "$1" "$m/W"
    setfacl -m "u:$named:rwx" "$m/W" && chmod "$1" "$m/W"
    mkdir "$m/.snapshots/W/S"
    touch "$m/W/mark"
}

# What a cell has done is undone.
mend() {
    local snapshots=$m/.snapshots/W
    [[ -d $m/W || -d $m/N ]] || {
        reset "$workspace_mode"
        return
    }
    [[ -d $m/W ]] || mv -T "$m/N" "$m/W"
    ckpt config -w "$m/W" --unset keep.last >/dev/null
    remove_workspace N
    [[ -d $m/empty ]] || { mkdir -m 755 "$m/empty" && chown "$owner:$owner" "$m/empty"; }
    [[ ! -e $m/V/of-W ]] || { remove_workspace V && mkdir -m 755 "$m/V" && chown "$owner:$owner" "$m/V"; }
    [[ ! -d $snapshots/T ]] || mv -T "$snapshots/T" "$snapshots/S"
    [[ ! -d $snapshots/new ]] || rmdir "$snapshots/new"
    if [[ -e $snapshots/S/mark ]]; then rmdir "$snapshots/S"; fi
    if [[ -d $snapshots/S ]]; then
        setfattr -n user.ckptfs.pinned -v 0 "$snapshots/S" && setfattr -n user.ckptfs.message "$snapshots/S"
    else
        rm -f "$m/W/mark" && mkdir "$snapshots/S"
    fi
    touch "$m/W/mark"
}

# cell WORKSPACE-MODE MOUNT-MODE ROW WHO EXPECTED
cell() {
    local workspace_mode=$1 mount_mode=$2 row=$3 who=$4 expected=$5 way did
    p=$m
    [[ $who != read-only ]] || p=$ro
    for way in ${ways[$row]}; do
        chmod "$mount_mode" "$m"
        run "do_$way" "$who"
        checks=$((checks + 1))
        did=$status
        if declare -F "did_$way" >/dev/null; then
            did=1
            "did_$way" 2>/dev/null && did=0
        fi
        if [[ $expected == + ]]; then
            ((status == 0 && did == 0)) || fail "W $workspace_mode, mount root $mount_mode: $way by $who: $errors"
        elif ((status == 0 || did == 0)); then
            fail "W $workspace_mode, mount root $mount_mode: $way by $who was not refused"
        elif [[ $row != "names of workspaces" ]] &&
            ! grep -qiE 'permission denied|operation not permitted|read-only|you may |not yours|only root may' <<<"$errors"; then
            fail "W $workspace_mode, mount root $mount_mode: $way by $who said: $errors"
        fi
        chmod 755 "$m"
        ((did != 0)) || ! declare -F "did_$way" >/dev/null || mend
    done
}

read -r -a columns <<<"${table%%$'\n'*}"
workspace_mode='' mount_mode=''
while IFS= read -r line; do
    case $line in
    "W "*)
        [[ $line =~ ^W\ ([0-7]+),\ mount\ root\ ([0-7]+)$ ]] || fail "a heading: $line"
        workspace_mode=${BASH_REMATCH[1]} mount_mode=${BASH_REMATCH[2]}
        test_case "$line"
        reset "$workspace_mode"
        ;;
    "    "*)
        [[ $line =~ ^\ {4}([A-Za-z,\ ]*[A-Za-z])\ +([-+\ ]+)$ ]] || fail "a row: $line"
        row=${BASH_REMATCH[1]}
        read -r -a cells <<<"${BASH_REMATCH[2]}"
        check_eq "${#columns[@]}" "${#cells[@]}" "cells in the row $row"
        for ((i = 0; i < ${#cells[@]}; i++)); do
            [[ ${columns[i]} != contained || $have_container == yes ]] || continue
            cell "$workspace_mode" "$mount_mode" "$row" "${columns[i]}" "${cells[i]}"
        done
        ;;
    esac
done < <(tail -n +2 <<<"$table")

# --- What the table does not say -------------------------------------------------------------------

test_case "a snapshot of another time"
reset 777
mkdir "$m/.snapshots/W/open" && setfacl -b "$m/W" && chmod 755 "$m/W"
refused "Permission denied" as other setfattr -n user.ckptfs.pinned -v 1 "$m/.snapshots/W/open"
check "its owner" as owner setfattr -n user.ckptfs.pinned -v 1 "$m/.snapshots/W/open"
check "its owner" as owner setfattr -n user.ckptfs.pinned -v 0 "$m/.snapshots/W/open"

test_case "who owned a sticky workspace then"
reset 1777
chown "$stranger" "$m/W" && mkdir "$m/.snapshots/W/"{A,B,C,D} && chown "$owner" "$m/W" && chmod 777 "$m"
check "rmdir" as other rmdir "$m/.snapshots/W/A"
check "ckpt delete" as other ckpt delete -w "$m/W" -s B
refused "Operation not permitted" as other mv -T "$m/.snapshots/W/C" "$m/.snapshots/W/.live"
refused "not yours" as other ckpt rollback -w "$m/W" -s C
refused "Operation not permitted" as other mv -T "$m/.snapshots/W/C" "$m/W"
check "the file is there" test -e "$m/W/mark"
check "fork" as other mv -T "$m/.snapshots/W/C" "$m/N"
remove_workspace N
check "ckpt fork" as other ckpt fork -w "$m/W" -s D N
chmod 755 "$m"

test_case "a workspace of somebody else's, in a mount root where everybody may write"
reset 777
mkdir "$m/mine" && chown "$stranger" "$m/mine" && chmod 777 "$m" && mkdir "$m/.snapshots/mine/S"
refused "Permission denied" as other mv -T "$m/.snapshots/mine/S" "$m/V"
check "promotion by who may write both" as owner mv -T "$m/.snapshots/W/S" "$m/V"
chmod 755 "$m" && rmdir "$m/.snapshots/mine/S" "$m/mine"

test_case "names are not told"
reset 755
chown "$stranger" "$m/V" && mkdir "$m/.snapshots/V/S"
chmod 711 "$m"
refused "you may not make workspaces" as other ckpt fork -w "$m/V" -s S W
refused "Permission denied" as other ckpt init "$m/new"
check_eq "[] true" "$(as other ckpt status --mount "$m" --format json | jq -r '"\(.workspaces) \(.workspaces_hidden)"')" "status"
check_eq "V W empty false" "$(ckpt status --mount "$m" --format json |
    jq -r '"\([.workspaces[].name] | sort | join(" ")) \(.workspaces_hidden)"')" "status for root"
check_match "may not list the mount root" "$(as other ckpt status --mount "$m" 2>&1)" "status says so"
check "what one may enter by its name" as other ckpt list -w "$m/V"
chmod 755 "$m"
check "listed at once" as other ls "$m/.snapshots"
chmod 700 "$m"
refused "Permission denied" as other ls "$m/.snapshots"
chmod 755 "$m"
check_eq "755 0 0" "$(stat -c '%a %u %g' "$m/.snapshots")" "mode and owner of .snapshots"

test_case "a file that was opened when one might"
reset 1777
chown "$stranger" "$m/W"
cat >"$scratch/late.py" <<'PYTHON'
import fcntl, json, os, sys
opened = os.open(sys.argv[1] + "/.ckptfs-control", os.O_RDWR)
print("open", flush=True)
sys.stdin.readline()
request = json.dumps({"command": "rollback", "args": {"snapshot": "S"}}).encode()
fcntl.ioctl(opened, 1 << 30 | len(request) << 16 | ord("K") << 8 | 0xC0, request)  # ControlAppend
fcntl.ioctl(opened, ord("K") << 8 | 0xC1)  # kControlRun
print(os.read(opened, 4096).decode())
PYTHON
coproc late { as other /usr/bin/python3 "$scratch/late.py" "$m/W" 2>&1; }
read -r said <&"${late[0]}"
chown "$owner" "$m/W"
echo >&"${late[1]}"
said=$(cat <&"${late[0]}")
check_match "not yours" "$said" "rollback"
check "the file is there" test -e "$m/W/mark"
cd /
