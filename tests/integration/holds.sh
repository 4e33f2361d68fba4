#!/bin/bash
# ckpt hold and ckpt release: what is held cannot be removed in any way, and a hold outlives the catalog.
# shellcheck source-path=SCRIPTDIR source=../lib/harness.sh
. "$(dirname "${BASH_SOURCE[0]}")/../lib/harness.sh"

store=$scratch/store m=$scratch/mnt
mount_store "$store" "$m" || exit 1
cd "$m" || exit 1
mkdir W && for name in a b c; do echo "$name" >W/file && mkdir ".snapshots/W/$name"; done

holds() { ckpt list -w W --format json | jq -r ".[] | select(.name == \"$1\") | .holds | join(\" \")"; }
# refuses WHAT COMMAND...: with 5, saying by whom it is held.
refuses() {
    local what=$1
    shift
    run "$@"
    check_eq 5 "$status" "$what: exit status"
    check_match 'held: backup, copy' "$errors" "$what: what it says"
}

test_case "hold"
check "by one" ckpt hold -w W -s a copy
check "by another" ckpt hold -w W -s a backup
check "once more" ckpt hold -w W -s a backup
check_eq "backup copy" "$(holds a)" "its holds"
check_eq "" "$(holds b)" "another's"
check_match ' held ' "$(ckpt list -w W | grep '^a ')" "the list tells"
check_match 'held *backup, copy' "$(ckpt show -w W -s a)" "show tells"
for tag in "" a/b .x -x latest "$(printf 'x%.0s' {1..256})"; do
    run ckpt hold -w W -s a -- "$tag"
    check_not "no tag: $tag" test "$status" -eq 0
    check_eq 1 "$(wc -l <<<"$errors")" "lines of it"
done
run ckpt hold -w W -s nothing copy
check_eq 3 "$status" "of a snapshot that is not there"

test_case "nothing removes what is held"
refuses "delete" ckpt delete -w W -s a
refuses "delete by force" ckpt delete -w W -s a --force
refuses "forget" ckpt forget W --yes
check_eq EBUSY "$(rename_flags 2 .snapshots/W/a W)" "exchange"
check_not "rmdir" rmdir .snapshots/W/a
check "cleanup" ckpt cleanup -w W --keep-last 1
check_eq "a c" "$(ckpt list -w W --format json | jq -r '.[].name' | sort | paste -sd ' ')" "what it leaves"
check_eq "held: backup, copy" "$(ckpt cleanup -w W --keep-last 1 --dry-run --format json |
    jq -r '.[] | select(.name == "a") | .reasons | join("; ")')" "why"

test_case "a rename and a rollback do not concern it"
check "rename" mv .snapshots/W/a .snapshots/W/d
check "rollback" ckpt rollback -w W -s d
check_eq "backup copy" "$(holds d)" "its holds"
check "back" mv .snapshots/W/d .snapshots/W/a

test_case "a hold outlives the catalog"
cd / && unmount_store "$store" "$m"
rm "$store"/catalog.db*
mount_store "$store" "$m"
cd "$m" || exit 1
check_eq "backup copy" "$(holds a)" "its holds"
refuses "delete" ckpt delete -w W -s a

test_case "release"
run ckpt release -w W -s a other
check_eq 3 "$status" "one that is not there"
check "one" ckpt release -w W -s a copy
run rmdir .snapshots/W/a
check_not "it is still held" test "$status" -eq 0
check "the other" ckpt release -w W -s a backup
check "now it goes" rmdir .snapshots/W/a

test_case "only who may pin"
chmod 755 "$scratch" && chmod 755 W
check_not "others hold" setpriv --reuid=65534 --regid=65534 --clear-groups ckpt hold -w "$m/W" -s c x
check_eq "" "$(holds c)" "its holds"

test_case "and all is in order"
check "fsck" ckpt fsck
cd / || exit 1
