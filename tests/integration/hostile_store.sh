#!/bin/bash
# A store may come from somebody else, on a disk or as a download, with anything in it: FIFOs, devices,
# directories and symbolic links where files should be, crafted rows and sidecars, a damaged image. A mount of
# it works, with a warning, or fails with one line, within seconds; what was sound in it is there; and nothing
# outside of the store is opened, read, changed or removed.
# shellcheck source=tests/lib/harness.sh
. "$(dirname "${BASH_SOURCE[0]}")/../lib/harness.sh"

# Some three hundred stores are made and mounted: in memory, if there is room. Not in /dev/shm, where devices may not
# be opened.
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
# Of an attempt; on a machine with nothing else to do it takes less than one.
readonly seconds_max=${CKPTFS_HOSTILE_SECONDS:-10}
mkdir "$mnt" "$image" "$outside" "$outside/directory"
mounts+=("$mnt" "$image")
# What is there can be mounted, so it cannot be left to hang: each attempt ends within this time.
coproc watcher { exec "$harness_directory/touched.py" "$outside" "$seconds_max" 2>>"$scratch/told-by-commands"; }

restore() {
    rm -rf --one-file-system "$store"
    cp -a --sparse=always "$saved" "$store"
}

# watched_run PATH... -- COMMAND...: see touched.py. Sets $status, $errors, and $told, a line for each thing that
# happened.
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

# attempt WHAT [OPTION] [PATH...]: mounts the store, with an eye on all files outside, and on these. $outcome is
# "mounted", "refused" or "hung".
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
# What no damage of one part may lose.
readonly all_names="other/c w/a w/b"
# look: sets $warned, a line for each warning, and $named, the names of all snapshots.
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
        # And the image: the next one may get its inode number, and would be taken for it.
        [[ -e $store/lock ]] || grep -qsF "$store/volumes.img" /sys/block/loop*/loop/backing_file || return 0
        sleep 0.01
    done
}
release() {
    unmount "$mnt" && await_free
}

# usable WHAT [WARNING]: it is mounted, all is there, and can be changed. Of each test case the first that was
# mended is mounted once more: then there is nothing to mend.
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

# either WHAT: refused or mounted; then some work, which may fail but ends, and an unmount.
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

# --- Things of another kind, where files should be ------------------------------------------------------------

echo secret >"$outside/file"
echo secret >"$outside/directory/file"
chmod 600 "$outside/file"

# plant KIND PATH: puts such a thing there.
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
# Of what is a part of the watch: directories are listed, and a link is not what is opened.
watched() { case $1 in fifo | zeros | disk | socket) echo "$2" ;; esac }

for name in catalog.db catalog.db-wal catalog.db-shm catalog.db-journal; do
    test_case "$name"
    for kind in "${kinds[@]}"; do
        restore
        plant "$kind" "$store/$name"
        # shellcheck disable=SC2046 # no path at all, where it is none to watch
        attempt "$kind" "" $(watched "$kind" "$store/$name")
        # A log of zeros, or an index of the log, of any size is none to SQLite.
        if [[ $kind == huge && $name != catalog.db && $name != *journal ]]; then
            either "$kind"
        else
            usable "$kind" "rebuilt from the sidecars"
        fi
    done
    restore
    plant fifo "$store/$name"
    attempt "fifo, ro" ro "$store/$name"
    check_eq mounted "$outcome" "fifo, ro ($errors)"
    check_eq "1 2" "$(content)" "fifo, ro"
    check "fifo, ro: unmount" release
    restore
    plant huge "$store/$name"
    attempt "huge, ro" ro
    either "huge, ro"
done

for name in lock unfinished reserve catalog.db.new volumes.img.partial; do
    test_case "$name"
    for kind in "${kinds[@]}"; do
        restore
        plant "$kind" "$store/$name"
        # shellcheck disable=SC2046
        attempt "$kind" "" $(watched "$kind" "$store/$name")
        case $name-$kind in
        lock-huge | reserve-* | unfinished-* | volumes.img.partial-*) usable "$kind" ;;
        lock-*) check_eq refused "$outcome" "$kind" ;;
        *) either "$kind" ;;
        esac
    done
done

test_case "volumes.img"
for kind in "${kinds[@]}"; do
    restore
    plant "$kind" "$store/volumes.img"
    # shellcheck disable=SC2046
    attempt "$kind" "" $(watched "$kind" "$store/volumes.img")
    check_eq refused "$outcome" "$kind"
done

test_case "nothing but such things"
for kind in "${kinds[@]}"; do
    rm -rf "$store"
    mkdir "$store"
    for name in lock unfinished catalog.db-wal reserve; do plant "$kind" "$store/$name"; done
    attempt "$kind"
    # A file of any content is a note that a first mount was cut short: it is done anew.
    if [[ $kind == huge ]]; then either "$kind"; else check_eq refused "$outcome" "$kind"; fi
done

# --- In the image --------------------------------------------------------------------------------------------

# in_image COMMAND: runs it where the image's files are.
in_image() {
    mount -o loop "$store/volumes.img" "$image" && (cd "$image" && eval "$1")
    local code=$?
    umount "$image"
    check_eq 0 "$code" "$1"
}

for name in "meta/$live.json" "meta/$snapshot.json" meta/store.json "meta/$live.json.new" "meta/$snapshot.json.new"; do
    title=${name/$snapshot/SNAPSHOT}
    test_case "${title/$live/LIVE}"
    for kind in fifo directory link huge; do
        restore
        in_image "plant $kind $name"
        attempt "$kind"
        usable "$kind"
        [[ $kind == fifo || $kind == directory ]] || continue
        # Once more, with all sidecars looked at: for a catalog, and after a crash.
        restore
        in_image "plant $kind $name"
        echo 1 >"$store/lock"
        attempt "$kind, after a crash"
        either "$kind, after a crash"
        restore
        in_image "plant $kind $name"
        rm "$store/catalog.db"
        attempt "$kind, without a catalog"
        either "$kind, without a catalog"
    done
done

test_case "directories of the image"
for name in volumes meta; do
    for kind in fifo link directory-link dangling-link; do
        restore
        in_image "mv $name kept && plant $kind $name"
        attempt "$name: $kind"
        check_eq refused "$outcome" "$name: $kind"
    done
done

test_case "volumes"
crafted=(
    "a link in the place of a volume|mv volumes/$live moved && ln -s $outside volumes/$live"
    "a directory in the place of a volume|mv volumes/$live moved && mkdir volumes/$live"
    "a FIFO in the place of a volume|btrfs -q subvolume delete volumes/$snapshot && mkfifo volumes/$snapshot"
    "names that are none|btrfs -q subvolume create volumes/no-uuid && mkdir volumes/..x && mkfifo volumes/-f"
    "a volume in a volume|btrfs -q subvolume create volumes/$live/inner"
    "unlinked files: a link|ln -s $outside/directory volumes/$live/.ckptfs-unlinked"
    "unlinked files: a FIFO|mkfifo volumes/$live/.ckptfs-unlinked"
    "unlinked files: somebody's|mkdir -m 777 volumes/$live/.ckptfs-unlinked && chown 65534 volumes/$live/.ckptfs-unlinked"
    "unlinked files: of all kinds|cd volumes/$live && mkdir -m 700 .ckptfs-unlinked && cd .ckptfs-unlinked && mkdir d d/e && mkfifo 257 && mknod 258 b 240 0 && mknod 259 c 1 5 && ln -s $outside/file 260 && cp /bin/true 261 && chmod 6755 261"
    "names of ours|cd volumes/$live && mkdir .snapshots && mkfifo .ckptfs-control"
    "attributes of ours|setfattr -n trusted.ckptfs.last_path -v \$(printf '../%.0s' {1..1000}) volumes/$live/file"
    "a generation that is none|setfattr -n user.ckptfs.generation -v 99999999999999999999999999999999999999999 meta"
    "a generation beyond all|setfattr -n user.ckptfs.generation -v 18446744073709551615 meta"
    "a generation of text|setfattr -n user.ckptfs.generation -v x meta"
)
for case in "${crafted[@]}"; do
    restore
    in_image "${case#*|}"
    attempt "${case%%|*}"
    either "${case%%|*}"
done
restore
in_image "${crafted[8]#*|}"
attempt "set-id and devices in .ckptfs-unlinked"
check_eq mounted "$outcome" "it is mounted"
check_not "nobody else comes to them" setpriv --reuid=65534 --clear-groups ls "$mnt/w/.ckptfs-unlinked"
check "unmount" release

# --- Rows -----------------------------------------------------------------------------------------------------

# change_rows SQL: without the rules of the tables (types, CHECK, references, what is unique), which hold for what
# SQLite writes, and are taken for granted of what it reads.
change_rows() {
    python3 - "$store/catalog.db" "$1" <<'PYTHON' || fail "change_rows: $1"
import re, sqlite3, sys
path, sql = sys.argv[1:]
def connect():
    database = sqlite3.connect(path, isolation_level=None)
    database.executescript("PRAGMA foreign_keys = OFF; PRAGMA ignore_check_constraints = ON; PRAGMA writable_schema = ON")
    return database
database = connect()
schema = database.execute("SELECT rowid, sql FROM sqlite_schema").fetchall()
for row, text in schema:
    if text and "STRICT" in text:
        database.execute("UPDATE sqlite_schema SET sql = ? WHERE rowid = ?", (text.replace("STRICT, ", "").replace("STRICT", ""), row))
database.close()
database = connect()
database.executescript(sql)
database.close()
database = connect()
for row, text in schema:
    database.execute("UPDATE sqlite_schema SET sql = ? WHERE rowid = ?", (text, row))
database.execute("PRAGMA wal_checkpoint(TRUNCATE)")
database.close()
PYTHON
}

test_case "rows"
rows=(
    "a name with a slash|UPDATE workspace SET name = '../outside' WHERE name = 'w'"
    "a name of dots|UPDATE workspace SET name = '..' WHERE name = 'w'"
    "a name with a NUL|UPDATE snapshot SET name = CAST(x'610062' AS TEXT) WHERE name = 'a'"
    "a name of a megabyte|UPDATE snapshot SET name = hex(zeroblob(524288)) WHERE name = 'a'"
    "a name of nothing|UPDATE snapshot SET name = '' WHERE name = 'a'"
    "a name that is a blob|UPDATE snapshot SET name = x'2e2e' WHERE name = 'a'"
    "a name that is no UTF-8|UPDATE workspace SET name = CAST(x'ff' AS TEXT) WHERE name = 'w'"
    "a negative id|UPDATE snapshot SET id = -5 WHERE name = 'b'; UPDATE workspace SET parent_id = -5 WHERE name = 'w'"
    "the largest id|UPDATE snapshot SET id = 9223372036854775807 WHERE name = 'c'; UPDATE workspace SET parent_id = NULL"
    "a sequence at its end|UPDATE sqlite_sequence SET seq = 9223372036854775807"
    "a sequence of text|UPDATE sqlite_sequence SET seq = 'x'"
    "a view of text|UPDATE workspace SET view = 'x' WHERE name = 'w'"
    "a view of a blob|UPDATE snapshot SET view = x'00' WHERE name = 'a'"
    "a view out of range|UPDATE snapshot SET view = 16777216 WHERE name = 'a'"
    "no view|UPDATE workspace SET view = 0 WHERE name = 'w'"
    "a view below zero|UPDATE workspace SET view = -1 WHERE name = 'w'"
    "a time without end|UPDATE snapshot SET created_ns = 9223372036854775807 WHERE name = 'b'"
    "a list's time without end|UPDATE workspace SET snapshots_changed_ns = 9223372036854775807"
    "a real time|UPDATE snapshot SET created_ns = 1e300"
    "a volume that is a path|UPDATE workspace SET volume = '../../../../etc' WHERE name = 'w'"
    "a volume of a megabyte|UPDATE workspace SET volume = hex(zeroblob(524288)) WHERE name = 'w'"
    "a volume of two|UPDATE snapshot SET volume = (SELECT volume FROM workspace WHERE name = 'w') WHERE name = 'a'"
    "a volume that lives, deleted|INSERT INTO tombstone VALUES ((SELECT volume FROM workspace WHERE name = 'w'), 1, NULL)"
    "a tombstone that is a path|INSERT INTO tombstone VALUES ('../../etc', 1, NULL)"
    "a parent that is itself|UPDATE snapshot SET parent_id = id"
    "parents in a circle|UPDATE snapshot SET parent_id = 2 WHERE id = 1; UPDATE snapshot SET parent_id = 1 WHERE id = 2"
    "a parent that is not there|UPDATE snapshot SET parent_id = 77 WHERE name = 'b'"
    "a workspace that is not there|UPDATE snapshot SET workspace_id = 77 WHERE name = 'b'"
    "a mode of no directory|UPDATE snapshot SET root_mode = 33261 WHERE name = 'a'"
    "a mode of no directory, of the root|UPDATE store SET root_mode = 33261"
    "a large ACL|UPDATE snapshot SET root_acl = zeroblob(500000)"
    "attributes without an end|UPDATE snapshot SET root_xattr_names = CAST('user.a' AS BLOB)"
    "large metadata|UPDATE snapshot SET metadata = hex(zeroblob(400000))"
    "metadata beyond all|UPDATE snapshot SET metadata = hex(zeroblob(100000000))"
    "a kind of its own|UPDATE snapshot SET pinned = 'x', missing = x'01'"
    "no row of the store|DELETE FROM store"
    "a generation beyond all|UPDATE store SET generation = 9223372036854775807"
    "a negative generation|UPDATE store SET generation = -1"
    "numbers that were not given|UPDATE view_range SET given = 9000000000"
    "no numbers|DELETE FROM view_range"
)
for row in "${rows[@]}"; do
    restore
    change_rows "${row#*|}"
    attempt "${row%%|*}"
    usable "${row%%|*}" "rebuilt from the sidecars"
done
restore
change_rows "UPDATE snapshot SET metadata = replace(hex(zeroblob(30000)), '00', '['), message = CAST(x'611b5b326a00ff' AS TEXT)"
attempt "deep metadata"
usable "deep metadata"

test_case "tables"
tables=(
    "a trigger|CREATE TRIGGER t AFTER UPDATE ON store BEGIN DELETE FROM snapshot; END"
    "a view in the place of a table|ALTER TABLE snapshot RENAME TO s; CREATE VIEW snapshot AS SELECT * FROM s"
    "a virtual table|CREATE VIRTUAL TABLE v USING fts5(a)"
    "a table more|CREATE TABLE more (a)"
    "a column that is computed|ALTER TABLE snapshot ADD COLUMN g INTEGER AS (randomblob(1000000000)) VIRTUAL"
    "an index that computes|CREATE INDEX i ON snapshot (abs(id))"
    "a rule that computes|UPDATE sqlite_schema SET sql = replace(sql, 'name                 TEXT', 'name TEXT CHECK (length(hex(randomblob(90000000))))') WHERE name = 'workspace'"
    "other types|UPDATE sqlite_schema SET sql = replace(sql, 'INTEGER NOT NULL', 'ANY') WHERE type = 'table'"
    "columns in another order|UPDATE sqlite_schema SET sql = replace(replace(replace(sql, 'uuid ', 'XX '), 'name ', 'uuid '), 'XX ', 'name ') WHERE name = 'snapshot'"
    "a table that is another's|UPDATE sqlite_schema SET rootpage = (SELECT rootpage FROM sqlite_schema WHERE name = 'store') WHERE name = 'snapshot'"
    "a table that is the list of tables|UPDATE sqlite_schema SET rootpage = 1 WHERE name = 'workspace'"
    "of an old program|PRAGMA user_version = 1"
    "of no program|PRAGMA user_version = -3"
    "of something else|PRAGMA application_id = 7"
)
for table in "${tables[@]}"; do
    restore
    sqlite3 -batch "$store/catalog.db" ".dbconfig defensive off" "PRAGMA writable_schema = ON" "${table#*|}" >/dev/null
    attempt "${table%%|*}"
    usable "${table%%|*}" "rebuilt from the sidecars"
done
restore
sqlite3 "$store/catalog.db" "PRAGMA user_version = 99"
attempt "of a newer program"
check_eq refused "$outcome" "of a newer program"

test_case "a log of another database"
restore
sqlite3 -batch "$scratch/other.db" "PRAGMA journal_mode = WAL; CREATE TABLE t (a); INSERT INTO t VALUES (zeroblob(100000))" \
    ".shell cp $scratch/other.db-wal $store/catalog.db-wal" >/dev/null
check "there is a log" test -s "$store/catalog.db-wal"
attempt "a log of another database"
either "a log of another database"

# A journal can name any file for SQLite to delete: it did.
test_case "a journal that names a file outside"
for mode in WAL DELETE; do
    restore
    sqlite3 "$store/catalog.db" "PRAGMA journal_mode = $mode" >/dev/null
    python3 "$harness_directory/super_journal.py" "$store/catalog.db-journal" "$outside/file"
    attempt "a journal that names a file, $mode"
    check_eq secret "$(<"$outside/file")" "the file, $mode"
    usable "a journal that names a file, $mode" "rebuilt from the sidecars"
done

# --- Sidecars -------------------------------------------------------------------------------------------------

# edit_sidecars PYTHON: of each as `s`, of which `n` is the number; what `s` is then is written.
edit_sidecars() {
    in_image "python3 - '$1' <<'PYTHON'
import glob, json, sys
for n, path in enumerate(sorted(glob.glob('meta/*-*.json'))):
    s = json.load(open(path))
    snapshot, workspace = s.get('snapshot', {}), s.get('workspace', {})
    exec(sys.argv[1])
    with open(path, 'wb') as out:
        out.write(s if isinstance(s, bytes) else json.dumps(s).encode())
PYTHON"
}

test_case "sidecars"
sidecars=(
    'empty|s = b""'
    'zeros|s = bytes(4096)'
    'deep|s = b"[" * 500000'
    'deep, and closed|s = b"{\"a\":" * 100000 + b"1" + b"}" * 100000'
    'many keys|s = b"{" + b",".join(b"\"%d\":0" % i for i in range(90000)) + b"}"'
    'keys more than once|s = json.dumps(s).encode().replace(b"{", b"{\"volume\":7,\"volume\":[],", 1)'
    'a name with a slash|workspace["name"] = "../w"'
    'a name of dots|snapshot["name"] = ".."'
    'a long name|workspace["name"] = "n" * 300'
    'the same long names|workspace["name"] = "é" * 127; snapshot["name"] = "é" * 127'
    'the same UUID|snapshot["id"] = "00000000-0000-4000-8000-000000000000"'
    'the same numbers|snapshot["view"] = workspace["view"] = 5'
    'the same workspace|workspace.update(view=5, created="2020-01-01T00:00:00.000000000Z")'
    'numbers out of range|workspace["view"] = 1 << 40'
    'no numbers|workspace["view"] = -1.5e300'
    'a generation without end|s["generation"] = (1 << 64) - 1'
    'the largest generation|s["generation"] = 1 << 61'
    'a time without end|snapshot["created"] = workspace["created"] = "9999-12-31T23:59:59.999999999Z"'
    'a mode that is none|snapshot["root"] = dict(mode=1e300, uid=-1, gid="x")'
    'a volume of another|s["volume"] = "00000000-0000-4000-8000-000000000000"'
    'parents in a circle|s["parent"] = "00000000-0000-4000-8000-00000000000%d" % ((n + 1) % 5); snapshot.update(id="00000000-0000-4000-8000-00000000000%d" % n, parent=s["parent"])'
    'its own parent|snapshot["parent"] = snapshot.get("id")'
    'all of nobody|s["role"] = "scratch"'
    'all unfinished|s["state"] = "filling"'
    'all live trees|s["role"] = "workspace"; workspace.update(parent=None, parent_marker=1)'
    'ids of other kinds|s["parent"] = 7; snapshot["parent"] = []'
)
for sidecar in "${sidecars[@]}"; do
    restore
    rm "$store"/catalog.db*
    edit_sidecars "${sidecar#*|}"
    attempt "${sidecar%%|*}"
    # What is of nobody, and says so, is removed as such.
    check_eq mounted "$outcome" "${sidecar%%|*} ($errors)"
    either "${sidecar%%|*}"
    attempt "${sidecar%%|*}, again"
    check_eq mounted "$outcome" "${sidecar%%|*}, again ($errors)"
    check_not "${sidecar%%|*}: rebuilt twice" grep -q rebuilt <<<"$(warnings)"
    either "${sidecar%%|*}, again"
done

# --- Images ---------------------------------------------------------------------------------------------------

# scribble SEED COUNT FROM TO: so many blocks of random bytes somewhere in that part of the image.
scribble() {
    python3 - "$store/volumes.img" "$@" <<'PYTHON'
import random, sys
path, (seed, count, begin, end) = sys.argv[1], map(int, sys.argv[2:])
random.seed(seed)
with open(path, "r+b") as image:
    for _ in range(count):
        image.seek(random.randrange(begin, end) & ~511)
        image.write(random.randbytes(512))
PYTHON
}

test_case "a damaged image"
size=$(stat -c %s "$saved/volumes.img")
for seed in 1 2 3; do
    restore
    scribble "$seed" 1 65536 69632
    attempt "superblock, $seed"
    either "superblock, $seed"
    restore
    scribble "$seed" 200 1048576 67108864
    attempt "trees, $seed"
    either "trees, $seed"
done
for bytes in 0 70000 1000000 $((size - 4096)); do
    restore
    truncate -s "$bytes" "$store/volumes.img"
    attempt "cut to $bytes"
    check_eq refused "$outcome" "cut to $bytes"
done
restore
truncate -s 0 "$store/volumes.img"
truncate -s 1T "$store/volumes.img"
attempt "a terabyte of nothing"
check_eq refused "$outcome" "a terabyte of nothing"
restore
mkfs.ext4 -qF "$store/volumes.img"
attempt "ext4"
check_eq refused "$outcome" "ext4"

# --- On btrfs itself ------------------------------------------------------------------------------------------

test_case "btrfs-base"
base=$scratch/base
mkdir "$base"
truncate -s 512M "$scratch/base.img"
mkfs.btrfs -q "$scratch/base.img" >/dev/null
mounts+=("$base")
mount -o loop "$scratch/base.img" "$base"
store=$base/store
saved=$base/saved
check "mount" ckptfs "$store" "$mnt"
mkdir "$mnt/w"
check "checkpoint" mkdir "$mnt/.snapshots/w/a"
check "unmount" release
for name in volumes meta; do
    for kind in fifo link directory-link dangling-link; do
        mv "$store/$name" "$base/kept"
        plant "$kind" "$store/$name"
        attempt "$name: $kind"
        check_eq refused "$outcome" "$name: $kind"
        rm "$store/$name"
        mv "$base/kept" "$store/$name"
    done
done
sidecar=$(find "$store/meta" -name '*-*.json' | head -n 1)
for kind in fifo link huge; do
    cp -p "$sidecar" "$base/kept"
    plant "$kind" "$sidecar"
    echo 1 >"$store/lock"
    attempt "a sidecar: $kind"
    check_eq mounted "$outcome" "a sidecar: $kind ($errors)"
    check "a sidecar: $kind: unmount" release
    check "a sidecar: $kind: written anew" cmp "$sidecar" "$base/kept"
done
