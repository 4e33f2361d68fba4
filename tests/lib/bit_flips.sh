# Sourced by integration/bit_flips_*.sh: bit flips in a mounted store: in files, in btrfs's metadata blocks,
# in the sidecars and in the catalog. Reading what is damaged fails with an error; other users continue; fsck
# and status report it; a remount works or says what is wrong.
#
# A script first sets $options, for mounting a new store, and $image, the file that contains the volumes; its
# new_ground creates a place for a store and sets $store. Then it calls flip_bits.
#
# shellcheck shell=bash
# shellcheck disable=SC2154 # image, options and store are the script's
# shellcheck source=tests/lib/harness.sh
. "$(dirname "${BASH_SOURCE[0]}")/harness.sh"

m=$scratch/mnt
damage() { python3 "$harness_directory/damage.py" "$@"; }
# Drops the caches: the kernel would not read cached data again.
forget() { echo 3 >/proc/sys/vm/drop_caches; }
warnings() { (cd "$m" && ckpt status --format json) | jq -r '.warnings[]'; }
# marked TEXT: repeats it until it is too large for btrfs to store inline in its metadata.
marked() { for ((i = 0; i < 3000; i++)); do echo "$1"; done; }

flip_in_file() {
    test_case "in a file"
    new_ground || exit 1
    mount_store "$store" "$m" "$options" || exit 1
    mkdir "$m/bad" "$m/good"
    mark="a line of which a bit will flip, $RANDOM"
    {
        head -c 100000 /dev/zero
        echo "$mark"
        head -c 100000 /dev/zero
    } >"$m/bad/file"
    marked good >"$m/good/file"
    mkdir "$m/.snapshots/bad/s" "$m/.snapshots/good/s"
    sum=$(md5sum <"$m/good/file")
    daemon=$(daemon_pid "$store")
    check_not "a file of the store is mapped" grep -q "$store" "/proc/$daemon/maps"
    check_eq 1 "$(damage marker "$image" "$mark")" "places of the line"
    forget
    for path in "$m/bad/file" "$m/.snapshots/bad/s/file"; do
        refused "Input/output error" md5sum "$path"
    done
    check_eq "$sum" "$(md5sum <"$m/good/file")" "another file"
    check "a checkpoint of the damaged one" mkdir "$m/.snapshots/bad/t"
    check "a rollback of it" mv -T "$m/.snapshots/bad/s" "$m/.snapshots/bad/.live"
    check "work in the other" sh -c "echo more >>'$m/good/file' && mkdir '$m/.snapshots/good/t'"
    check_match "damaged" "$(warnings)" "ckpt status"
    check "deleting the file" rm "$m/bad/file"
    check "deleting a snapshot" rmdir "$m/.snapshots/bad/s"
    check_eq "$daemon" "$(daemon_pid "$store")" "the daemon"
}

# Damages all sidecars on disk that contain the text. The last one is written some time after the checkpoint
# has returned, and is then intact again.
damaged_sidecar_is_told() {
    sync
    damage marker "$image" "$mark \\\" of a sidecar" >/dev/null
    forget
    run ckpt fsck --mount "$m"
    [[ $output =~ sidecar.*damaged ]]
}

flip_in_sidecar() {
    test_case "in a sidecar"
    # Too long to be stored inline by btrfs. A sidecar is JSON, which escapes the quotation mark.
    text="$mark \" of a sidecar, $(head -c 5000 /dev/zero | tr '\0' x)"
    ckpt checkpoint -w "$m/good" -s described -m "$text" >/dev/null
    await 10 "fsck tells of a damaged sidecar" damaged_sidecar_is_told
    check "the snapshot is there" test -e "$m/.snapshots/good/described/file"
    check_eq "$text" "$(getfattr --absolute-names --only-values -n user.ckptfs.message "$m/.snapshots/good/described")" "its message"
    run ckpt fsck --repair --mount "$m"
    check_match "written anew" "$output" "fsck --repair ($errors)"
    run ckpt fsck --mount "$m"
    check_eq "0 no problems found" "$status $output" "fsck ($errors)"
}

flip_in_catalog() {
    test_case "in the catalog"
    for ((i = 0; i < 40; i++)); do ckpt checkpoint -w "$m/good" -s "many$i" -m "$(head -c 3000 /dev/zero | tr '\0' x)" >/dev/null; done
    check "unmount" unmount_store "$store" "$m"
    mount_store "$store" "$m" || exit 1
    daemon=$(daemon_pid "$store")
    listed=$(ckpt list -w "$m/good" --format json | jq -c 'map({name, message})')
    size=$(stat -c %s "$store/catalog.db")
    damage range "$store/catalog.db" 4096 "$size" 400 "$RANDOM"
    check "files can be used" sh -c "echo more >>'$m/good/file'"
    run ckpt fsck --mount "$m"
    check_not "fsck: $output $errors" test "$status" -eq 0
    check_match "catalog" "$output$errors" "fsck"
    # Each is done, or refused with a reason; the daemon is the same afterwards.
    for verb in "mkdir $m/.snapshots/good/after" "mv $m/.snapshots/good/many1 $m/.snapshots/good/one" \
        "rmdir $m/.snapshots/good/many2" "mv -T $m/.snapshots/good/t $m/.snapshots/good/.live" "mkdir $m/more"; do
        # shellcheck disable=SC2086 # words
        run timeout 60 $verb
        check "$verb ends" test "$status" -ne 124
        echo "    ${verb%% *}: $status ${errors##*: }"
    done
    check "the daemon lives" kill -0 "$daemon"
    unmount_store "$store" "$m" || fail "unmount"
    run mount_store "$store" "$m"
    check_eq 0 "$status" "a new mount ($errors)"
    check_eq 1 "$(find "$store" -name 'catalog.db.damaged-*' | wc -l)" "a damaged catalog is kept"
    now=$(ckpt list -w "$m/good" --format json | jq -c 'map({name, message})')
    for name in many0 many39 described; do
        check_eq "$(jq -c ".[] | select(.name == \"$name\")" <<<"$listed")" "$(jq -c ".[] | select(.name == \"$name\")" <<<"$now")" "snapshot $name"
    done
    run ckpt fsck --repair --mount "$m"
    run ckpt fsck --mount "$m"
    check_eq "0 no problems found" "$status $output" "fsck ($errors)"
    unmount_store "$store" "$m" || fail "unmount"
}

flip_anywhere() {
    test_case "anywhere in the image, under load"
    seed=$RANDOM
    echo "    seed $seed"
    for round in 1 2 3; do
        new_ground || exit 1
        mount_store "$store" "$m" "$options" || exit 1
        daemon=$(daemon_pid "$store")
        mkdir "$m/w"
        for ((i = 0; i < 40; i++)); do head -c 50000 /dev/urandom >"$m/w/f$i"; done
        mkdir "$m/.snapshots/w/s"
        (cd "$m/w" && md5sum f*) >"$scratch/sums"
        # The load, which may fail but must end.
        # shellcheck disable=SC2016 # for bash
        background timeout 120 bash -c 'for ((i = 0; i < 100; i++)); do
            echo "$i" >"$1/w/live"; mkdir "$1/.snapshots/w/l$i"; rmdir "$1/.snapshots/w/l$i"; cat "$1"/w/f* >/dev/null
        done' bash "$m" 2>/dev/null
        load=$!
        for ((i = 0; i < 5; i++)); do
            damage random "$image" $((round * 20)) $((seed + round * 10 + i))
            forget
            sleep 0.3
        done
        kill "$load" 2>/dev/null
        wait "$load"
        check_not "the load ends in time" test $? -eq 124
        # The correct content or an error, never wrong content.
        wrong=$( (cd "$m/.snapshots/w/s" 2>/dev/null && timeout 60 md5sum f* 2>/dev/null) | grep -vxFf "$scratch/sums")
        check_eq '' "$wrong" "files with another content"
        # Or reports that it cannot read the catalog.
        check "status tells" test -n "$(warnings 2>&1)"
        unmount "$m" || fail "unmount"
        await_end "$daemon" || fail "the daemon does not end"
        run timeout 120 ckptfs "$store" "$m"
        if ((status == 0)); then
            daemon=$(daemon_pid "$store")
            wrong=$( (cd "$m/.snapshots/w/s" 2>/dev/null && timeout 60 md5sum f* 2>/dev/null) | grep -vxFf "$scratch/sums")
            check_eq '' "$wrong" "files with another content, after a new mount"
            run timeout 120 ckpt fsck --mount "$m"
            check "fsck ends" test "$status" -ne 124
            echo "    round $round: mounted again; fsck: $status $(head -n 1 <<<"$output")"
            unmount "$m"
            await_end "$daemon" || fail "the daemon does not end"
        else
            check_eq "32 1" "$status $(wc -l <<<"$errors")" "a mount that fails says why, in a line: $errors"
            echo "    round $round: $errors"
        fi
    done
}

flip_bits() {
    flip_in_file
    flip_in_sidecar
    flip_in_catalog
    flip_anywhere
}
