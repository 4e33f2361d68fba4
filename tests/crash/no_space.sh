#!/bin/bash
# No space at any step before the commit of any operation: it has not happened, nothing is left of it, and the
# daemon goes on.
# shellcheck source=tests/lib/crash.sh
. "$(dirname "${BASH_SOURCE[0]}")/../lib/crash.sh"
# shellcheck source=tests/lib/crash_operations.sh
. "$tests_lib/crash_operations.sh"

make_base
readonly enospc=28
error_matrix "$enospc" "${snapshot_operations[@]}" "${rollback_operations[@]}"
# The same steps, most of them.
[[ -z ${CKPTFS_CRASH_ALL-} ]] || error_matrix "$enospc" "${exchange_operations[@]}" "${workspace_operations[@]}"
