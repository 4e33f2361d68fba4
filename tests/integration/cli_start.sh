#!/bin/bash
# ckpt starts quickly: it loads only the libraries that a client needs, and none of the daemon's. Loading and
# relocating those took three times as long as all of 'ckpt list'. (tests/bench/starts.py measures it.)
# shellcheck source-path=SCRIPTDIR source=../lib/harness.sh
. "$(dirname "${BASH_SOURCE[0]}")/../lib/harness.sh"

# libraries_of PROGRAM: the names of those that the loader would map, one a line.
libraries_of() { ldd "$(command -v "$1")" | sed -n 's/^\t\([^ ]*\) =>.*/\1/p'; }

test_case "what ckpt loads"
loaded=$(libraries_of ckpt)
check_match 'libc\.so' "$loaded" "ldd says what ckpt loads"
for daemons in devmapper btrfsutil sqlite3 crypto spdlog systemd fuse uring uuid; do
    check_eq '' "$(grep "^lib$daemons" <<<"$loaded")" "ckpt loads lib$daemons"
done

test_case "what ckptfs loads"
# Had it none of them either, the names above would be wrong.
check_match 'libsqlite3' "$(libraries_of ckptfs)" "ckptfs loads the database"
