#!/bin/bash
# An I/O error at any step before the commit of any operation: the operation has no effect, and the daemon
# continues.
# shellcheck source=tests/lib/crash.sh
. "$(dirname "${BASH_SOURCE[0]}")/../lib/crash.sh"
# shellcheck source=tests/lib/crash_operations.sh
. "$tests_lib/crash_operations.sh"

make_base
readonly eio=5
error_matrix "$eio" "${snapshot_operations[@]}" "${rollback_operations[@]}" "${exchange_operations[@]}" \
    "${workspace_operations[@]}"
