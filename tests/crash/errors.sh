#!/bin/bash
# An I/O error at any step before the commit of any operation: it has not happened, and the daemon
# goes on.
# shellcheck source=tests/lib/crash.sh
. "$(dirname "${BASH_SOURCE[0]}")/../lib/crash.sh"
# shellcheck source=tests/lib/crash_operations.sh
. "$tests_lib/crash_operations.sh"

make_base
readonly eio=5
error_matrix "$eio" "${snapshot_operations[@]}" "${rollback_operations[@]}" "${exchange_operations[@]}" \
    "${workspace_operations[@]}"
