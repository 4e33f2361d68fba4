#!/bin/bash
# File handles (name_to_handle_at, open_by_handle_at, NFS): they open the same file even when the kernel has
# forgotten it, and never another one: if the file is gone they give ESTALE.
# shellcheck source-path=SCRIPTDIR source=../lib/harness.sh
. "$(dirname "${BASH_SOURCE[0]}")/../lib/harness.sh"
# shellcheck source-path=SCRIPTDIR source=../lib/uring_switch.sh
. "$harness_directory/uring_switch.sh"

store=$scratch/store m=$scratch/mnt book=$scratch/book

save() { check "save handles" python3 "$harness_directory/handles.py" save "$book" "$@"; }
# look MODE: see handles.py. Sets $output: complaints, then how many handles there are and were opened.
look() {
    run python3 "$harness_directory/handles.py" "$1" "$m" "$book"
    check_eq 0 "$status" "$1: $errors"
    check_match '^[0-9]+ [0-9]+$' "$output" "$1 ($2)"
}
# remount [OPTIONS]
remount() {
    unmount_store "$store" "$m" || { fail "unmount" && exit 1; }
    mount_store "$store" "$m" "${1-}" || { fail "mount" && exit 1; }
}
forget() { sync && echo 3 >/proc/sys/vm/drop_caches; }
# expect MODE: with what the kernel knows, and without.
expect() {
    look "$1" "as it is"
    forget
    look "$1" "after drop_caches"
    look "$1" "and once more"
}
opened() { echo "${output##* }"; }

# make_tree WORKSPACE: files of all kinds, and directories in directories.
make_tree() {
    local -i i
    local deep=$1/d
    mkdir -p "$m/$1" "$m/$1/d/e" && echo "$1 f" >"$m/$1/f" && echo "$1 g" >"$m/$1/d/g" || return
    ln "$m/$1/f" "$m/$1/d/hard" && ln -s "f of $1" "$m/$1/link" && mkfifo "$m/$1/pipe" || return
    for ((i = 0; i < 20; i++)); do deep+=/deep$i; done
    mkdir -p "$m/$deep" && echo "$1 deep" >"$m/$deep/file"
}

mount_store "$store" "$m" size=1G || exit 1
make_tree W && mkdir "$m/.snapshots/W/s" || exit 1

for options in snapdir=hidden snapdir=visible io_uring=on; do
    if [[ $options != snapdir=hidden ]]; then
        remount "$options"
    fi
    test_case "files and directories of a workspace ($options)"
    mapfile -t files < <(find "$m/W" -not -path '*/.snapshots*')
    save "${files[@]}"
    expect same
    test_case "snapshots, by both places ($options)"
    mapfile -t files < <(find "$m/.snapshots/W/s" "$m/W/.snapshots/s")
    save "${files[@]}"
    expect same
    test_case "what no volume holds ($options)"
    save "$m" "$m/.snapshots" "$m/.snapshots/W" "$m/W/.snapshots" "$m/.snapshots/W/latest" "$m/.snapshots/W/.live" \
        "$m/W/.snapshots/.live" "$m/.ckptfs-control" "$m/W/.ckptfs-control"
    expect same
done

test_case "with snapdir=off there is no list in the workspace"
save "$m/W/.snapshots" "$m/W/.snapshots/s"
remount snapdir=off
look stale "what the other mount showed"
remount

test_case "a file that is renamed is the same"
echo moved >"$m/W/before" && mkdir "$m/W/from" && save "$m/W/before" "$m/W/from"
mv "$m/W/before" "$m/W/d/after" && mv "$m/W/from" "$m/W/d/to" && forget
run python3 "$harness_directory/handles.py" stale "$m" "$book"
check_match "'content': 'moved" "$output" "the file"
check_match "'link': '$m/W/d/to'" "$output" "the directory, in its new place"

test_case "what has been removed is stale, whatever is made after it"
mkdir "$m/W/gone" && for i in {1..30}; do echo "old $i" >"$m/W/gone/$i"; done
mkdir "$m/W/gone/dir" && echo over >"$m/W/gone/over" && mkfifo "$m/W/gone/pipe"
save "$m"/W/gone/*
rm "$m"/W/gone/{?,??} "$m/W/gone/pipe" && rmdir "$m/W/gone/dir" && echo by >"$m/W/by" && mv "$m/W/by" "$m/W/gone/over"
look stale "at once"
for i in {1..200}; do echo "new $i" >"$m/W/gone/new$i" && mkdir "$m/W/gone/d$i"; done
expect stale

test_case "a file that lost its name while it is open"
echo open >"$m/W/open" && save "$m/W/open"
exec {fd}<"$m/W/open"
rm "$m/W/open"
exec {fd}<&-
expect stale

test_case "a rollback in place"
mkdir "$m/W/roll" "$m/W/roll/dir" && echo old >"$m/W/roll/changed" && echo same >"$m/W/roll/same" &&
    echo in >"$m/W/roll/dir/in" && mkdir "$m/.snapshots/W/base" || exit 1
echo new >"$m/W/roll/changed" && echo later >"$m/W/roll/later" && mkdir "$m/W/roll/laterdir"
save "$m/W/roll/later" "$m/W/roll/laterdir" && cp "$book" "$book.taken"
save "$m/W/roll/changed" "$m/W/roll/same" && cp "$book" "$book.files"
save "$m/W" "$m/W/roll" "$m/W/roll/dir" && cp "$book" "$book.directories"
exec {fd}<"$m/W/roll/later"
check "roll back" mv -T "$m/.snapshots/W/base" "$m/.snapshots/W/.live"
cp "$book.taken" "$book" && look stale "what it took away, at once, and although it is open"
check_eq later "$(cat <&"$fd")" "what was open is so still"
exec {fd}<&-
cp "$book.files" "$book" && look restored "files are the restored ones or stale"
cp "$book.directories" "$book" && look same "directories stay"
cp "$book.taken" "$book"
for i in {1..50}; do echo "next $i" >"$m/W/roll/next$i" && mkdir "$m/W/roll/nextdir$i"; done
expect stale
cp "$book.files" "$book" && expect restored
cp "$book.directories" "$book" && expect same

test_case "a rollback by name"
echo later >"$m/W/roll/later" && save "$m/W/roll/later" "$m/W"
check "roll back" mv -T "$m/.snapshots/W/base" "$m/W"
cp "$book" "$book.taken" && save "$m/W/roll" "$m/W/roll/dir" "$m/.snapshots/W/base" "$m/.snapshots/W/base/f" && expect same
cp "$book.taken" "$book" && forget && look stale "the old root, and what was in it"

test_case "a promotion: directories of two workspaces may have one number and generation"
mkdir "$m/A" "$m/B" && for w in A B; do mkdir "$m/$w/x" "$m/$w/y" && echo $w >"$m/$w/x/file"; done
mkdir "$m/.snapshots/B/b" && save "$m/A/x" "$m/A/y" "$m/A/x/file"
check "promote" mv -T "$m/.snapshots/B/b" "$m/A"
forget && look stale "what was A's own"
save "$m/A/x" "$m/A/y" "$m/A/x/file" && expect same

test_case "a snapshot that is deleted, and one that gets its number"
for i in {1..30}; do mkdir "$m/.snapshots/W/n$i" || exit 1; done
save "$m"/.snapshots/W/n{1..30}{,/f,/d,/d/g} "$m"/W/.snapshots/n{1..30}{,/f,/d,/d/g}
rmdir "$m"/.snapshots/W/n{1..30}
look stale "at once"
forget
for i in {1..40}; do mkdir "$m/.snapshots/W/o$i" || exit 1; done
cat "$m"/.snapshots/W/o*/f "$m"/W/.snapshots/o*/d/g >/dev/null
expect stale

test_case "a snapshot that is renamed is the same"
save "$m/.snapshots/W/o1" "$m/.snapshots/W/o1/f" "$m/W/.snapshots/o1/d"
mv "$m/.snapshots/W/o1" "$m/.snapshots/W/renamed" && forget
run python3 "$harness_directory/handles.py" stale "$m" "$book"
check_eq "3 3" "$(tail -n 1 <<<"$output")" "all are opened ($output)"
check_match "'link': '$m/.snapshots/W/renamed'" "$output" "the root"
check_match "'link': '$m/W/.snapshots/renamed/d'" "$output" "a directory in it"

test_case "a workspace that is removed"
mkdir "$m/R" "$m/R/d" && echo r >"$m/R/f" && save "$m/R" "$m/R/f" "$m/R/d" "$m/.snapshots/R" "$m/R/.snapshots"
rm -r "$m/R/f" "$m/R/d" && rmdir "$m/R"
mkdir "$m/Q" "$m/Q/d" && echo q >"$m/Q/f"
expect stale

test_case "over a remount: the same file or ESTALE"
for i in {1..6}; do make_tree "many$i" && mkdir "$m/.snapshots/many$i/s" || exit 1; done
mapfile -t files < <(find "$m"/many* "$m"/.snapshots/many* "$m"/many*/.snapshots/s)
save "$m" "$m/.snapshots" "${files[@]}"
expect same
for order in "6 5 4 3 2 1" "3 1 2 6 4 5"; do
    remount
    for i in $order; do find "$m/.snapshots/many$i" "$m/many$i" "$m/many$i/.snapshots/s" -type f -exec cat {} + >/dev/null; done
    expect noted
    check "what no volume holds is found" test "$(opened)" -ge 8
done

test_case "checkpoints and rollbacks meanwhile"
mkdir "$m/T" && make_tree T && mkdir "$m/.snapshots/T/t" || exit 1
mapfile -t files < <(find "$m/T" -type d)
save "${files[@]}"
(for i in {1..15}; do mv -T "$m/.snapshots/T/t" "$m/.snapshots/T/.live" && mkdir "$m/.snapshots/T/c$i"; done) 2>"$scratch/verbs" &
verbs=$!
for _ in {1..8}; do forget && look restored "meanwhile"; done
wait "$verbs"
check_eq '' "$(<"$scratch/verbs")" "the verbs"
expect same

test_case "the catalog"
run ckpt fsck --mount "$m"
check_eq "0 no problems found" "$status $output" "fsck ($errors)"
