# Sourced by the crash tests after crash.sh: all operations that change a store, in groups that a test can run
# in a minute. A failpoint that none of them passes is an error (failpoints.sh).
#
# shellcheck shell=bash disable=SC2034,SC2154,SC2317

# --- Snapshots -----------------------------------------------------------------------------------

op_checkpoint() { mkdir "$1/.snapshots/w/third"; }
op_checkpoint_described() {
    ckpt checkpoint -w "$1/w" -s third -m "a message" --metadata '{"a": true}' --pin
}
op_delete() { rmdir "$1/.snapshots/w/first"; }
op_rename_snapshot() { mv "$1/.snapshots/w/first" "$1/.snapshots/w/renamed"; }
op_pin() { setfattr -n user.ckptfs.pinned -v 1 "$1/.snapshots/w/second"; }
op_hold() { ckpt hold -w "$1/w" -s second copy; }
op_describe() { setfattr -n user.ckptfs.message -v "another" "$1/.snapshots/w/first"; }
op_set() { ckpt config -w "$1/w" keep.daily 7; }
op_set_of_store() { cd "$1" && ckpt config --store keep.within 30d; }
# Removes the first checkpoint.
op_cleanup() { ckpt cleanup -w "$1/w" --keep-last 1; }
# Of set-aside catalogs. (Of volumes and sidecars: tests/unit/catalog/recovery/store_crash_test.cc.)
break_gc() {
    local catalog
    for catalog in "$1"/catalog.db.damaged-2020010{1T000000Z,1T000000Z-wal,2T000000Z}; do
        echo damaged >"$catalog"
        touch -d 2020-01-03 "$catalog"
    done
}
op_gc() { ckpt gc --mount "$1"; }
op_diff() { ckpt diff -w "$1/w" -f first; }
snapshot_operations=(checkpoint checkpoint_described delete rename_snapshot pin hold describe diff set set_of_store cleanup gc)

# --- Live trees ----------------------------------------------------------------------------------

op_rollback() { mv -T "$1/.snapshots/w/first" "$1/w"; }
op_rollback_in_place() { mv -T "$1/.snapshots/w/first" "$1/.snapshots/w/.live"; }
# Nothing has changed since, so the previous state is not kept but destroyed.
op_rollback_unchanged() { mv -T "$1/.snapshots/other/same" "$1/other"; }
op_exchange() { [[ $(rename_flags 2 "$1/.snapshots/w/first" "$1/w") == 0 ]]; }
op_promote() { mv -T "$1/.snapshots/w/first" "$1/other"; }
rollback_operations=(rollback rollback_in_place rollback_unchanged)
exchange_operations=(exchange promote)

# --- Workspaces ----------------------------------------------------------------------------------

op_forget() { ckpt forget --yes "$1/other"; }
op_create() { mkdir "$1/new"; }
op_remove() { rmdir "$1/empty"; }
op_rename_workspace() { mv -T "$1/other" "$1/another"; }
op_fork() { mv -T "$1/.snapshots/w/first" "$1/forked"; }
op_import() { ckpt init --mount "$1" --name imported "$run_directory/tree"; }
# The imported tree is also still complete, until its owner removes it.
check_import() {
    local original=$run_directory/tree
    [[ ! -L $original ]] || original=$original.before-ckptfs
    check_eq "$("$tests_lib/manifest" "$scratch/tree")" "$("$tests_lib/manifest" "$original")" \
        "the original of an import that was $1"
}
# Nothing has changed in it since its checkpoint, so that no other is made.
op_recover() {
    ln -sfn "$1/other" "$run_directory/given"
    ckpt recover "$run_directory/given"
}
# It is the symlink or the whole directory.
check_recover() {
    local given=$run_directory/given
    [[ -L $given ]] || check_eq else "$(cat "$given/file")" "the directory of a recovery that was $1"
}
workspace_operations=(create remove forget recover rename_workspace fork import)

# --- Mounts --------------------------------------------------------------------------------------

first_base=none
grow_options=size=320M
mount_operations=(first grow)

break_rebuild() { rm "$1/catalog.db"; }
break_rebuild_damaged() { printf 'no database' | dd of="$1/catalog.db" conv=notrunc status=none; }
check_rebuild_damaged() {
    check_eq 1 "$(find "$store" -name 'catalog.db.damaged-*' | wc -l)" "damaged catalogs kept, $1"
}
rebuild_operations=(rebuild rebuild_damaged)
