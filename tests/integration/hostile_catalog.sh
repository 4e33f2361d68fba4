#!/bin/bash
# A store whose catalog and sidecars were written by an attacker: see the library.
# shellcheck source-path=SCRIPTDIR source=../lib/hostile_store.sh
. "$(dirname "${BASH_SOURCE[0]}")/../lib/hostile_store.sh"

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
