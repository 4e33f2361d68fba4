#!/bin/bash
# ckpt gc: what nothing refers to goes, exactly that, beside everything else; and the disk below gets its blocks back.
# shellcheck source-path=SCRIPTDIR source=../lib/harness.sh
. "$(dirname "${BASH_SOURCE[0]}")/../lib/harness.sh"

# A store that lies on btrfs: what is in it can be seen, and laid there, while it is mounted.
disk=$scratch/disk store=$scratch/disk/store m=$scratch/mnt log=$scratch/log
volumes=$store/volumes meta=$store/meta
truncate -s 3G "$scratch/disk.img"
mkfs.btrfs -q "$scratch/disk.img" >/dev/null 2>&1 || skip_test "there is no mkfs.btrfs"
mkdir "$disk" "$m"
mount -o loop "$scratch/disk.img" "$disk" || skip_test "cannot mount btrfs"
mounts+=("$disk")

# serve [OPTIONS]
serve() {
    serve_store "$store" "$m" "$log" "${1-io_uring=auto}"
    cd "$m" || exit 1
}
stop() { cd / && unmount_store "$store" "$m"; }

# --- What nothing refers to ----------------------------------------------------------------------

# Each of these lays one thing down, of the time $age, and notes its name and the bytes that its removal frees in
# the file $list.
lay_sidecar() {
    cat >"$meta/$1.json" <<<"{\"format\":1,\"volume\":\"$1\",\"role\":\"$2\",\"state\":\"$3\",\"generation\":0}"
    touch -d "$age" "$meta/$1.json"
}
# lay_volume ROLE STATE KIB
lay_volume() {
    local id
    id=$(</proc/sys/kernel/random/uuid)
    lay_sidecar "$id" "$1" "$2"
    btrfs subvolume create "$volumes/$id" >/dev/null || fail "a subvolume"
    head -c "$(($3 * 1024))" /dev/urandom >"$volumes/$id/file"
    echo "$id $(($3 * 1024))" >>"$list"
}
blocks_of() { echo $(($(stat -c '%b' "$1") * 512)); }
lay_lone_sidecar() {
    local id
    id=$(</proc/sys/kernel/random/uuid)
    lay_sidecar "$id" scratch prepared
    echo "meta/$id.json $(blocks_of "$meta/$id.json")" >>"$list"
}
lay_half_sidecar() {
    local name
    name=$(</proc/sys/kernel/random/uuid).json.new
    head -c 5000 /dev/urandom >"$meta/$name"
    sync "$meta/$name"
    touch -d "$age" "$meta/$name"
    echo "meta/$name $(blocks_of "$meta/$name")" >>"$list"
}
# lay_catalog WORD NUMBER
lay_catalog() {
    local name
    name=catalog.db.$1-$(date -u -d "$age - $2 seconds" +%Y%m%dT%H%M%SZ)
    head -c $((4096 * $2)) /dev/urandom >"$store/$name"
    sync "$store/$name"
    touch -d "$age" "$store/$name"
    echo "$name $(blocks_of "$store/$name")" >>"$list"
}
# lay COUNT: a fifth of it sidecars and files, the rest volumes.
lay() {
    local i
    for ((i = 1; i <= $1; i++)); do
        case $((i % 10)) in
        0) lay_lone_sidecar ;;
        1) lay_half_sidecar ;;
        2) lay_catalog damaged "$i" ;;
        3) lay_catalog before-repair "$i" ;;
        [4-6]) lay_volume workspace filling $((64 + 4 * i)) ;;
        *) lay_volume scratch prepared $((64 + 4 * i)) ;;
        esac
    done
    sync -f "$store"
}
# still_there LIST: how many of them.
still_there() {
    local name rest count=0
    while read -r name rest; do
        [[ ! -e $store/$name && ! -e $volumes/$name ]] || ((++count))
    done <"$1"
    echo "$count"
}
# told FILE...: "name bytes" of all that these answers of ckpt gc call removed.
told() { jq -r '.items[] | select(.action == "remove" and .error == null) | "\(.name) \(.bytes)"' "$@"; }

# --- A store with nothing to collect --------------------------------------------------------------

serve backend=btrfs-base
mkdir W && echo one >W/file && mkdir .snapshots/W/s || exit 1

test_case "nothing to collect"
run ckpt gc --dry-run
check_eq "0 0 to be removed, 0 B" "$status $output" "a dry run ($errors)"
run ckpt gc
check_match '^0 0 removed, 0 B' "$status $output" "a run ($errors)"
check_eq '{"bytes":0,"items":0}' "$(ckpt df --format json | jq -Sc .gc)" "ckpt df"

test_case "what is not ours, or cannot be explained, stays"
age='1 year ago'
stranger=$(</proc/sys/kernel/random/uuid) holder=$(</proc/sys/kernel/random/uuid) committed=$(</proc/sys/kernel/random/uuid)
foreign=("$volumes/mine" "$volumes/$stranger" "$volumes/$committed" "$volumes/notes" "$meta/notes.txt" "$meta/x.new"
    "$meta/$holder.json.new" "$store/catalog.db.damaged-mine" "$store/catalog.db.old" "$store/film.partial"
    "$store/catalog.db.damaged-20200101T000000Z-x" "$store/catalog.db.before-repair-20201301T000000Z")
for name in "$volumes/mine" "$volumes/$stranger" "$volumes/$committed"; do
    btrfs subvolume create "$name" >/dev/null || fail "a subvolume"
done
lay_sidecar "$committed" snapshot prepared
mkdir "$meta/$holder.json.new" "$volumes/notes"
for name in "${foreign[@]}"; do [[ -e $name ]] || echo mine >"$name"; done
touch -d "$age" "${foreign[@]}"
check_match '^0 removed, 0 B' "$(ckpt gc)" "a run"
check "all of it is there" stat "${foreign[@]}"

# --- The large one --------------------------------------------------------------------------------

test_case "150 old ones go, 40 fresh ones and 20 in work do not, beside everything else"
stop
# Twenty imports that stop for a while when their volume has been made. (Counted down: a rule that pauses keeps those
# behind it from counting.)
pauses=$(seq -s , -f 'import.after-volume~25000@%g' 20 -1 1)
CKPTFS_FAILPOINT=$pauses serve
mkdir "$scratch/tree" && head -c 100000 /dev/urandom >"$scratch/tree/data" && ln "$scratch/tree/data" "$scratch/tree/link"
tree=$(manifest "$scratch/tree")
list=$scratch/old age='1 hour ago'
lay 150
list=$scratch/fresh age=now
lay 40
planted=$(sort "$scratch/old" "$scratch/fresh" | grep -oE '[0-9a-f-]{36}' | sort)
imports=()
for i in {1..20}; do
    cp -a "$scratch/tree" "$scratch/in-work-$i"
    background ckpt init --mount "$m" --name "in-work-$i" "$scratch/in-work-$i" >/dev/null
    imports+=($!)
done
in_work() { grep -l '"state":"filling"' "$meta"/*.json 2>/dev/null | sed 's|.*/||; s|\.json$||' | grep -vxFf <(echo "$planted"); }
is_under_way() { [[ $(in_work | wc -l) == 20 ]]; }
await 20 "20 imports are under way" is_under_way
# As old as what is to go.
for id in $(in_work); do touch -d '1 hour ago' "$meta/$id.json"; done

expected=$(sort "$scratch/old")
ckpt gc --dry-run --format json >"$scratch/plan"
check_eq "$expected" "$(told "$scratch/plan" | sort)" "the plan"
check_eq 150 "$(still_there "$scratch/old")" "after a dry run"
check_eq "$(jq -S '{items: .removed, bytes: .removed_bytes}' "$scratch/plan")" "$(ckpt df --format json | jq -S .gc)" "ckpt df"
check_eq "$(awk '{ bytes += $2 } END { print bytes }' "$scratch/old")" "$(jq .removed_bytes "$scratch/plan")" "its sum"
check_match '150 things that nothing refers to take [0-9.]+ MiB' "$(ckpt df)" "what ckpt df says"

# one ROUND: counted, as long as nothing fails.
beside() {
    local name=$1 rounds=0
    shift
    while [[ ! -e $scratch/enough ]]; do
        "$@" "$rounds" >>"$scratch/beside-$name" 2>&1 || echo "round $rounds of $name" >>"$scratch/beside-failed"
        ((++rounds))
    done
    echo "$rounds" >"$scratch/rounds-$name"
}
one_checkpoint() { echo "$1" >W/file && mkdir ".snapshots/W/c$1" && ckpt diff -w W -f s && rmdir ".snapshots/W/c$1"; }
one_fork() { mv -T .snapshots/W/s "F$1" && ckpt forget --yes "F$1"; }
one_rollback() { mv -T .snapshots/R/s .snapshots/R/.live && echo "$1" >R/file; }
one_import() {
    cp -a "$scratch/tree" "$scratch/beside" && ckpt init --name "I$1" --remove-original "$scratch/beside" &&
        rm "$scratch/beside" && [[ $(manifest "I$1" | tail -n +2) == "$(tail -n +2 <<<"$tree")" ]] && ckpt forget --yes "I$1"
}
one_gc() { ckpt gc --format json >"$scratch/gc-$1" && ckpt df >/dev/null; }
mkdir R && echo one >R/file && mkdir .snapshots/R/s
loops=()
for name in checkpoint fork rollback import gc; do
    background beside "$name" "one_$name"
    loops+=($!)
done
sleep 12
await 60 "three rounds of gc" test -e "$scratch/gc-2"
touch "$scratch/enough"
wait "${loops[@]}"
check_not "rounds that failed: $(head -n 3 "$scratch/beside-failed" 2>/dev/null)" test -e "$scratch/beside-failed"
for name in checkpoint fork rollback import gc; do
    check "several rounds of $name" test "$(cat "$scratch/rounds-$name")" -ge 3
    [[ ! -e $scratch/beside-failed ]] || grep -A 3 ckpt: "$scratch/beside-$name"
done
echo "    rounds: $(cd "$scratch" && head -n 1 rounds-* | paste -sd ' ')"

check_eq "$expected" "$(told "$scratch"/gc-* | sort)" "what went, to the byte"
check_eq 0 "$(still_there "$scratch/old")" "old ones that are left"
check_eq 40 "$(still_there "$scratch/fresh")" "fresh ones that are left"
check_eq 0 "$(jq -s 'map(.failed) | add' "$scratch"/gc-*)" "failures"
check "all that is not ours is there" stat "${foreign[@]}"
run ckpt gc --format json
check_eq "0 0" "$(jq -r '"\(.removed) \(.removed_bytes)"' <<<"$output")" "a second pass"
check_eq 40 "$(jq '[.items[] | select(.action == "keep")] | length' <<<"$output")" "those that it tells of and keeps"
check_match 'changed less than 10 minutes ago' "$(jq -r '.items[0].reasons[1]' <<<"$output")" "and why"

for pid in "${imports[@]}"; do wait "$pid" || fail "an import that was under way"; done
for i in {1..20}; do
    check_eq "$(tail -n +2 <<<"$tree")" "$(manifest "in-work-$i" | tail -n +2)" "the tree that import $i made"
done

# --- Other runs -----------------------------------------------------------------------------------

test_case "a failure is told, and the rest goes on"
stop
CKPTFS_FAILPOINT=gc.before-remove=5@2 serve
list=$scratch/rest age='20 minutes ago'
: >"$list"
lay_volume scratch prepared 100
lay_volume scratch prepared 100
lay_half_sidecar
run ckpt gc
check_eq 1 "$status" "exit status"
check_eq "1 1" "$(still_there "$list") $(grep -c FAILED <<<"$output")" "one is left, and told"
check_match 'ckpt: .*gc.before-remove' "$errors" "what it says"
check_match '2 removed' "$output" "what it says of the others"
check_match '20min' "$output" "the age"
run ckpt gc --format json
check_eq "0 1" "$status $(jq .removed <<<"$output")" "the next run gets it"

test_case "a deletion that failed is repeated by itself"
stop
CKPTFS_FAILPOINT=volume-destroy.before=5@1 serve
head -c 1M /dev/urandom >W/file && mkdir .snapshots/W/half && echo one >W/file && rmdir .snapshots/W/half
check_not "the snapshot is gone" stat .snapshots/W/half
check_eq 0 "$(ckpt gc --dry-run --format json |
    jq '[.items[] | select(.reasons[0] == "its deletion was not completed")] | length')" "gc does not see to it"
is_done() { [[ $(query "$store" "SELECT count(*) FROM tombstone") == 0 ]]; }
await 10 "it goes" is_done
stop
serve

test_case "two at once"
: >"$list"
for _ in {1..20}; do lay_volume scratch prepared 64; done
sync -f "$store"
ckpt gc --format json >"$scratch/one" &
first=$!
ckpt gc --format json >"$scratch/two" || fail "the second"
wait "$first" || fail "the first"
check_eq "$(sort "$list")" "$(told "$scratch"/{one,two} | sort)" "each is told once"

test_case "ckpt fsck judges alike"
: >"$list"
lay_volume scratch prepared 64
run ckpt fsck
check_eq 1 "$status" "exit status"
check_match 'is left of a comparison' "$output" "what it says"
ckpt fsck --repair >"$scratch/repaired" 2>&1
check_match 'repaired: volume [0-9a-f-]+ was removed' "$(<"$scratch/repaired")" "what it mends"
check_eq 0 "$(still_there "$list")" "what is left"
age=now
lay_volume scratch prepared 64
check_not "it says nothing of a fresh one" grep -q 'left of a comparison' <<<"$(ckpt fsck 2>&1)"

test_case "who may"
chmod 755 "$scratch" "$m"
as_user() { setpriv --reuid 4242 --regid 4242 --clear-groups "$@"; }
as_user "$bin/ckpt" --version >/dev/null 2>&1 && {
    for option in "" --dry-run; do
        # shellcheck disable=SC2086 # no option, or one
        run as_user ckpt gc $option
        check_eq 1 "$status" "not root${option:+, $option}"
        check_match 'only root may|you may not write it' "$errors" "why"
    done
    check_eq null "$(as_user ckpt df --format json | jq .gc)" "ckpt df"
}
run ckpt gc --mount "$m/W"
check_eq 0 "$status" "a path in it ($errors)"

test_case "read-only"
: >"$list"
age='1 hour ago'
lay_half_sidecar
stop
serve ro
check_match 'file +remove' "$(ckpt gc --dry-run)" "a dry run"
run ckpt gc
check_eq 1 "$status" "exit status"
check_match 'ead-only' "$errors" "what it says"
check_eq "1 1" "$(wc -l <<<"$errors") $(still_there "$list")" "lines, and what is left"
stop

test_case "a mount removes what a crash left, whatever its age, and nothing else"
list=$scratch/rest
: >"$list"
age=now
lay_volume scratch prepared 64
lay_volume workspace filling 64
lay_catalog damaged 1
catalog=$(tail -n 1 "$list" | cut -d ' ' -f 1)
touch -d '1 hour ago' "$store/$catalog"
mv "$store/$catalog" "$store/catalog.db.damaged-20200101T000000Z"
touch "$store/lock" # as a daemon that was killed leaves it
serve
check_eq 0 "$(still_there "$list")" "what is left"
check "what is not ours" stat "${foreign[@]}"
check "a catalog that is set aside" stat "$store/catalog.db.damaged-20200101T000000Z"
stop

# --- Blocks ---------------------------------------------------------------------------------------

store=$scratch/image m=$scratch/mounted
held_mib() { echo $(($(stat -c '%b' "$store/volumes.img") / 2048)); }
is_small() { (($(held_mib) <= before + 64)); }
test_case "freed blocks go back to the disk below"
serve size=3G
mkdir V && before=$(held_mib)
head -c 1G /dev/urandom >V/big && mkdir .snapshots/V/s && rm V/big
check "the image has grown by it" test "$(held_mib)" -ge $((before + 1000))
rmdir .snapshots/V/s
run ckpt gc
check_eq 0 "$status" "ckpt gc ($errors)"
await 10 "the image has shrunk by it, from $(held_mib) MiB" is_small
check_match 'given back to the disk' "$output" "what it says"

test_case "also those that were freed before a mount"
head -c 1G /dev/urandom >V/big && sync V/big && rm V/big
check "the image has grown by it" test "$(held_mib)" -ge $((before + 1000))
stop
serve size=3G
ckpt gc >/dev/null
await 10 "the image has shrunk by it, from $(held_mib) MiB" is_small
check_eq "no problems found" "$(ckpt fsck 2>&1)" "fsck"
stop
