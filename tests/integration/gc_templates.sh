#!/bin/bash
# ckpt gc on device-mapper: half-made files and images that no chain needs go, and what is in work stays.
# shellcheck source-path=SCRIPTDIR source=../lib/harness.sh
. "$(dirname "${BASH_SOURCE[0]}")/../lib/harness.sh"
has_device_mapper || skip_test "this kernel has no device-mapper; tests/vm runs this"

store=$scratch/store m=$scratch/mnt log=$scratch/log bases=$scratch/store/bases
serve() {
    serve_store "$store" "$m" "$log" "backend=${CKPTFS_TEST_BACKEND:-dm-snapshot},size=256M"
    cd "$m" || exit 1
}
stop() { cd / && unmount_store "$store" "$m"; }
new_id() { cat /proc/sys/kernel/random/uuid; }
names() { ckpt template list --format json | jq -r '[.[].name] | join(" ")'; }
told() { jq -r '.items[] | select(.action == "remove") | "\(.name) \(.kind) \(.bytes)"' "$@" | sort; }
blocks_of() { echo $(($(stat -c '%b' "$1") * 512)); }

serve
cow=$(find "$store" -maxdepth 1 -name cow -o -maxdepth 1 -name thin)
mkdir "$scratch/tree" W && echo hello >"$scratch/tree/file" && echo one >W/file && mkdir .snapshots/W/s || exit 1
check "a template" ckpt template add tree "$scratch/tree"

test_case "half-made files, and an image that no row names"
id=$(new_id) old=() kept=()
for file in "$bases/$(new_id).img" "$bases/$(new_id).json" "$cow/$(new_id).volume"; do
    head -c 100000 /dev/urandom >"$file.partial"
    sync "$file.partial"
    touch -d '1 hour ago' "$file.partial"
    old+=("$file.partial")
done
for file in "$bases/film.partial" "$cow/$(new_id).partial" "$bases/$(new_id).img.partial" "$bases/$(new_id).img"; do
    echo mine >"$file"
    kept+=("$file")
done
touch -d '1 hour ago' "${kept[0]}" "${kept[1]}" "${kept[3]}"
template=$(ckpt template list --format json | jq -r '.[] | select(.name == "tree") | .id')
cp --sparse=always "$bases/$template.img" "$bases/$id.img"
jq --arg id "$id" '.id = $id | .label = "lost" | .created_ns = 1' "$bases/$template.json" >"$bases/$id.json"
sync -f "$bases"
expected=$(
    for file in "${old[@]}"; do echo "${file#"$store"/} file $(blocks_of "$file")"; done
    echo "$id template $(blocks_of "$bases/$id.img")"
)
ckpt gc --dry-run --format json >"$scratch/plan"
check_eq "$(sort <<<"$expected")" "$(told "$scratch/plan")" "a dry run"
ckpt gc --format json >"$scratch/run"
check_eq "$(sort <<<"$expected")" "$(told "$scratch/run")" "the run"
check_not "they are gone" stat "${old[0]}"
check_not "so is the image" stat "$bases/$id.img"
check "what is fresh or not ours stays" stat "${kept[@]}"
check_eq "default tree" "$(names)" "templates"
check_match '^0 removed' "$(ckpt gc | tail -n 1)" "a second pass"
check_match "${kept[1]##*/} is among the volumes but is not a volume" "$(ckpt fsck 2>&1)" "fsck"
rm "${kept[@]}"

test_case "templates in work, whatever the grace"
stop
CKPTFS_TEST_GRACE_SECONDS=0 CKPTFS_FAILPOINT=template.before-commit~6000@1,template.before-note~6000@2 serve
background ckpt template add slow "$scratch/tree"
first=$!
is_made() { [[ $(find "$bases" -name '*.img' | wc -l) == 3 ]]; }
await 30 "the image of one is made, and has no row" is_made
background ckpt template add slower "$scratch/tree"
second=$!
is_being_made() { [[ -n $(find "$bases" -name '*.img.partial') ]]; }
await 30 "that of another is being made" is_being_made
check_eq "" "$(ckpt gc --format json | told)" "what goes"
check_not "ckpt fsck gives none of them a row" grep -q template <<<"$(ckpt fsck --repair 2>&1)"
wait "$first" || fail "the first"
wait "$second" || fail "the second"
check_eq "default slow slower tree" "$(names)" "templates"

test_case "gc beside template work"
until_done() { while [[ ! -e $scratch/enough ]]; do ckpt gc --format json >>"$scratch/loop" || echo failed >>"$scratch/loop-failed"; done; }
background until_done
loop=$!
for i in 1 2 3; do
    check "add" ckpt template add "t$i" "$scratch/tree"
    check "use" ckpt init --template "t$i" "$m/V$i"
    check_eq hello "$(cat "V$i/file")" "content"
    check "flatten" ckpt template add "f$i" --from W/s
    check "forget" ckpt forget --yes "V$i"
    check "remove" ckpt template rm "t$i"
done
touch "$scratch/enough"
wait "$loop"
check_not "no run failed" test -e "$scratch/loop-failed"
check_eq "" "$(told "$scratch/loop")" "what went"
check_eq "default f1 f2 f3 slow slower tree" "$(names)" "templates"
check_eq "no problems found" "$(ckpt fsck 2>&1)" "fsck"
stop
