#!/bin/bash
# Kills the daemon at every step of the first mount, and of a mount that enlarges the image.
# shellcheck source=tests/lib/crash.sh
. "$(dirname "${BASH_SOURCE[0]}")/../lib/crash.sh"
# shellcheck source=tests/lib/crash_operations.sh
. "$tests_lib/crash_operations.sh"

make_base
crash_matrix "${mount_operations[@]}"
