#!/bin/bash
# The other crash tests find the failpoints by themselves. This one fails if the sources name a failpoint that
# neither an operation nor a recovery passes, so that it would never be tested.
# shellcheck source=tests/lib/crash.sh
. "$(dirname "${BASH_SOURCE[0]}")/../lib/crash.sh"
# shellcheck source=tests/lib/crash_operations.sh
. "$tests_lib/crash_operations.sh"

root=$(cd "$tests_lib/../.." && pwd)

test_case "every operation, not killed"
make_base
kills=("${snapshot_operations[@]}" "${rollback_operations[@]}" "${exchange_operations[@]}"
    "${workspace_operations[@]}")
for name in "${kills[@]}" "${mount_operations[@]}" "${rebuild_operations[@]}"; do
    trace_operation "$name"
    for target in "${targets[@]}"; do note_passed "$(sed 's/^[a-z]* //; s/@.*//' <<<"$target")"; done
done

test_case "every operation is in a group that is killed"
check_eq "$(compgen -A function op_ | sort)" "$(printf 'op_%s\n' "${kills[@]}" | sort)" "operations"
for group in $(compgen -A variable | grep '_operations$'); do
    check "the group $group is killed" grep -qF "crash_matrix \"\${${group}[@]}\"" \
        "$root"/tests/crash/*.sh
done

# Those of device-mapper and of its templates: see tests/unit/catalog/recovery/store_crash_test.cc.
test_case "every failpoint is passed"
mapfile -t named < <(grep -rhoE '\bFailpoint\("[^"]+"' --include='*.cc' --exclude-dir=dm \
    --exclude=store_templates.cc "$root/backend" "$root/catalog" "$root/fs" "$root/tools" |
    cut -d '"' -f 2 | sort -u)
check "the sources name failpoints" test "${#named[@]}" -gt 20
for name in "${named[@]}"; do
    case $name in
    # Of a store that lies on btrfs: see first_mount_on_btrfs.sh.
    base-create.*) continue ;;
    # Of files that are open: see unlinked.sh.
    unlinked.*) continue ;;
    # After a workspace was forgotten, and of what a killed recovery left: see recover.sh.
    recover.after-forget | recover.after-contents) continue ;;
    # After a comparison: see tests/unit/catalog/recovery/store_crash_test.cc.
    rollback.before-drop) continue ;;
    # Of a volume that no operation removes: see there, too.
    gc.after-tombstone) continue ;;
    # Leads to a warning only: see tests/integration/space_guard.sh.
    space.*) continue ;;
    # What the kernel forgets in its own time, and what fails for want of descriptors: see open_limit.sh.
    forget.* | make.before-entry) continue ;;
    esac
    check "$name is passed" test "${passed[$name]-}" = yes
done
