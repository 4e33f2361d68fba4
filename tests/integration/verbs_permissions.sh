#!/bin/bash
# Creating, deleting and renaming snapshots is permitted to users who may write the workspace, be it as owner,
# by group or by ACL; in both places, and through ckpt.
# Names here are plain, and `a && b || fail` is meant as it stands.
# shellcheck disable=SC2010,SC2012,SC2015,SC2086
# shellcheck source-path=SCRIPTDIR source=../lib/harness.sh
. "$(dirname "${BASH_SOURCE[0]}")/../lib/harness.sh"

store=$scratch/store m=$scratch/mnt
chmod 755 "$scratch"
mount_store "$store" "$m" || exit 1
cd "$m" || exit 1

owner() { setpriv --reuid 4321 --regid 4321 --clear-groups "$@"; }
member() { setpriv --reuid 4322 --regid 4322 --groups 4330 "$@"; }
in_acl() { setpriv --reuid 4323 --regid 4323 --clear-groups "$@"; }
stranger() { setpriv --reuid 4324 --regid 4324 --clear-groups "$@"; }

# may USER LIST: USER does all verbs in LIST.
may() {
    local user=$1 list=$2
    check "$user: mkdir" "$user" mkdir "$list/mine"
    check "$user: mv" "$user" mv "$list/mine" "$list/moved"
    "$user" touch W/mark
    check "$user: rollback in place" "$user" mv -T "$list/moved" "$list/.live"
    check_not "$user: it was rolled back" test -e W/mark
    check_eq 0 "$("$user" /usr/bin/python3 "$scratch/rename.py" 2 "$list/moved" "$list/.live")" "$user: exchange in place"
    check "$user: rmdir" "$user" rmdir "$list/moved"
    check "$user: message" "$user" setfattr -n user.ckptfs.message -v "by $user" "$list/base"
}

# may_not USER LIST: USER can do none of them.
may_not() {
    local user=$1 list=$2
    refused "Permission denied" "$user" mkdir "$list/theirs"
    refused "Permission denied" "$user" mv "$list/base" "$list/moved"
    refused "Permission denied" "$user" mv -T "$list/base" "$list/.live"
    check_eq EACCES "$("$user" /usr/bin/python3 "$scratch/rename.py" 2 "$list/base" "$list/.live")" "$user: exchange in place"
    refused "Permission denied" "$user" rmdir "$list/base"
    refused "Permission denied" "$user" setfattr -n user.ckptfs.pinned -v 1 "$list/base"
}
cat >"$scratch/rename.py" <<'PYTHON'
import ctypes, errno, os, sys
libc = ctypes.CDLL(None, use_errno=True)
failed = libc.renameat2(-100, os.fsencode(sys.argv[2]), -100, os.fsencode(sys.argv[3]), int(sys.argv[1]))
print(errno.errorcode[ctypes.get_errno()] if failed else "0")
PYTHON

mkdir W && chown 4321:4330 W && chmod 2770 W && setfacl -m u:4323:rwx W && echo content >W/file && mkdir .snapshots/W/base
for list in .snapshots/W W/.snapshots; do
    test_case "who may write the workspace, $list"
    may owner $list
    may member $list
    may in_acl $list
    refused "Permission denied" stranger ls $list
    may_not stranger $list
done

test_case "who may only read"
chmod 2755 W && setfacl -b W && rmdir .snapshots/W/pre-rollback-*
for list in .snapshots/W W/.snapshots; do
    check_eq base "$(stranger ls $list)" "a list is as readable as the workspace"
    check_eq content "$(stranger cat W/file)" "a stranger reads"
    check_eq "755 4321 4330" "$(stat -c '%a %u %g' $list | sed s/^2//)" "owner and mode of the list"
    may_not stranger $list
    refused "Permission denied" member mkdir $list/x
    refused "Permission denied" in_acl mkdir $list/x
done
chmod 2555 W
for list in .snapshots/W W/.snapshots; do
    refused "Permission denied" owner mkdir $list/x
done

test_case "a change of permissions holds at once, in both places"
for list in .snapshots/W W/.snapshots; do
    chmod 777 W
    check "mode 777" stranger mkdir $list/x
    chmod 755 W
    refused "Permission denied" stranger rmdir $list/x
    setfacl -m u:4324:rwx W
    check "an ACL" stranger rmdir $list/x
    setfacl -b W
    refused "Permission denied" stranger mkdir $list/x
    chown 4324 W
    check "the owner" stranger mkdir $list/x
    refused "Permission denied" owner rmdir $list/x
    chown 4321 W
    check "the owner again" owner rmdir $list/x
    # Standing in the list: there is no path to look up.
    (
        begin_subshell
        cd $list || exit
        refused "Permission denied" stranger mkdir x
        chmod 777 "$m/W"
        check "mode 777" stranger mkdir x
        setfacl -m u:4324:--- "$m/W"
        refused "Permission denied" stranger rmdir x
        setfacl -b "$m/W" && chmod 755 "$m/W"
        refused "Permission denied" stranger rmdir x
        check "the owner" owner rmdir x
        end_subshell
    )
    join_subshell
done

test_case "sticky"
chmod 1777 W && chown 0 W && mkdir .snapshots/W/roots
refused "Operation not permitted" stranger rmdir .snapshots/W/roots
refused "Operation not permitted" stranger mv .snapshots/W/roots .snapshots/W/x
check "a stranger may make one" stranger mkdir .snapshots/W/x
chmod 755 W && chown 4321 W

test_case "by name it takes the mount root's permission"
refused "Permission denied" owner mv -T .snapshots/W/base W
refused "Permission denied" owner mv -T .snapshots/W/base N
refused "Permission denied" owner mkdir N
refused "Permission denied" owner rmdir W
refused "Operation not permitted" owner chmod 777 .
check_eq "$(printf '%s\n' .snapshots W)" "$(ls -A)" "nothing was made"

test_case "through ckpt"
chmod 755 W
check "the owner: checkpoint" owner ckpt checkpoint -w "$m/W" -s by-owner
check "the owner: pin" owner ckpt pin -w "$m/W" -s by-owner
check "the owner: unpin" owner ckpt unpin -w "$m/W" -s by-owner
check "the owner: rollback" owner ckpt rollback -w "$m/W" -s by-owner
check "a stranger: list" stranger ckpt list -w "$m/W"
for command in "checkpoint -s theirs" "rollback -s by-owner" "delete -s by-owner" "pin -s by-owner" "rollback -s by-owner --force"; do
    # shellcheck disable=SC2086
    check_not "a stranger: ckpt $command" stranger ckpt $command -w "$m/W"
done
check_not "a stranger: fork" stranger ckpt fork -w "$m/W" -s by-owner N
check "the snapshot is still there" test -d .snapshots/W/by-owner
chmod o-rx W
check_match 'W +\(not readable\)' "$(stranger ckpt df --snapshots --mount "$m")" "a stranger: df of what it may not read"
check_eq null "$(stranger ckpt df --snapshots --mount "$m" --format json | jq -c '.workspaces[0].usage')" "the same as JSON"
chmod o+rx W
check "the owner: delete" owner ckpt delete -w "$m/W" -s by-owner

test_case "names that the caller may not see"
mkdir -m 700 W/hidden && mkdir -m 710 W/team && chown 0:4330 W/team && chmod 750 W/team
mkdir .snapshots/W/before-names
touch W/hidden/secret W/team/plan W/open && mv W/hidden W/moved && mkdir W/moved/deeper && touch W/moved/deeper/x
exec 8>W/moved/written
mkdir .snapshots/W/names
exec 8>&-
changes() { "$@" ckpt diff -w "$m/W" -f before-names -t names 2>"$scratch/said" | sort | paste -sd,; }
check_eq "+ moved/deeper,+ moved/deeper/x,+ moved/secret,+ moved/written,+ open,+ team/plan,R hidden -> moved" "$(changes env)" "root"
check_eq "" "$(<"$scratch/said")" "to root: what is left out"
check_eq "+ open,R hidden -> moved" "$(changes stranger)" "a stranger"
check_match "^ckpt: 5 changes are left out" "$(<"$scratch/said")" "to a stranger: what is left out"
check_eq "+ open,+ team/plan,R hidden -> moved" "$(changes member)" "who is in a group"
rm W/open
check_eq "- open" "$(stranger ckpt diff -w "$m/W" -f names 2>/dev/null)" "a stranger: with the live tree"
check_eq "+ open" "$(stranger ckpt rollback -w "$m/W" -s names --preview 2>/dev/null)" "a stranger: preview"
check_eq "1 moved/written" "$(ckpt show -w W -s names --format json | jq -r '"\(.open_for_writing_total) \(.open_for_writing[].path)"')" "root: writers"
check_eq "1 0" "$(stranger ckpt show -w "$m/W" -s names --format json | jq -r '"\(.open_for_writing_total) \(.open_for_writing | length)"')" "a stranger: writers"
rm -r W/moved W/team && rmdir .snapshots/W/names .snapshots/W/before-names

test_case "owner and mode of a snapshot are those of its time"
chmod 0700 W && chmod g-s W && mkdir .snapshots/W/closed && chmod 755 W
refused "Permission denied" stranger ls .snapshots/W/closed
refused "Permission denied" stranger cat W/.snapshots/closed/file
check_eq "700 4321 4330" "$(stat -c '%a %u %g' .snapshots/W/closed)" "its owner and mode"
check_eq content "$(owner cat .snapshots/W/closed/file)" "its owner reads"
chmod 700 W && setfacl -m u:4324:rx W && mkdir .snapshots/W/listed && setfacl -b W && chmod 755 W
check_match "user:4324:r-x" "$(getfacl -cn .snapshots/W/listed)" "its ACL"
check_eq "$(getfacl -cn .snapshots/W/listed)" "$(getfacl -cn W/.snapshots/listed)" "its ACL inside"
check_eq content "$(stranger cat .snapshots/W/listed/file 2>&1)" "who is in its ACL reads"
cd /
