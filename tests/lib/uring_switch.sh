# Sourced after the harness by scripts that mount with io_uring=on. That mount option sets the kernel's switch, which
# is the machine's: it is restored at the end, before the harness cleans up.
#
# shellcheck shell=bash
switch=/sys/module/fuse/parameters/enable_uring
switch_before=$(cat "$switch" 2>/dev/null) # empty: this kernel has no FUSE over io_uring
restore_switch() {
    local code=$?
    [[ -z $switch_before ]] || echo "$switch_before" >"$switch"
    return "$code"
}
trap 'restore_switch; cleanup' EXIT
