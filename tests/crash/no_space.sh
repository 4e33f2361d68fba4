#!/bin/bash
# No space at any step before the commit of any operation: the operation has no effect, nothing is left of it,
# and the daemon continues.
# shellcheck source=tests/lib/crash.sh
. "$(dirname "${BASH_SOURCE[0]}")/../lib/crash.sh"
# shellcheck source=tests/lib/crash_operations.sh
. "$tests_lib/crash_operations.sh"

make_base
readonly enospc=28
error_matrix "$enospc" "${snapshot_operations[@]}" "${rollback_operations[@]}"
# The same steps, most of them.
[[ -z ${CKPTFS_CRASH_ALL-} ]] || error_matrix "$enospc" "${exchange_operations[@]}" "${workspace_operations[@]}"
