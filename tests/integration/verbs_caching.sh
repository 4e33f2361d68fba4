#!/bin/bash
# After each verb, by whatever path, every other path shows the new state at once: names, sizes, times,
# content, listings, owners, ACLs, and names that did not exist before.
# Names here are plain, and `a && b || fail` is meant as it stands.
# shellcheck disable=SC2010,SC2012,SC2015,SC2086
# shellcheck source-path=SCRIPTDIR source=../lib/harness.sh
. "$(dirname "${BASH_SOURCE[0]}")/../lib/harness.sh"

store=$scratch/store m=$scratch/mnt
chmod 755 "$scratch"
mount_store "$store" "$m" || exit 1
cd "$m" || exit 1
mkdir W && mkdir -p W/dir/deep && echo one >W/file && echo deep >W/dir/deep/file && ln -s one W/soft
printf '%0100000d' 1 >W/big && touch -d 2001-01-01 W/dated && setfattr -n user.x -v one W/file
roots=".snapshots/W W/.snapshots"

# Fills the kernel's caches: all that is there, and names that are not.
warm() {
    local root
    find . -ls >/dev/null 2>&1
    for root in $roots; do
        ls -l "$root" "$root/latest" "$root/" >/dev/null 2>&1
        stat "$root/new" "$root/moved" "$root/latest" "$root/s/later" >/dev/null 2>&1
    done
    cat W/file W/big W/dir/deep/file >/dev/null 2>&1
    stat N W/later W/dir/later W/dir/deep/later >/dev/null 2>&1
    readlink W/soft >/dev/null
    find W .snapshots -type f -exec cat {} + >/dev/null 2>&1
}

# sees LIST WHAT: both places list exactly that.
sees() {
    local root
    for root in $roots; do check_eq "$1" "$(ls -A "$root" | grep -v ^pre-rollback | paste -sd ' ')" "$root: $2"; done
}

test_case "checkpoints"
for maker in "mkdir .snapshots/W/new" "mkdir W/.snapshots/new" "ckpt checkpoint -w W -s new"; do
    warm
    before=$(stat -c %.9Y .snapshots/W)
    $maker >/dev/null || fail "$maker"
    sees new "after $maker"
    for root in $roots; do
        check_eq one "$(cat $root/new/file)" "$root: content"
        check_eq new "$(readlink $root/latest)" "$root: latest"
        check_not "$root: the list's mtime" test "$before" = "$(stat -c %.9Y $root)"
    done
    warm
    case $maker in
        mkdir\ .*) check "rmdir" rmdir W/.snapshots/new ;;
        mkdir\ W*) check "rmdir" rmdir .snapshots/W/new ;;
        *) check "ckpt delete" ckpt delete -w W -s new ;;
    esac
    sees '' "after the delete"
    for root in $roots; do
        check_not "$root: the name" test -e $root/new
        check_not "$root: what was in it" test -e $root/new/file
        check_not "$root: latest" test -L $root/latest
    done
done

test_case "the same name anew"
for i in 1 2 3; do
    echo "turn $i" >W/turn && mkdir .snapshots/W/new && warm
    for root in $roots; do check_eq "turn $i" "$(cat $root/new/turn)" "$root: content"; done
    rmdir W/.snapshots/new
done
rm W/turn

test_case "renames"
mkdir .snapshots/W/s && warm
mv .snapshots/W/s .snapshots/W/moved
sees moved "after mv"
for root in $roots; do
    check_eq "one moved" "$(cat $root/moved/file) $(readlink $root/latest)" "$root: content and latest"
    check_not "$root: the old name" test -e $root/s/file
done
warm
mv W/.snapshots/moved W/.snapshots/s
sees s "after mv inside"
for root in $roots; do check_eq "one s" "$(cat $root/latest/file) $(readlink $root/latest)" "$root: latest"; done

test_case "rollbacks"
restore() {
    case $1 in
        name) mv -T .snapshots/W/s W ;;
        live) mv -T .snapshots/W/s .snapshots/W/.live ;;
        inner) mv -T W/.snapshots/s W/.snapshots/.live ;;
        ckpt) ckpt rollback -w W -s s ;;
        exchange) [[ $(rename_flags 2 .snapshots/W/s W) == 0 ]] ;;
        back) [[ $(rename_flags 2 W/.snapshots/s W/.snapshots/.live) == 0 ]] ;;
    esac
}
touch W/was-there
setfacl -m u:4323:rwx W/dir && chmod 700 W/dir/deep && chown 4321 W/dir/deep && chmod 711 W
rmdir .snapshots/W/s && mkdir .snapshots/W/s
# "exchange" has to be last: the snapshot is another one after it.
for how in name live inner ckpt name exchange; do
    warm
    good=$(find W -printf '%P %y %m %U %s %T@ %l\n' | sort)
    echo "a longer text" >W/file && rm W/was-there && touch W/later W/dir/later W/dir/deep/later && : >W/big
    rm W/soft && ln -s twice W/soft && rm -r W/dated && mkdir W/dated && touch W/dated/in && setfattr -n user.x -v two W/file
    setfacl -b W/dir && chmod 755 W/dir/deep W && chown 0 W/dir/deep && chmod 777 W
    warm
    check "rollback: $how" restore $how
    check_eq one "$(cat W/file)" "$how: content"
    check_eq 4 "$(stat -c %s W/file)" "$how: size"
    check_eq 100000 "$(wc -c <W/big)" "$how: pages"
    check_eq "$(cksum <.snapshots/W/s/big | grep -c .)" 1 "$how: the snapshot can be read"
    check_eq one "$(readlink W/soft)" "$how: a symlink"
    check_eq "one" "$(getfattr --only-values -n user.x W/file)" "$how: an xattr"
    check_match "user:4323:rwx" "$(getfacl -cn W/dir 2>/dev/null)" "$how: an ACL"
    for name in later dir/later dir/deep/later dated/in; do check_not "$how: $name" test -e W/$name; done
    check "$how: what was removed" test -e W/was-there
    check_eq "$good" "$(find W -printf '%P %y %m %U %s %T@ %l\n' | sort)" "$how: all"
    check_eq "711 711 711" "$(stat -c %a W .snapshots/W W/.snapshots | paste -sd ' ')" "$how: mode of the root and the lists"
done
check_eq "a longer text" "$(cat .snapshots/W/s/file)" "exchange: the snapshot"
check_eq "a longer text" "$(cat W/.snapshots/s/file)" "exchange: the snapshot inside"
warm
check "exchange back" restore back
check_eq "a longer text" "$(cat W/file)" "exchange back: content"
check_eq one "$(cat .snapshots/W/s/file)" "exchange back: the snapshot"
check_eq one "$(cat W/.snapshots/s/file)" "exchange back: the snapshot inside"
restore name

test_case "permissions in a directory somebody stands in"
(
    begin_subshell
    cd W/dir || exit
    echo secret >secret && chmod 600 secret
    check "the ACL lets in" setpriv --reuid 4323 --regid 4323 --clear-groups touch by-acl
    setfacl -b . && chmod 700 .
    refused "Permission denied" setpriv --reuid 4323 --regid 4323 --clear-groups touch by-acl
    check "rollback" mv -T "$m/.snapshots/W/s" "$m/.snapshots/W/.live"
    check "the restored ACL lets in at once" setpriv --reuid 4323 --regid 4323 --clear-groups touch by-acl
    setfacl -b . && chmod 700 . && mkdir "$m/.snapshots/W/closed" && setfacl -m u:4323:rwx .
    check "an ACL lets in" setpriv --reuid 4323 --regid 4323 --clear-groups touch by-acl
    check "rollback" mv -T "$m/.snapshots/W/closed" "$m/.snapshots/W/.live"
    refused "Permission denied" setpriv --reuid 4323 --regid 4323 --clear-groups touch by-acl
    end_subshell
)
join_subshell
restore name && rmdir .snapshots/W/closed

test_case "workspaces come and go"
for _ in 1 2; do
    warm
    for way in "mv -T .snapshots/W/s N" "ckpt fork -w W -s s N"; do
        check "fork" $way
        check_eq one "$(cat N/file)" "a fork where there was nothing"
        check "its list" test -d .snapshots/N
        check_eq $'.snapshots\nN\nW' "$(ls -A)" "names"
        warm
        rm -r N
        check_not "it is gone" test -e N/file
        check_not "its list is gone" test -e .snapshots/N
        stat N >/dev/null 2>&1
    done
done
mkdir N && warm && mv N N2
check_not "the old name" test -e N
check "the new name" test -d N2/.snapshots
mkdir N && touch N/x && mkdir .snapshots/N/n && warm && mv -T .snapshots/W/s N
check_eq one "$(cat N/file)" "promotion onto what was looked at"
check_not "what was there" test -e N/x

test_case "writes by one path are seen by the other"
echo 12345 >W/file
check_eq "6 6" "$(stat -c %s W/file) $(stat -c %s W/.snapshots/../file)" "size"
mkdir .snapshots/W/t && echo 1234567 >>W/file && mkdir W/.snapshots/u
check_eq "6 14 14" "$(stat -c %s .snapshots/W/t/file W/.snapshots/u/file W/file | paste -sd ' ')" "sizes in snapshots made while it grew"
exec 5>>W/file
echo more >&5 && mkdir .snapshots/W/open && echo yet more >&5
check_eq "19 28" "$(stat -c %s W/.snapshots/open/file W/file | paste -sd ' ')" "with the file open"
exec 5>&-
cd /
